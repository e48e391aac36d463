package agent

import (
	"context"
	"fmt"
	"testing"
	"time"
)

func drain(t *testing.T, q *queue, newest func(n int) bool) (order []string) {
	t.Helper()
	for n := 0; ; n++ {
		id, err := q.take(t.Context(), time.Now, newest(n), true, nil)
		if err != nil {
			t.Fatal(err)
		}
		if id == "" {
			return order
		}
		order = append(order, id)
		q.done(id)
	}
}

// What waited longest goes first; one of the transfers takes the newest, so that it does not wait for all the others.
func TestAQueueIsInOrderAndStarvesNobody(t *testing.T) {
	q := newQueue()
	for i := range 6 {
		for range 2 { // once is enough
			q.push(fmt.Sprint(i))
		}
	}
	if got := fmt.Sprint(drain(t, q, func(n int) bool { return n == 1 })); got != "[0 5 1 2 3 4]" {
		t.Error(got)
	}
}

func TestWhatComesBackIsFirstAgain(t *testing.T) {
	q := newQueue()
	q.push("a")
	q.push("b")
	id, err := q.take(t.Context(), time.Now, false, true, nil)
	if err != nil || id != "a" {
		t.Fatal(id, err)
	}
	q.back(id, time.Time{})
	q.push("a") // it waits already
	if got := fmt.Sprint(drain(t, q, func(int) bool { return false })); got != "[a b]" {
		t.Error(got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := q.take(ctx, time.Now, false, false, nil); err == nil {
		t.Error("an empty queue gave something")
	}
}

func BenchmarkPush(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				q := newQueue()
				for i := range n {
					q.push(fmt.Sprint(i))
				}
			}
		})
	}
}
