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
	unsound         []string // what is wrong with manifests
	unread          error
}

// manifest takes one in, newest first, and says whether that is enough: a healthy one was found, or reading fails.
func (l *look) manifest(e vault.Entry, m *vault.Manifest, signer string, err error, first bool) (enough bool) {
	switch {
	case errors.Is(err, vault.ErrUntrusted):
		l.Untrusted++
		l.unsound = append(l.unsound, fmt.Sprintf("the backup of %s is signed by %s, which is not trusted here", at(e.Taken), signer))
		return false
	case errors.Is(err, vault.ErrIntegrity):
		l.Damaged++
		l.unsound = append(l.unsound, fmt.Sprintf("the manifest of the backup of %s is damaged: %v", at(e.Taken), err))
		return false
	case err != nil:
		l.Unread++
		l.unread = err
		return true
	case e.Stored >= 0 && e.Stored != m.Stored:
		l.Damaged++
		l.unsound = append(l.unsound, fmt.Sprintf("the backup of %s has %d bytes, and its manifest says %d", at(e.Taken), e.Stored, m.Stored))
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

// problems are all that there are, worst first.
func (l *look) problems() []string {
	all := l.unsound
	add := func(bad bool, format string, args ...any) {
		if bad {
			all = append(all, fmt.Sprintf(format, args...))
		}
	}
	add(l.Lost > 0, "%s", many(l.Lost, "backup has lost its data", "backups have lost their data"))
	add(l.Overdue, "overdue since %s, the last one is of %s", at(l.Due), at(l.Last))
	add(l.Health == suspect, "the newest backup is suspect: %s", l.Reason)
	add(l.Unread > 0, "the manifest of the backup of %s cannot be read: %v", at(l.Last), l.unread)
	add(l.Newest.IsZero() && l.Backups == 0, "no backup yet, %s", many(l.Unfinished, "unfinished upload", "unfinished uploads"))
	add(l.Newest.IsZero() && l.Backups > 0 && l.Unread == 0, "none of the newest backups is healthy")
	add(l.Future > 0, "%s of the future: a clock was ahead", many(l.Future, "backup is", "backups are"))
	return all
}

// at is an instant for people.
func at(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

func many(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}
