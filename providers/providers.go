// Package providers is the contract between the agent and a place that holds backups.
//
// A Target stores whole objects under slash-separated names. Each implementation lives in a package of its own
// (dir, s3, minio, sftp, mem) and passes the suite in targettest, which has one subtest for each sentence below.
// The contract knows no vendor and imports the standard library only.
package providers

import (
	"context"
	"io"
	"io/fs"
	"iter"
	"time"
)

// Target is one place that holds objects. All methods may be called concurrently.
//
// No method retries for long: a failed call returns an error that [errors.Is] sorts into fs.ErrNotExist,
// fs.ErrPermission, [ErrPermanent] or none of these (worth another try), and the caller decides. No method has a
// time limit of its own on the whole call, but each gives up when its server is silent for the implementation's idle
// timeout. A cancelled context ends every call promptly with an error for which errors.Is(err, context.Canceled) holds.
//
// A name is valid when [CheckName] accepts it; every method refuses another one with an error that is ErrPermanent.
type Target interface {
	// Put stores src under name. A reader sees the whole object or what was there before, never a part: success means
	// that the object is complete and as durable as the target can make it. Put replaces an object of that name.
	//
	// Put that failed or was cancelled leaves nothing that List, Stat or Get can see. It may leave what it sent so far
	// in a hidden place (parts of a multipart upload, a temporary file); a later Put of the same name, by any process,
	// finds it, compares it with src, and sends only the rest. Put trusts nothing that it finds: what cannot be
	// compared is sent again. If src itself, or the reading of a block, fails with an error that is [ErrSourceChanged], the
	// bytes under this name will never be finished, and Put removes what it left.
	//
	// Put asks for the blocks of src in ascending order, several at a time at most, and releases each.
	Put(ctx context.Context, name string, src Source) error

	// Get opens length bytes of an object from offset on; length < 0 means up to its end. An offset at or beyond the
	// end gives an empty reader or an error, a range that ends beyond the end is cut. A reader that ends with io.EOF
	// has given all of the range: a connection that breaks off shows as another error. The caller closes the reader.
	// A missing object is fs.ErrNotExist, from Get itself, not from the reader.
	Get(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error)

	// Stat describes one object. A missing one is fs.ErrNotExist.
	Stat(ctx context.Context, name string) (Object, error)

	// List yields every object whose name starts with prefix (a string prefix, not a folder), in ascending byte order
	// of the names, without holding all of them in memory. It ends after the first error. No object: no iteration,
	// no error, even when nothing was ever stored. Hidden leftovers of Put are not listed.
	List(ctx context.Context, prefix string) iter.Seq2[Object, error]

	// Delete removes an object, and what an unfinished Put of that name left. A missing object is success.
	Delete(ctx context.Context, name string) error

	// Close releases connections. Calls under way may fail; calls after Close fail. Close may be called twice.
	Close() error
}

// Sweeper is a Target that can remove what Puts left that nobody will finish. Those that keep objects somewhere else than
// in memory all are.
type Sweeper interface {
	// Sweep removes what unfinished Puts of names below the directory dir left, if it was begun (or, where only that is
	// known, last written) before the given time, and gives how many it removed. The Puts of the names in spare will go
	// on, whatever their age.
	Sweep(ctx context.Context, dir string, before time.Time, spare []string) (removed int, err error)
}

// Preserver is a Target that can keep a damaged object when another Put is about to replace it.
type Preserver interface {
	// Preserve keeps what name holds now in a hidden place, until Delete of that name; what was kept there before goes. That
	// there is no such object is no error. The object itself stays as it is. Where that cannot be done it is
	// errors.ErrUnsupported.
	Preserve(ctx context.Context, name string) error
}

// Checksummer is a Target whose store keeps checksums of what it was given.
type Checksummer interface {
	// Compare says, without reading it, whether the object was made of blocks with these SHA-256s. known is false when the
	// store does not say, or only in a form that cannot be compared. A missing object is fs.ErrNotExist.
	Compare(ctx context.Context, name string, sums [][32]byte) (same, known bool, err error)
}

// Object is what a target says of one stored object.
type Object struct {
	// Name is the full name, as it was given to Put.
	Name string
	// Size in bytes.
	Size int64
	// Modified is the server's time of storing. It is for people only: no decision rests on it.
	Modified time.Time
}

// Source is what Put stores: a known number of bytes that can be made again at will, cut into blocks of one size.
// Block i holds the bytes [i*BlockSize, min((i+1)*BlockSize, Size)); a source of 0 bytes has no blocks.
// All methods may be called concurrently.
type Source interface {
	// Size in bytes, 0 or more.
	Size() int64
	// BlockSize in bytes, more than 0. It never changes, across restarts too, for the same object name.
	BlockSize() int64
	// Block makes block i and its SHA-256. It waits for memory, which Release gives back: whoever holds a block
	// while waiting for another must be able to finish without it. An error that is ErrSourceChanged is final.
	Block(ctx context.Context, i int) (*Block, error)
	// Sum is the SHA-256 of block i if it is known without making the block.
	Sum(i int) (sum [32]byte, known bool)
}

// Resumer is a Source that wants to know what an earlier Put has left: Put calls Resumed for blocks that it need not send,
// from included, to not. It may be called concurrently.
type Resumer interface{ Resumed(from, to int) }

// Resumed tells src, if it is a Resumer.
func Resumed(src Source, from, to int) {
	if l, ok := src.(lockedSource); ok {
		src = l.Source
	}
	if r, ok := src.(Resumer); ok && from < to {
		r.Resumed(from, to)
	}
}

// Block is one block of a Source, alive until it is released.
type Block struct {
	// Index counts from 0.
	Index int
	// Body is the block's bytes. It may be read any number of times, in parallel, through its io.ReaderAt. A large block is not
	// held in memory but made while it is read: to read it from front to back is cheap, and an error may come in its
	// middle, of the same kinds as from Source.Block.
	Body *io.SectionReader
	// Sum is the SHA-256 of Body.
	Sum [32]byte

	release func()
}

// Memory is the body of a block that is held: who can send it as it is need not copy it.
type Memory []byte

// ReadAt is part of io.ReaderAt.
func (m Memory) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, fs.ErrInvalid
	}
	if off < int64(len(m)) {
		n = copy(p, m[off:])
	}
	if n < len(p) {
		err = io.EOF
	}
	return n, err
}

// NewBlock returns a block; release, which may be nil, is called once by the first Release.
func NewBlock(index int, body *io.SectionReader, sum [32]byte, release func()) *Block {
	return &Block{Index: index, Body: body, Sum: sum, release: release}
}

// Release gives the block's memory back. Nothing may read Body afterwards. A second call does nothing.
// Release is not safe for concurrent use.
func (b *Block) Release() {
	if b.release != nil {
		b.release()
		b.release = nil
	}
}

// Blocks is the number of blocks of a source.
func Blocks(src Source) int {
	return int((src.Size() + src.BlockSize() - 1) / src.BlockSize())
}
