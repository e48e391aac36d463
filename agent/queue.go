package agent

import (
	"context"
	"slices"
	"sync"
	"time"
)

// queue is the dumps that one target lacks, first found first. After a failed call to the target all of it waits.
type queue struct {
	mu      sync.Mutex
	waiting []string             // ids, in order
	queued  map[string]struct{}  // those that wait
	busy    map[string]struct{}  // taken, and not done yet
	resting map[string]time.Time // ids that wait until then by themselves
	until   time.Time            // nothing is taken before
	changed chan struct{}        // closed and renewed at every change
}

// newQueue is empty.
func newQueue() *queue {
	return &queue{queued: map[string]struct{}{}, busy: map[string]struct{}{}, resting: map[string]time.Time{}, changed: make(chan struct{})}
}

// push adds a dump at the end, unless it is there or in hand.
func (q *queue) push(id string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	_, busy := q.busy[id]
	_, queued := q.queued[id]
	if busy || queued {
		return
	}
	delete(q.resting, id)
	q.enqueue(id)
	q.wake()
}

// enqueue adds an id at the end. The caller holds the lock.
func (q *queue) enqueue(id string) {
	q.waiting = append(q.waiting, id)
	q.queued[id] = struct{}{}
}

// dequeue takes one out at an end. The caller holds the lock.
func (q *queue) dequeue(newest bool) (id string) {
	if newest {
		id, q.waiting = q.waiting[len(q.waiting)-1], q.waiting[:len(q.waiting)-1]
	} else {
		id, q.waiting = q.waiting[0], q.waiting[1:]
	}
	delete(q.queued, id)
	return id
}

// take waits for the next dump, or for the newest: so that after an outage of a week the dump of today does not wait for
// all others. With drain it returns "" when nothing waits and nothing is in hand.
func (q *queue) take(ctx context.Context, now func() time.Time, newest, drain bool, l *loop) (string, error) {
	for {
		l.turns()
		q.mu.Lock()
		changed, pause := q.changed, q.rested(now())
		if len(q.waiting) > 0 && pause <= 0 {
			id := q.dequeue(newest)
			q.busy[id] = struct{}{}
			q.mu.Unlock()
			return id, nil
		}
		over := drain && len(q.waiting) == 0 && len(q.busy) == 0
		q.mu.Unlock()
		if over {
			return "", nil
		}
		if pause <= 0 || pause > idle {
			pause = idle
		}
		l.rests(pause)
		if err := sleep(ctx, pause, changed); err != nil {
			return "", err
		}
	}
}

// rested queues the dumps that have rested long enough, and is how long until something may be taken: zero or less
// for now, or for a queue that only a change can help.
func (q *queue) rested(now time.Time) time.Duration {
	pause := q.until.Sub(now)
	for id, until := range q.resting {
		if rest := until.Sub(now); rest <= 0 {
			delete(q.resting, id)
			q.enqueue(id)
		} else if len(q.waiting) == 0 && (pause <= 0 || rest < pause) {
			pause = rest
		}
	}
	return pause
}

// sleep ends after pause, when there is one (0 or less: there is none), or when something changes.
func sleep(ctx context.Context, pause time.Duration, changed <-chan struct{}) error {
	var after <-chan time.Time
	if pause > 0 {
		t := time.NewTimer(pause)
		defer t.Stop()
		after = t.C
	}
	select {
	case <-after:
	case <-changed:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// done forgets a dump that was taken.
func (q *queue) done(id string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.busy, id)
	q.wake()
}

// back puts a dump that was taken at the front again, and makes the queue wait until then.
func (q *queue) back(id string, until time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.busy, id)
	q.waiting = slices.Insert(q.waiting, 0, id)
	q.queued[id] = struct{}{}
	if until.After(q.until) {
		q.until = until
	}
	q.wake()
}

// later lets a dump that was taken rest until then, because the trouble is its own and not the target's.
func (q *queue) later(id string, until time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.busy, id)
	q.resting[id] = until
	q.wake()
}

// length counts the dumps that wait or are in hand.
func (q *queue) length() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting) + len(q.busy)
}

// wake tells those who wait in take. The caller holds the lock.
func (q *queue) wake() {
	close(q.changed)
	q.changed = make(chan struct{})
}
