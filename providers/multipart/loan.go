package multipart

import (
	"errors"
	"io"
	"sync"

	"offsite/providers"
)

// loan is a block's bytes for the time of one call. The HTTP transport may read the body of a request for a moment
// after the request has failed, and the memory belongs to another block as soon as this one is released.
type loan struct {
	mu   sync.RWMutex
	body io.ReaderAt // nil when the loan is over
}

// lend gives a copy of b that can be read until end, which waits for reads under way. The owner releases b after it.
func lend(b *providers.Block) (lent *providers.Block, end func()) {
	l := &loan{body: b.Body}
	return providers.NewBlock(b.Index, io.NewSectionReader(l, 0, b.Body.Size()), b.Sum, nil), l.end
}

func (l *loan) ReadAt(p []byte, offset int64) (int, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.body == nil {
		return 0, errors.New("the block was released")
	}
	return l.body.ReadAt(p, offset)
}

func (l *loan) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.body = nil
}
