package dump

import (
	"math/bits"
	"slices"
)

// ids is a set of numbers, which lie close together as those of a dump's entries do: 4096 of them that do
// take half a kilobyte.
type ids map[int64]*page

type page [64]uint64

// room is what all sets and names of a dump may take: 8 MiB, and some.
type room struct{ pages, names int }

const (
	maxPages = 1 << 14
	maxNames = 10000
)

// add says whether there was room.
func (s ids) add(n int64, r *room) bool {
	p := s[n>>12]
	if p == nil {
		if r.pages >= maxPages {
			return false
		}
		r.pages++
		p = new(page)
		s[n>>12] = p
	}
	p[n>>6&63] |= 1 << (n & 63)
	return true
}

func (s ids) has(n int64) bool {
	p := s[n>>12]
	return p != nil && p[n>>6&63]&(1<<(n&63)) != 0
}

// without gives the smallest number that is not in others; false: all are.
func (s ids) without(others ids) (int64, bool) {
	var missing []int64
	for i, p := range s {
		o := others[i]
		if o == nil {
			o = new(page)
		}
		for j := range p {
			if rest := p[j] &^ o[j]; rest != 0 {
				missing = append(missing, i<<12|int64(j)<<6|int64(bits.TrailingZeros64(rest)))
				break
			}
		}
	}
	if len(missing) == 0 {
		return 0, false
	}
	return slices.Min(missing), true
}

// crowd tells whether two sets of numbers, of any size, are the same: by how many they are, and a sum of their hashes.
type crowd struct {
	n   int64
	sum uint64
}

func (c *crowd) add(n uint64) {
	h := n + 0x9e3779b97f4a7c15 // splitmix64
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	c.n++
	c.sum += h ^ h>>31
}
