package vault

import (
	"context"
	"errors"
	"fmt"
	"io"

	"filippo.io/age"

	"offsite/crypto"
)

// WritePlain writes the dump of a backup to w. Each block is compared with its signed SHA-256 before any byte of it is given
// out, as with Open, and opened by whoever fetched it: on all processors. Errors are those of Open and of crypto.Open; one
// that w gives is passed on. What it holds is ErrIntegrity if it is not as long as the manifest says.
func (c Copies) WritePlain(ctx context.Context, m *Manifest, w io.Writer, identities ...age.Identity) error {
	head := crypto.HeadSize(m.Stored, m.Size)
	if c.Large(m) || head <= 0 || head > min(m.BlockSize, m.Stored) {
		return c.streamPlain(ctx, m, w, identities)
	}
	o := &opening{m: m, head: head, identities: identities, ready: make(chan struct{})}
	data := c.openBlocks(ctx, m, o.block)
	defer data.Close()
	for i := 0; ; i++ {
		b, err := data.advance()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = o.opener.Plain(i, b, func(plain []byte) error {
				_, err := w.Write(plain)
				return err
			})
		}
		if err != nil {
			return err
		}
	}
}

// opening is an age file whose head comes with its first block.
type opening struct {
	m          *Manifest
	head       int64
	identities []age.Identity
	ready      chan struct{} // closed when there is an opener
	opener     *crypto.Opener
}

// block opens block i.
func (o *opening) block(ctx context.Context, i int, b []byte) (err error) {
	if i == 0 {
		if o.opener, err = crypto.NewOpener(b[:o.head], o.m.Size, o.m.BlockSize, o.identities...); err != nil {
			return err
		}
		close(o.ready)
	}
	select {
	case <-o.ready:
		return o.opener.Block(i, b)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// streamPlain opens the data as any age file.
func (c Copies) streamPlain(ctx context.Context, m *Manifest, w io.Writer, identities []age.Identity) error {
	data := c.Open(ctx, m)
	defer data.Close()
	plain, err := crypto.OpenStream(data, identities...)
	if err != nil {
		return err
	}
	n, err := io.Copy(w, plain)
	if err == nil && n != m.Size {
		err = fmt.Errorf("%w: it holds %d bytes, its manifest says %d", ErrIntegrity, n, m.Size)
	}
	return err
}
