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
	// series is that of each object.
	series map[string]string
}

// takeStock lists one series, or all, on every target. What fails on one target is part of the error.
func (a *Agent) takeStock(ctx context.Context, series string) (*stock, error) {
	s := &stock{on: map[*worker]map[string]retention.Backup{}, series: map[string]string{}}
	var failed []error
	for _, w := range a.workers {
		h, err := w.history(ctx, series)
		if err != nil {
			failed = append(failed, fmt.Errorf("target %s: %w", w.target.Name, err))
			continue
		}
		s.on[w] = map[string]retention.Backup{}
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
			to[s.series[object]] = append(to[s.series[object]], b)
		}
	}
	wanted := map[string]bool{}
	for series := range elsewhere {
		for _, b := range retention.Lacking(w.agent.Now(), w.keeps(series), own[series], elsewhere[series]) {
			wanted[b.Object] = true
		}
	}
	return wanted
}
