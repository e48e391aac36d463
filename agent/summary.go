package agent

import (
	"errors"
	"slices"
)

// Summary is what Once or Push did.
type Summary struct {
	Targets []Result
	// Unfinished are the files that were still being written, with the reason, for people.
	Unfinished []string
	// Suspect are the dumps that were shipped and are suspect, with the reason.
	Suspect []string
	// Unshipped are the files that cannot be shipped until a person looks, with the reason.
	Unshipped []string
}

// Result is one target's part.
type Result struct {
	Target string
	// Delivered counts the dumps that the target got, or was found to have.
	Delivered int
	// Declined counts those that its retention would remove at once, which it therefore did not get.
	Declined int
	// Failed counts those that it still lacks; they are tried again by the next run.
	Failed int
	// Lost counts those that changed or went away before it had them.
	Lost int
	// Gone counts the backups that are gone from it though no retention of ours removed them, and that it has not got again.
	Gone int
	// Damaged counts the backups that the scrub found damaged.
	Damaged int
	// Unpruned is why retention could not look at the target; nil if it could.
	Unpruned error
	// Err is the last error, of a try that may have been repeated with success.
	Err error
}

// add takes the worker's part into the summary, once it has stopped.
func (s *Summary) add(w *worker) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.result
	r.Failed += w.queue.length()
	s.Targets = append(s.Targets, r)
}

// Complete says whether every target has every dump, every file was taken for one, and retention did its part.
func (s *Summary) Complete() bool {
	return s.Shipped() && !slices.ContainsFunc(s.Targets, func(r Result) bool { return r.Unpruned != nil || r.Gone > 0 || r.Damaged > 0 })
}

// Shipped says whether every target has every dump, and every file was taken for one.
func (s *Summary) Shipped() bool {
	return len(s.Unshipped) == 0 && !slices.ContainsFunc(s.Targets, func(r Result) bool { return r.Failed > 0 || r.Lost > 0 })
}

// Delivered counts what all targets together got.
func (s *Summary) Delivered() int {
	n := 0
	for _, r := range s.Targets {
		n += r.Delivered
	}
	return n
}

// with adds up two runs.
func (s Summary) with(more Summary) Summary {
	sum := Summary{
		Unfinished: slices.Concat(s.Unfinished, more.Unfinished), Suspect: slices.Concat(s.Suspect, more.Suspect),
		Unshipped: slices.Concat(s.Unshipped, more.Unshipped), Targets: slices.Clone(s.Targets),
	}
	for i, r := range more.Targets {
		if i >= len(sum.Targets) {
			sum.Targets = append(sum.Targets, r)
			continue
		}
		t := &sum.Targets[i]
		t.Delivered += r.Delivered
		t.Declined += r.Declined
		t.Failed += r.Failed
		t.Lost += r.Lost
		t.Gone += r.Gone
		t.Damaged += r.Damaged
		t.Unpruned = errors.Join(t.Unpruned, r.Unpruned)
		if t.Err == nil {
			t.Err = r.Err
		}
	}
	return sum
}
