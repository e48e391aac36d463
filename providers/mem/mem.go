// Package mem keeps objects in memory. It is for tests of whatever uses a target: it behaves as the real ones do, the
// resuming of an unfinished Put included, and fails on demand.
package mem

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"offsite/providers"
)

// Target is one handle to a store.
type Target struct {
	store  *store
	mu     sync.Mutex
	closed bool
}

type store struct {
	mu       sync.Mutex
	objects  map[string]object
	partials map[string]map[int]part // blocks of unfinished Puts
	damaged  map[string][]byte       // what was preserved
	fault    func(Call) error
	calls    map[string]int
}

type object struct {
	bytes    []byte
	modified time.Time
}

type part struct {
	bytes []byte
	sum   [32]byte
}

// Call is a moment at which a fault can be injected.
type Call struct {
	// Op is put, block (of a Put, before it is stored), commit (of a Put, before the object is visible), done (after
	// that), get, stat, list, delete, preserve or sweep.
	Op, Name string
	// Block is the number of the block, for block.
	Block int
}

var _ providers.Target = (*Target)(nil)

// New returns a handle to a new, empty store.
func New() *Target {
	return &Target{store: &store{objects: map[string]object{}, partials: map[string]map[int]part{}, damaged: map[string][]byte{}, calls: map[string]int{}}}
}

// Handle returns another handle to the same store, as another process would have.
func (t *Target) Handle() *Target { return &Target{store: t.store} }

// Fault makes f decide before each step whether it fails; nil: nothing does. f may block to play a server that hangs.
func (t *Target) Fault(f func(Call) error) {
	t.store.mu.Lock()
	defer t.store.mu.Unlock()
	t.store.fault = f
}

// Calls counts the calls of one op, as Call has them, that were not refused.
func (t *Target) Calls(op string) int {
	t.store.mu.Lock()
	defer t.store.mu.Unlock()
	return t.store.calls[op]
}

// Objects is a copy of all that is visible.
func (t *Target) Objects() map[string][]byte {
	t.store.mu.Lock()
	defer t.store.mu.Unlock()
	all := map[string][]byte{}
	for name, o := range t.store.objects {
		all[name] = bytes.Clone(o.bytes)
	}
	return all
}

// Preserve is part of providers.Preserver.
func (t *Target) Preserve(ctx context.Context, name string) error {
	o, err := t.find(ctx, "preserve", name)
	t.store.mu.Lock()
	defer t.store.mu.Unlock()
	delete(t.store.damaged, name)
	if err == nil {
		t.store.damaged[name] = o.bytes
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return wrap("preserve", name, err)
}

// Preserved are the names of the objects that were preserved.
func (t *Target) Preserved() []string {
	t.store.mu.Lock()
	defer t.store.mu.Unlock()
	return slices.Sorted(maps.Keys(t.store.damaged))
}

// Set replaces an object behind everybody's back, or removes it when b is nil.
func (t *Target) Set(name string, b []byte) {
	t.store.mu.Lock()
	defer t.store.mu.Unlock()
	if b == nil {
		delete(t.store.objects, name)
		return
	}
	t.store.objects[name] = object{b, time.Now()}
}

// SetAt is Set with the time at which it is said to have been stored.
func (t *Target) SetAt(name string, b []byte, at time.Time) {
	t.store.mu.Lock()
	defer t.store.mu.Unlock()
	t.store.objects[name] = object{b, at}
}

// Leftovers are the names of unfinished Puts.
func (t *Target) Leftovers() []string {
	t.store.mu.Lock()
	defer t.store.mu.Unlock()
	return slices.Sorted(maps.Keys(t.store.partials))
}

// step runs the fault hook and counts.
func (t *Target) step(ctx context.Context, c Call) error {
	t.mu.Lock()
	closed := t.closed
	t.mu.Unlock()
	if closed {
		return fs.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	t.store.mu.Lock()
	fault := t.store.fault
	t.store.mu.Unlock()
	if fault != nil {
		if err := fault(c); err != nil {
			return err
		}
	}
	t.store.mu.Lock()
	defer t.store.mu.Unlock()
	t.store.calls[c.Op]++
	return ctx.Err()
}

func wrap(op, name string, err error) error {
	if err == nil {
		return nil
	}
	e := &providers.Error{Op: op, Name: name, Err: err}
	for _, kind := range []error{fs.ErrNotExist, fs.ErrPermission, providers.ErrPermanent, providers.ErrSourceChanged, providers.ErrCorrupt} {
		if e.Kind == nil && errors.Is(err, kind) {
			e.Kind = kind
		}
	}
	return e
}

// Put is part of providers.Target.
func (t *Target) Put(ctx context.Context, name string, src providers.Source) error {
	return wrap("put", name, t.put(ctx, name, src))
}

func (t *Target) put(ctx context.Context, name string, src providers.Source) error {
	if err := providers.CheckName(name); err != nil {
		return err
	}
	if err := t.step(ctx, Call{Op: "put", Name: name}); err != nil {
		return err
	}
	for i := range providers.Blocks(src) {
		if err := t.putBlock(ctx, name, src, i); err != nil {
			if errors.Is(err, providers.ErrSourceChanged) {
				t.dropPartial(name)
			}
			return err
		}
	}
	if err := t.step(ctx, Call{Op: "commit", Name: name}); err != nil {
		return err
	}
	t.publish(name, providers.Blocks(src))
	return t.step(ctx, Call{Op: "done", Name: name})
}

func (t *Target) putBlock(ctx context.Context, name string, src providers.Source, i int) error {
	t.store.mu.Lock()
	have, ok := t.store.partials[name][i]
	t.store.mu.Unlock()
	if want, known := src.Sum(i); ok && known && want == have.sum {
		providers.Resumed(src, i, i+1)
		return nil
	}
	b, err := src.Block(ctx, i)
	if err != nil {
		return err
	}
	defer b.Release()
	if err := t.step(ctx, Call{Op: "block", Name: name, Block: i}); err != nil {
		return err
	}
	p := make([]byte, b.Body.Size())
	if _, err := b.Body.ReadAt(p, 0); err != nil && err != io.EOF {
		return err
	}
	t.store.mu.Lock()
	defer t.store.mu.Unlock()
	if t.store.partials[name] == nil {
		t.store.partials[name] = map[int]part{}
	}
	t.store.partials[name][i] = part{p, b.Sum}
	return nil
}

func (t *Target) publish(name string, blocks int) {
	t.store.mu.Lock()
	defer t.store.mu.Unlock()
	all := []byte{}
	for i := range blocks {
		all = append(all, t.store.partials[name][i].bytes...)
	}
	t.store.objects[name] = object{all, time.Now()}
	delete(t.store.partials, name)
}

func (t *Target) dropPartial(name string) {
	t.store.mu.Lock()
	defer t.store.mu.Unlock()
	delete(t.store.partials, name)
}

func (t *Target) find(ctx context.Context, op, name string) (object, error) {
	if err := providers.CheckName(name); err != nil {
		return object{}, err
	}
	if err := t.step(ctx, Call{Op: op, Name: name}); err != nil {
		return object{}, err
	}
	t.store.mu.Lock()
	defer t.store.mu.Unlock()
	o, ok := t.store.objects[name]
	if !ok {
		return object{}, fmt.Errorf("no such object: %w", fs.ErrNotExist)
	}
	return o, nil
}

// Get is part of providers.Target.
func (t *Target) Get(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	o, err := t.find(ctx, "get", name)
	if err != nil {
		return nil, wrap("get", name, err)
	}
	b := o.bytes[min(offset, int64(len(o.bytes))):]
	if length >= 0 {
		b = b[:min(length, int64(len(b)))]
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}

// Stat is part of providers.Target.
func (t *Target) Stat(ctx context.Context, name string) (providers.Object, error) {
	o, err := t.find(ctx, "stat", name)
	if err != nil {
		return providers.Object{}, wrap("stat", name, err)
	}
	return providers.Object{Name: name, Size: int64(len(o.bytes)), Modified: o.modified}, nil
}

// List is part of providers.Target.
func (t *Target) List(ctx context.Context, prefix string) iter.Seq2[providers.Object, error] {
	return func(yield func(providers.Object, error) bool) {
		if err := t.step(ctx, Call{Op: "list", Name: prefix}); err != nil {
			yield(providers.Object{}, wrap("list", prefix, err))
			return
		}
		t.store.mu.Lock()
		all := maps.Clone(t.store.objects)
		t.store.mu.Unlock()
		for _, name := range slices.Sorted(maps.Keys(all)) {
			if err := ctx.Err(); err != nil {
				yield(providers.Object{}, wrap("list", prefix, err))
				return
			}
			o := providers.Object{Name: name, Size: int64(len(all[name].bytes)), Modified: all[name].modified}
			if strings.HasPrefix(name, prefix) && !yield(o, nil) {
				return
			}
		}
	}
}

// Delete is part of providers.Target.
func (t *Target) Delete(ctx context.Context, name string) error {
	err := providers.CheckName(name)
	if err == nil {
		err = t.step(ctx, Call{Op: "delete", Name: name})
	}
	if err != nil {
		return wrap("delete", name, err)
	}
	t.Set(name, nil)
	t.dropPartial(name)
	t.store.mu.Lock()
	defer t.store.mu.Unlock()
	delete(t.store.damaged, name)
	return nil
}

// Close is part of providers.Target. Other handles stay open.
func (t *Target) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	return nil
}

// Sweep is part of providers.Sweeper. What was left has no age here: all of it counts as of now.
func (t *Target) Sweep(ctx context.Context, dir string, before time.Time, spare []string) (removed int, err error) {
	if err := t.step(ctx, Call{Op: "sweep", Name: dir}); err != nil {
		return 0, wrap("delete", dir, err)
	}
	if before.Before(time.Now()) {
		return 0, nil
	}
	for _, name := range t.Leftovers() {
		if strings.HasPrefix(name, dir+"/") && !slices.Contains(spare, name) {
			t.dropPartial(name)
			removed++
		}
	}
	return removed, nil
}
