// Package files is what targets that keep objects as files share (dir, sftp): where an unfinished object hides, how
// its blocks are written and checked, and in which order the files of a tree are listed.
package files

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"path"

	"golang.org/x/sync/errgroup"

	"offsite/providers"
)

// Parallel is how many blocks are made and written at once. While one is on its way, the next is sealed.
const Parallel = 3

// Partial is the hidden file of an unfinished Put, beside the object. Its name follows from the object's, so that a
// later Put and Delete find it, and does not grow with it.
func Partial(name string) string { return hidden(name, ".partial") }

// Damaged is the hidden file that keeps a damaged object which was replaced.
func Damaged(name string) string { return hidden(name, ".damaged") }

func hidden(name, ending string) string {
	sum := sha256.Sum256([]byte(name))
	return path.Join(path.Dir(name), ".offsite-"+hex.EncodeToString(sum[:8])+ending)
}

// Verified gives the index of the first block of src, from block first on, that does not stand in a file of size
// bytes. Blocks are written in parallel, and a crash may have left holes, so each is read and hashed.
func Verified(ctx context.Context, f io.ReaderAt, size int64, src providers.Source, first int) (int, error) {
	for i := first; i < providers.Blocks(src); i++ {
		if same, err := Same(ctx, f, size, src, i); err != nil || !same {
			return i, err
		}
	}
	return providers.Blocks(src), nil
}

// Same says whether block i of src is known and stands in a file of size bytes.
func Same(ctx context.Context, f io.ReaderAt, size int64, src providers.Source, i int) (bool, error) {
	offset, length := Range(src, i)
	want, known := src.Sum(i)
	if !known || offset+length > size {
		return false, nil
	}
	if err := ctx.Err(); err != nil {
		return false, err
	}
	h := sha256.New()
	if _, err := io.CopyBuffer(struct{ io.Writer }{h}, io.NewSectionReader(f, offset, length), make([]byte, min(length, 2<<20))); err != nil {
		return false, err
	}
	return [32]byte(h.Sum(nil)) == want, nil
}

// Range is where block i of src lies in its object.
func Range(src providers.Source, i int) (offset, length int64) {
	offset = int64(i) * src.BlockSize()
	return offset, min(src.BlockSize(), src.Size()-offset)
}

// Filler writes blocks into a file, a piece at a time so that a cancelled Put ends soon on a slow disk. It is for one file.
type Filler struct {
	piece int
	turns [Parallel]chan []byte // each with the buffer of whoever has the turn
}

// NewFiller makes a Filler for pieces of so many bytes.
func NewFiller(piece int) *Filler {
	f := &Filler{piece: piece}
	for i := range f.turns {
		f.turns[i] = make(chan []byte, 1)
		f.turns[i] <- nil
	}
	return f
}

// Fill writes the blocks from..to-1 of src. Block i starts only when block i-Parallel is written: whatever happens, all but
// the last Parallel blocks that were started are there. Nothing writes any more when Fill returns. It may be called again
// when it has returned no error.
func (f *Filler) Fill(ctx context.Context, file io.WriterAt, src providers.Source, from, to int) error {
	group, writing := errgroup.WithContext(ctx)
blocks:
	for i := from; i < to; i++ {
		turn := f.turns[i%Parallel]
		var buffer []byte
		select {
		case buffer = <-turn:
		case <-writing.Done():
			break blocks
		}
		group.Go(func() error {
			b, err := src.Block(writing, i)
			if err != nil {
				return err
			}
			defer b.Release()
			if buffer, err = writeBlock(writing, file, b, int64(i)*src.BlockSize(), int64(f.piece), buffer); err != nil {
				return err
			}
			turn <- buffer
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

// writeBlock writes a block, in pieces. One that is held in memory is sent from there; others go through buffer, which is made if it
// is too small, and given back.
func writeBlock(ctx context.Context, f io.WriterAt, b *providers.Block, offset, piece int64, buffer []byte) ([]byte, error) {
	outer, begin, _ := b.Body.Outer()
	held, inMemory := outer.(providers.Memory)
	piece = min(piece, b.Body.Size())
	if !inMemory && int64(len(buffer)) < piece {
		buffer = make([]byte, piece)
	}
	for at := int64(0); at < b.Body.Size(); at += piece {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		n := min(piece, b.Body.Size()-at)
		var p []byte
		if inMemory {
			p = held[begin+at:][:n]
		} else {
			p = buffer[:n]
			if _, err := b.Body.ReadAt(p, at); err != nil && err != io.EOF {
				return nil, err
			}
		}
		if _, err := f.WriteAt(p, offset+at); err != nil {
			return nil, err
		}
	}
	return buffer, nil
}
