package vault

import (
	"context"
	"iter"
	"slices"
	"time"
)

// Survey is what to look at of all that lies on a target.
type Survey struct {
	// Hosts is how the names of the hosts begin; empty: all hosts.
	Hosts string
	// Until is the latest time that is believed: a clock that was ahead leaves backups from the future, which are counted and
	// nothing more.
	Until time.Time
	// Newest and Times are how many backups, and how many times, are kept of each series.
	Newest, Times int
	// Strange is told the objects that offsite did not name. nil: nobody wants to know.
	Strange func(object string)
}

// Stream is what a listing says of one series of one host, before any manifest is read.
type Stream struct {
	Host, Series string
	// Backups counts those that have a manifest, Lost those of them whose data is missing, and Future those that were taken
	// after Until. Unfinished counts data without a manifest.
	Backups, Lost, Future, Unfinished int
	// Stored is the size of the data of the backups.
	Stored int64
	// Newest are the backups that were taken last, newest first.
	Newest []Entry
	// Times are when the last ones were taken, oldest first.
	Times []time.Time
}

// Streams yields what lies on the target, series by series, in ascending order of the names. It is one listing; of each series no
// more is held than was asked for, and of those before nothing. The caller may keep what it gets. Listing and reading is all
// that it needs of the target.
func (v *Vault) Streams(ctx context.Context, s Survey) iter.Seq2[*Stream, error] {
	return func(yield func(*Stream, error) bool) {
		var now *Stream
		for e, err := range v.list(ctx, encode(Text(s.Hosts)), s.Strange) {
			if err != nil {
				yield(nil, err)
				return
			}
			if now == nil || now.Host != e.Host || now.Series != e.Series {
				if now != nil && !yield(now.finish(s), nil) {
					return
				}
				now = &Stream{Host: e.Host, Series: e.Series}
			}
			now.add(e, s)
		}
		if now != nil {
			yield(now.finish(s), nil)
		}
	}
}

// add takes entries in the order of their times. Of what it keeps it holds twice as much as was asked for, so that it need not
// move all for each.
func (st *Stream) add(e Entry, s Survey) {
	if !e.Manifest {
		st.Unfinished++
		return
	}
	st.Backups++
	st.Stored += max(0, e.Stored)
	if e.Stored < 0 {
		st.Lost++
	}
	if e.Taken.After(s.Until) {
		st.Future++
		return
	}
	st.Newest = last(append(st.Newest, e), s.Newest, 2*s.Newest)
	st.Times = last(append(st.Times, e.Taken), s.Times, 2*s.Times)
}

func (st *Stream) finish(s Survey) *Stream {
	st.Newest = last(st.Newest, s.Newest, s.Newest)
	slices.Reverse(st.Newest)
	st.Times = last(st.Times, s.Times, s.Times)
	return st
}

// last cuts all down to the last n when they have become more than most.
func last[T any](all []T, n, most int) []T {
	if len(all) <= most {
		return all
	}
	return append(all[:0], all[len(all)-n:]...)
}
