package agent

import (
	"fmt"
	"slices"
	"sync"

	"github.com/dustin/go-humanize"

	"offsite/agent/dump"
	"offsite/agent/journal"
	"offsite/agent/vault"
)

const (
	// compared is how many of the last healthy dumps a new one's size is compared with, and fewest how many there must be.
	compared = 15
	fewest   = 5
	// shrunk and grown are by what factor a size may differ from their median; small is a difference, in bytes, that says
	// nothing.
	shrunk, grown = 2, 4
	small         = 4 << 10
)

// oddSize says why a dump's size makes it suspect, against the median of the last healthy dumps of its series that the targets
// hold; empty: it does not. Where a person has accepted one, only that one and those after it count: the size is
// another now.
func (a *Agent) oddSize(d *journal.Dump) (string, error) {
	name, err := vault.Parse(d.Object)
	if err != nil {
		return "", err
	}
	alike := func(object string) bool {
		other, err := vault.Parse(object)
		return err == nil && dump.Shape(other.File) == dump.Shape(name.File)
	}
	sizes := map[string]int64{}
	for _, w := range a.workers {
		last, err := a.journal.Healthy(w.target.Name, vault.SeriesDir(name.Host, name.Series), name.String(), compared, alike)
		if err != nil {
			return "", err
		}
		for _, h := range last {
			sizes[h.Object] = h.Size
			if h.Accepted {
				return judgeSize(d.File.Size, newerThan(last, h.Object), 1), nil
			}
		}
	}
	var all []int64
	for _, size := range sizes {
		all = append(all, size)
	}
	return judgeSize(d.File.Size, all, fewest), nil
}

// newerThan are the sizes of an accepted dump and of those after it.
func newerThan(last []journal.Sized, object string) (sizes []int64) {
	for _, h := range last {
		sizes = append(sizes, h.Size)
		if h.Object == object {
			break
		}
	}
	return sizes
}

func judgeSize(size int64, last []int64, fewest int) string {
	if len(last) < fewest {
		return ""
	}
	slices.Sort(last)
	median := last[len(last)/2]
	text := func(n int64) string { return humanize.IBytes(uint64(n)) }
	switch {
	case size < median/shrunk && median-size > small:
		return fmt.Sprintf("it has %s, and the last healthy ones of its series have about %s: is something missing?", text(size), text(median))
	case size/grown > median && size-median > small:
		return fmt.Sprintf("it has %s, and the last healthy ones of its series have about %s: what is in it?", text(size), text(median))
	}
	return ""
}

// suspects are what this run found suspect, for people.
type suspects struct {
	mu    sync.Mutex
	found []string
}

func (s *suspects) note(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.found = append(s.found, what)
}

func (s *suspects) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.found)
}
