package vault

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"filippo.io/age"

	"offsite/crypto"
	"offsite/providers"
)

// Copies are the places from which one backup can be read.
type Copies struct {
	// Vaults hold the data object, which has the same name and bytes on each. At least one; those before are asked first.
	// One whose connection broke off, that lacks the object or may not read it, is asked last from then on. One that holds
	// damaged blocks gives the others, until the third.
	Vaults []*Vault
	// Names of the vaults stand before what is said of them. nil: nothing does.
	Names []string
	// Have is the dump itself, or a part of it with anything else in between, of which nothing is believed. nil: nothing is here.
	Have io.ReaderAt
	// Identities open the object. They are needed for Have alone.
	Identities []age.Identity
	// Whole is the largest block that is held in memory, in bytes; 0: 32 MiB. See Large.
	Whole int64
	// Unproven: of blocks that are too large to be held in memory, bytes are given out before their block is compared. A block that
	// was not right is an error after them, and io.EOF says that all were: it is for who publishes nothing before that, and
	// spares fetching such blocks twice. A copy that holds a damaged block is not made up for by the next one then.
	Unproven bool
	// Failed is told why a vault did not give what it was asked for; of a connection that is down, once until it is up again.
	// Calls do not overlap, and end before the reader's Close does. nil: nobody wants to know.
	Failed func(error)
}

// patience is how long to wait before all copies are asked again for a block that they did not give: a minute in all, in
// which a server restarts and a line comes back.
var patience = [...]time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 15 * time.Second, 30 * time.Second}

const (
	// headway is how much of a block must have come for the patience to begin anew: a line that breaks off every few
	// seconds gets there in the end, and a server that sends a byte a minute does not keep anybody for ever.
	headway = 256 << 10
	// tooDamaged is how many damaged blocks make a copy the last to be asked.
	tooDamaged = 3
	// maxHead bounds what is read of the head of an age file. A recipient takes up to 2 KB.
	maxHead = 1 << 20
)

// fetcher gets blocks from whichever copy gives them. It may be used concurrently.
type fetcher struct {
	Copies
	m *Manifest

	mu     sync.Mutex
	faults int
	copies []condition
}

// condition is what is known of a copy.
type condition struct {
	fault   int  // when it failed last as a whole, counted in faults; 0: never
	down    bool // it has given nothing since
	damaged int  // blocks
}

func newFetcher(c Copies, m *Manifest) *fetcher {
	return &fetcher{Copies: c, m: m, copies: make([]condition, len(c.Vaults))}
}

// resealer makes blocks of what is here; nil: nothing is, or the head of the object cannot be had or opened. (Why not shows
// when the object itself is read.)
func (f *fetcher) resealer(ctx context.Context) *crypto.Resealer {
	size := crypto.HeadSize(f.m.Stored, f.m.Size)
	if f.Have == nil || size <= 0 || size > maxHead {
		return nil
	}
	p := &piece{b: make([]byte, size), what: "its head"}
	if f.fetch(ctx, p) != nil {
		return nil
	}
	r, err := crypto.NewResealer(p.b, f.m.Size, f.m.BlockSize, f.Identities...)
	if err != nil {
		return nil
	}
	return r
}

// sized is memory for block i: b if that is large enough.
func (f *fetcher) sized(i int, b []byte) []byte {
	length := min(f.m.BlockSize, f.m.Stored-int64(i)*f.m.BlockSize)
	if int64(cap(b)) < length {
		b = make([]byte, length)
	}
	return b[:length]
}

// block fills b with block i, and verifies it.
func (f *fetcher) block(ctx context.Context, i int, b []byte) error {
	return f.fetch(ctx, &piece{b: b, offset: int64(i) * f.m.BlockSize, sum: &f.m.Blocks[i], what: fmt.Sprintf("block %d", i)})
}

// piece is a range of the object, of which n bytes have come.
type piece struct {
	b      []byte
	offset int64
	sum    *Sum // what all of it must have; nil: it is not known
	what   string

	n    int
	from int // the copy that n bytes came from, or mixed
}

// mixed: several copies gave something of a piece.
const mixed = -1

// fetch fills the piece. A connection that breaks off makes the next copy, or the same a little later, go on where it
// was; what cannot be had by waiting, damage for one, makes a copy useless for this piece.
func (f *fetcher) fetch(ctx context.Context, p *piece) error {
	useless := make([]error, len(f.Vaults))
	most := 0
	for wait := 0; ; wait++ {
		var broken []error
		for _, c := range f.order() {
			if useless[c] != nil {
				continue
			}
			before := f.fault(c)
			err := f.named(c, f.from(ctx, c, p))
			f.note(ctx, c, before, err)
			switch {
			case err == nil:
				return nil
			case ctx.Err() != nil:
				return ctx.Err()
			case final(err):
				useless[c] = err
			default:
				broken = append(broken, err)
			}
		}
		if p.n >= most+headway {
			most, wait = p.n, 0
		}
		if len(broken) == 0 || wait == len(patience) {
			return errors.Join(append(useless, broken...)...)
		}
		if err := sleep(ctx, patience[wait]); err != nil {
			return err
		}
	}
}

// from goes on with the piece from one copy. A whole that is wrong, and of which others gave a part, does not say who is to
// blame: this copy then gives all of it.
func (f *fetcher) from(ctx context.Context, c int, p *piece) error {
	for {
		if p.n == 0 {
			p.from = c
		} else if p.from != c {
			p.from = mixed
		}
		if err := f.Vaults[c].piece(ctx, f.m, p); err != nil {
			return err
		}
		if p.sum == nil || Sum(sha256.Sum256(p.b)) == *p.sum {
			return nil
		}
		p.n = 0
		if p.from != mixed {
			return f.m.damaged(p, "does not have its signed SHA-256")
		}
	}
}

func (f *fetcher) named(c int, err error) error {
	if err == nil || c >= len(f.Names) {
		return err
	}
	return fmt.Errorf("%s: %w", f.Names[c], err)
}

// piece brings what the piece lacks. Of a copy that is cut short nothing stays.
func (v *Vault) piece(ctx context.Context, m *Manifest, p *piece) error {
	body, err := v.target.Get(ctx, m.Object, p.offset+int64(p.n), int64(len(p.b)-p.n))
	if isMissing(err) {
		return fmt.Errorf("%w (%w)", m.damaged(p, "is missing: the data object is gone, its manifest is still there"), errGone)
	}
	if err != nil {
		return err
	}
	defer body.Close()
	n, err := io.ReadFull(unbroken{body}, p.b[p.n:])
	p.n += n
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = m.damaged(p, fmt.Sprintf("is cut short after %d bytes", p.n))
		p.n = 0
	}
	return err
}

// errGone: the copy lacks the whole object.
var errGone = errors.New("as a whole")

func (m *Manifest) damaged(p *piece, why string) error {
	return m.damagedRange(p.what, p.offset, p.offset+int64(len(p.b)), why)
}

func (m *Manifest) damagedRange(what string, begin, end int64, why string) error {
	return fmt.Errorf("%s: %w: %s (bytes %d to %d) %s", m.Object, ErrIntegrity, what, begin, end-1, why)
}

// final says that asking the same copy again would not help.
func final(err error) bool {
	return errors.Is(err, ErrIntegrity) || errors.Is(err, fs.ErrPermission) || errors.Is(err, providers.ErrPermanent)
}

// order is in which the copies are asked: those that have failed as a whole come last, and of these the one first that
// had the most time to recover.
func (f *fetcher) order() []int {
	f.mu.Lock()
	defer f.mu.Unlock()
	order := make([]int, len(f.copies))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(f.copies[a].fault, f.copies[b].fault) })
	return order
}

// fault is when a copy failed last as a whole.
func (f *fetcher) fault(c int) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.copies[c].fault
}

// note keeps in mind how a copy did, and tells. before is its fault when it was asked: what comes to an end after a
// fault, but was begun before, does not say that the copy is up again.
func (f *fetcher) note(ctx context.Context, c, before int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	is := &f.copies[c]
	if err == nil {
		is.down = is.down && is.fault != before
		return
	}
	if ctx.Err() != nil {
		return // whoever asked has gone, which says nothing of the copy
	}
	damage := errors.Is(err, ErrIntegrity) && !errors.Is(err, errGone)
	if damage {
		is.damaged++
	}
	tell := damage || !is.down && is.fault == before // or it is the same outage
	if !damage || is.damaged >= tooDamaged {
		f.faults++
		is.fault = f.faults
	}
	if f.Failed != nil && tell {
		f.Failed(err)
	}
	is.down = !damage
}

// sleep waits for so long and up to a quarter more, so that not all come back at once.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d + rand.N(d/4))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// unbroken tells a connection that broke off from an object that ends: only the latter is damage.
type unbroken struct{ io.Reader }

// Read gives io.ErrUnexpectedEOF, which io.ReadFull would give for a short object too, another name.
func (u unbroken) Read(p []byte) (int, error) {
	n, err := u.Reader.Read(p)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("the connection broke off: %v", err)
	}
	return n, err
}
