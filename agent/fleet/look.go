package fleet

import (
	"errors"
	"fmt"
	"time"

	"offsite/agent/status"
	"offsite/agent/vault"
)

// What a manifest says of the health of its dump.
const (
	healthy   = "ok"
	unchecked = "unchecked" // of a kind that cannot be examined: it counts as healthy
	suspect   = "suspect"
)

// look is what is learnt of a series.
type look struct {
	status.FleetSeries
	zone            *time.Location
	program, signer string
	unread          error
}

// manifest takes one in, newest first, and says whether that is enough: a healthy one was found, or reading fails.
func (l *look) manifest(e vault.Entry, m *vault.Manifest, signer string, err error, first bool) (enough bool) {
	switch {
	case errors.Is(err, vault.ErrUntrusted):
		l.Untrusted++
		l.Problems = append(l.Problems, fmt.Sprintf("the backup of %s is signed by %s, which is not trusted here", at(e.Taken), signer))
		return false
	case errors.Is(err, vault.ErrIntegrity):
		l.Damaged++
		l.Problems = append(l.Problems, fmt.Sprintf("the manifest of the backup of %s is damaged: %v", at(e.Taken), err))
		return false
	case err != nil:
		l.Unread++
		l.unread = err
		l.Problems = append(l.Problems, fmt.Sprintf("the manifest of the backup of %s cannot be read: %v", at(e.Taken), err))
		return true
	case e.Stored >= 0 && e.Stored != m.Stored:
		l.Damaged++
		l.Problems = append(l.Problems, fmt.Sprintf("the backup of %s has %d bytes, and its manifest says %d", at(e.Taken), e.Stored, m.Stored))
		return false
	}
	if first {
		l.Health, l.Reason = m.Health.State, m.Health.Reason
	}
	if l.signer == "" {
		l.signer, l.program = signer, m.Program
		if zone, err := time.LoadLocation(m.Zone); err == nil {
			l.zone = zone
		}
	}
	if e.Stored < 0 || m.Health.State != healthy && m.Health.State != unchecked {
		return false
	}
	l.Newest, l.Size = m.Taken, m.Size
	return true
}

// problems are those that the series as a whole has, worst first.
func (l *look) problems() (all []string) {
	add := func(bad bool, format string, args ...any) {
		if bad {
			all = append(all, fmt.Sprintf(format, args...))
		}
	}
	add(l.Overdue, "overdue since %s, the last one is of %s", at(l.Due), at(l.Last))
	add(l.Health == suspect, "the newest backup is suspect: %s", l.Reason)
	add(l.Lost > 0, "%d backups have lost their data", l.Lost)
	add(l.Newest.IsZero() && l.Backups == 0, "no backup yet, %d unfinished uploads", l.Unfinished)
	add(l.Newest.IsZero() && l.Backups > 0 && l.Unread == 0, "none of the newest backups is healthy")
	add(l.Future > 0, "%d backups are of the future: a clock was ahead", l.Future)
	return all
}

// at is an instant for people.
func at(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }
