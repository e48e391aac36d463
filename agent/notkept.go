package agent

import (
	"cmp"
	"slices"
	"time"

	"offsite/agent/journal"
)

// NotKept is a dump that a target did not get, since its retention would have removed it at once.
type NotKept struct {
	Target string    `json:"target"`
	Series string    `json:"series"`
	Taken  time.Time `json:"taken"`
	Name   string    `json:"name"`
	Path   string    `json:"path"`
	Size   int64     `json:"size"`
	// Policy is that by which it was declined, and At when.
	Policy string    `json:"policy"`
	At     time.Time `json:"at"`
}

// NotKept lists the dumps that targets did not get for their retention, by target, series and time. Whether they are still
// on this host it does not say.
func (a *Agent) NotKept() ([]NotKept, error) {
	var all []NotKept
	err := a.journal.Each(func(d *journal.Dump) error {
		for target, t := range d.Targets {
			if t.State == journal.Declined {
				all = append(all, NotKept{target, d.Series, d.Taken, d.Name, d.Path, d.File.Size, t.Policy, t.At})
			}
		}
		return nil
	})
	slices.SortFunc(all, func(a, b NotKept) int {
		return cmp.Or(cmp.Compare(a.Target, b.Target), cmp.Compare(a.Series, b.Series), a.Taken.Compare(b.Taken), cmp.Compare(a.Path, b.Path))
	})
	return all, err
}
