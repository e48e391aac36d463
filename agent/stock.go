package agent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"offsite/agent/retention"
)

// stock is what all targets hold of this host.
type stock struct {
	// on is each target's, by object; a target that could not be listed is not in it.
	on map[*worker]map[string]retention.Backup
	// bare is the size of data that lies on a target without its manifest, by object.
	bare map[*worker]map[string]int64
	// broken is the size of data that some target should have and has not whole, by object.
	broken map[string]int64
	// series is that of each object that has a manifest somewhere.
	series map[string]string
	// settled are the targets to which nothing is on its way, by name; nil: nobody knows.
	settled map[string]bool
	// coming counts what a target lacks and is taken to be on its way.
	coming map[*worker]int
}

// takeStock lists one series, or all, on every target. What fails on one target is part of the error.
func (a *Agent) takeStock(ctx context.Context, series string) (*stock, error) {
	s := &stock{
		on: map[*worker]map[string]retention.Backup{}, bare: map[*worker]map[string]int64{}, broken: map[string]int64{},
		series: map[string]string{}, coming: map[*worker]int{},
	}
	var failed []error
	for _, w := range a.workers {
		h, err := w.partialHistory(ctx, series)
		if err != nil {
			failed = append(failed, fmt.Errorf("target %s: %w", w.target.Name, err))
			continue
		}
		if len(h.unread) > 0 {
			failed = append(failed, fmt.Errorf("target %s: %w", w.target.Name, errors.Join(h.unread...)))
		}
		s.on[w], s.bare[w] = map[string]retention.Backup{}, map[string]int64{}
		maps.Copy(s.broken, h.broken)
		for _, e := range h.without {
			s.bare[w][e.Object] = e.Stored
		}
		for name, backups := range h.series {
			for _, b := range backups {
				s.on[w][b.Object] = b
				s.series[b.Object] = name
			}
		}
	}
	return s, errors.Join(failed...)
}

// objects are all that some target holds, oldest first within each series.
func (s *stock) objects() []string { return slices.Sorted(maps.Keys(s.series)) }

// wanted are the backups that the target lacks and its policy would keep if it had what the others have. Where another machine
// prunes, by a policy of its own, nobody here knows what is missing.
func (s *stock) wanted(w *worker) map[string]bool {
	if w.target.Retention == Off {
		return map[string]bool{}
	}
	own, elsewhere := map[string][]retention.Backup{}, map[string][]retention.Backup{}
	for other, backups := range s.on {
		for object, b := range backups {
			to := elsewhere
			if other == w {
				to = own
			}
			if other != w {
				b = s.asWhole(b)
			}
			to[s.series[object]] = append(to[s.series[object]], b)
		}
	}
	wanted := map[string]bool{}
	s.coming[w] = 0
	for series := range elsewhere {
		lacking, coming := retention.Lacking(w.agent.Now(), w.keeps(series), own[series], elsewhere[series])
		for _, b := range lacking {
			wanted[b.Object] = true
		}
		for _, b := range coming {
			if _, bare := s.bare[w][b.Object]; bare || s.settled[w.target.Name] {
				wanted[b.Object] = true // it was there, or its manifest is late: a second one does no harm
			} else {
				s.coming[w]++
			}
		}
	}
	return wanted
}

// asWhole is a backup as it is if its data is whole on a target that lost the manifest.
func (s *stock) asWhole(b retention.Backup) retention.Backup {
	size, broken := s.broken[b.Object]
	for _, bare := range s.bare {
		if stored, there := bare[b.Object]; broken && there && stored == size {
			b.Unsound = ""
		}
	}
	return b
}
