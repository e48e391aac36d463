package watch

import (
	"container/heap"
	"time"
)

// candidates are the files that have not settled, in the order in which they are to be looked at. It is a pure state
// machine: the clock and the facts come from outside.
type candidates struct {
	by  map[string]*candidate
	due dueHeap
}

type candidate struct {
	dir   int
	path  string
	id    FileID
	since time.Time // when this version was first seen
	first time.Time // when the file was first seen
	due   time.Time // when to look at it next
	busy  bool      // a writer had it open at the last look
	scan  uint32    // that met it last
	index int       // in the heap
}

func newCandidates() *candidates { return &candidates{by: map[string]*candidate{}} }

// observe notes that the file has this version now, and gives it back. A version whose times both lie a settle time back needs no wait.
func (c *candidates) observe(dir int, path string, id FileID, settle time.Duration, now time.Time) *candidate {
	k := c.by[path]
	if k != nil && k.id == id {
		return k
	}
	if k == nil {
		k = &candidate{dir: dir, path: path, first: now}
		c.by[path] = k
		heap.Push(&c.due, k)
	}
	k.id, k.since, k.due = id, now, now.Add(settle)
	if quiet := now.Add(-settle).UnixNano(); id.MTime <= quiet && id.CTime <= quiet {
		k.due = now
	}
	heap.Fix(&c.due, k.index)
	return k
}

// next is the file to look at now, or nil; it stays a candidate until drop or retry.
func (c *candidates) next(now time.Time) *candidate {
	if len(c.due) == 0 || c.due[0].due.After(now) {
		return nil
	}
	return c.due[0]
}

// wait is how long nothing is due; ok is false when there are no candidates.
func (c *candidates) wait(now time.Time) (d time.Duration, ok bool) {
	if len(c.due) == 0 {
		return 0, false
	}
	return max(0, c.due[0].due.Sub(now)), true
}

// retry looks at a file again later.
func (c *candidates) retry(k *candidate, at time.Time) {
	k.due = at
	heap.Fix(&c.due, k.index)
}

func (c *candidates) drop(path string) {
	if k := c.by[path]; k != nil {
		heap.Remove(&c.due, k.index)
		delete(c.by, path)
	}
}

// dueHeap is a heap by due, for container/heap. Files that are due at once come in order of their paths.
type dueHeap []*candidate

func (h dueHeap) Len() int { return len(h) }
func (h dueHeap) Less(i, j int) bool {
	if h[i].due.Equal(h[j].due) {
		return h[i].path < h[j].path
	}
	return h[i].due.Before(h[j].due)
}
func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}
func (h *dueHeap) Push(x any) {
	k := x.(*candidate)
	k.index = len(*h)
	*h = append(*h, k)
}
func (h *dueHeap) Pop() any {
	old := *h
	k := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return k
}
