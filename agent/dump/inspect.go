package dump

import (
	"crypto/sha256"
	"hash"
)

// Facts are what a dump's bytes say at once; Examine says the rest.
type Facts struct {
	// SHA256 and Size of all that was written.
	SHA256 [sha256.Size]byte
	Size   int64
}

// Inspector is written a dump's bytes, once and in order, and learns what they say.
type Inspector struct {
	hash hash.Hash
	size int64
}

// NewInspector has seen nothing yet.
func NewInspector() *Inspector { return &Inspector{hash: sha256.New()} }

// Write never fails.
func (i *Inspector) Write(p []byte) (int, error) {
	i.size += int64(len(p))
	return i.hash.Write(p)
}

// Facts of what was written so far.
func (i *Inspector) Facts() Facts {
	f := Facts{Size: i.size}
	i.hash.Sum(f.SHA256[:0])
	return f
}
