package status

import (
	"cmp"
	"slices"
	"time"
)

// Fleet is what one target holds of all hosts, as somebody sees it who can only list and read there.
type Fleet struct {
	Target string    `json:"target"`
	At     time.Time `json:"at"`
	// Level is the worst of all hosts.
	Level Level `json:"level"`
	// Whole says that all of it could be listed. What is said of hosts holds without it, but some may be missing.
	Whole bool `json:"whole"`
	// Checked says that signatures were compared with trusted keys. Without, a damaged one is noticed all the same.
	Checked bool `json:"checked"`
	// Series counts all; Overdue, Suspect and Unsound (damaged, or signed by a key that is not trusted) some of them, and Unread
	// those of which a manifest could not be read.
	Series  int `json:"series"`
	Overdue int `json:"overdue"`
	Suspect int `json:"suspect"`
	Unsound int `json:"unsound"`
	Unread  int `json:"unread"`
	// Strange counts objects that offsite did not name.
	Strange int   `json:"strange"`
	Backups int   `json:"backups"`
	Stored  int64 `json:"stored"`
	// Hosts come worst first, then by name.
	Hosts []FleetHost `json:"hosts"`
}

// FleetHost is one host of a fleet.
type FleetHost struct {
	Host  string `json:"host"`
	Level Level  `json:"level"`
	// Newest is when the newest healthy backup of any series was taken; zero: none is known.
	Newest  time.Time `json:"newest,omitzero"`
	Backups int       `json:"backups"`
	Stored  int64     `json:"stored"`
	// Program wrote the newest backup, and Signers signed the newest ones, as name+hash.
	Program string   `json:"program,omitempty"`
	Signers []string `json:"signers"`
	// Shared are other hosts for which one of the Signers signs too: one of them is a copy, or somebody has its key.
	Shared []string `json:"shared,omitempty"`
	// Series come worst first, then by name.
	Series []FleetSeries `json:"series"`
}

// FleetSeries is one series of a host of a fleet. Names tell most; of manifests only the newest are read.
type FleetSeries struct {
	Name  string `json:"name"`
	Level Level  `json:"level"`
	// Newest is when the newest healthy backup was taken, and Size the size of its dump; zero: none of the newest is healthy.
	Newest time.Time `json:"newest,omitzero"`
	Size   int64     `json:"size,omitempty"`
	// Last is when the newest backup of any health was taken, and Health what its manifest says; empty: no manifest could be believed.
	Last   time.Time `json:"last,omitzero"`
	Health string    `json:"health,omitempty"`
	Reason string    `json:"reason,omitempty"`
	// Due is when the next one should have come at the latest, learnt from when they were taken; zero: there are too few.
	Due     time.Time `json:"due,omitzero"`
	Overdue bool      `json:"overdue,omitempty"`
	Backups int       `json:"backups"`
	Stored  int64     `json:"stored"`
	// Unfinished are uploads, Lost are backups whose data is missing, and Future those whose time is in the future.
	Unfinished int `json:"unfinished,omitempty"`
	Lost       int `json:"lost,omitempty"`
	Future     int `json:"future,omitempty"`
	// Damaged and Untrusted count among the manifests that were read; Unread could not be.
	Damaged   int `json:"damaged,omitempty"`
	Untrusted int `json:"untrusted,omitempty"`
	Unread    int `json:"unread,omitempty"`
	// Problems are sentences for people, worst first.
	Problems []string `json:"problems,omitempty"`
}

// Unsound says that something of it is not what its host wrote and signed.
func (s *FleetSeries) Unsound() bool { return s.Damaged+s.Untrusted+s.Lost > 0 }

// Sum makes levels, sums and order of what is known of each series.
func (f *Fleet) Sum() {
	f.Level, f.Series, f.Overdue, f.Suspect, f.Unsound, f.Unread, f.Backups, f.Stored = OK, 0, 0, 0, 0, 0, 0, 0
	for i := range f.Hosts {
		h := &f.Hosts[i]
		h.sum()
		f.Level = Worse(f.Level, h.Level)
		f.Series += len(h.Series)
		f.Backups += h.Backups
		f.Stored += h.Stored
		for j := range h.Series {
			s := &h.Series[j]
			f.Overdue += count(s.Overdue)
			f.Suspect += count(s.Health == "suspect")
			f.Unsound += count(s.Unsound())
			f.Unread += count(s.Unread > 0)
		}
	}
	slices.SortFunc(f.Hosts, func(a, b FleetHost) int {
		return cmp.Or(cmp.Compare(rank(b.Level), rank(a.Level)), cmp.Compare(a.Host, b.Host))
	})
}

func (h *FleetHost) sum() {
	h.Level, h.Newest, h.Backups, h.Stored = OK, time.Time{}, 0, 0
	if len(h.Shared) > 0 {
		h.Level = Warning
	}
	for i := range h.Series {
		s := &h.Series[i]
		s.Level = s.level()
		h.Level = Worse(h.Level, s.Level)
		h.Backups += s.Backups
		h.Stored += s.Stored
		if s.Newest.After(h.Newest) {
			h.Newest = s.Newest
		}
	}
	slices.SortFunc(h.Series, func(a, b FleetSeries) int {
		return cmp.Or(cmp.Compare(rank(b.Level), rank(a.Level)), cmp.Compare(a.Name, b.Name))
	})
}

// level of a series: without any backup it may be one that has just begun.
func (s *FleetSeries) level() Level {
	switch {
	case s.Overdue, s.Health == "suspect", s.Unsound():
		return Problem
	case s.Unread > 0, s.Future > 0, s.Newest.IsZero():
		return Warning
	}
	return OK
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}
