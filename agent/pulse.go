package agent

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Each loop of a running agent says when it turns, and when it will at the latest turn again. So that it stands still can be told from
// that it has nothing to do: nothing waits for longer than idle without looking once more. What a loop asks of a target or of a person's
// program is no part of it: that has time limits of its own where it is asked, a large dump may take its ten hours, and that a target
// takes nothing is an alarm (troubles.go).

// idle is how long a loop that waits for something to do waits at most before it looks by itself.
const idle = time.Minute

// pulse is what the loops have said last.
type pulse struct {
	now   func() time.Time
	begun time.Time

	mu    sync.Mutex
	loops map[*loop]bool
}

func newPulse(now func() time.Time) *pulse {
	return &pulse{now: now, begun: now(), loops: map[*loop]bool{}}
}

// loop is one of them. A nil loop says nothing to nobody.
type loop struct {
	name  string
	pulse *pulse
	due   atomic.Int64 // when it is to be heard of again, in nanoseconds since the pulse has begun; 0: it may take for ever
}

// begin is called by a loop that starts. ends must be called when it returns.
func (p *pulse) begin(name string) *loop {
	l := &loop{name: name, pulse: p}
	l.turns()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.loops[l] = true
	return l
}

// turns says that the loop does something, of which the next sign comes soon.
func (l *loop) turns() { l.rests(0) }

// rests says that it does nothing for so long.
func (l *loop) rests(d time.Duration) {
	if l != nil {
		l.due.Store(int64(max(1, l.pulse.now().Sub(l.pulse.begun)+d)))
	}
}

// asks says that it waits for somebody else, who may take as long as he likes.
func (l *loop) asks() {
	if l != nil {
		l.due.Store(0)
	}
}

func (l *loop) ends() {
	if l == nil {
		return
	}
	l.pulse.mu.Lock()
	defer l.pulse.mu.Unlock()
	delete(l.pulse.loops, l)
}

// Stuck names the loops of a running agent from which nothing was heard for longer than so, although they should have turned. An agent
// that has no such loop lives, however slow its targets are.
func (a *Agent) Stuck(longer time.Duration) (names []string) {
	p := a.pulse
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now().Sub(p.begun)
	for l := range p.loops {
		if due := time.Duration(l.due.Load()); due != 0 && now-due > longer {
			names = append(names, fmt.Sprintf("%s, for %v", l.name, (now-due).Round(time.Second)))
		}
	}
	slices.Sort(names)
	return names
}
