package page

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// A stream says something every heartbeat, so that both sides know that the other is there; it tells of changes once in a gap at most,
// and ends after its life, so that the script asks for another one and has to be known again.
const (
	maxStreams = 64
	heartbeat  = holds
	gap        = time.Second
	streamLife = time.Hour
	writeLimit = 20 * time.Second
)

// serveEvents tells which parts there are now, in which versions, as server-sent events: first all, then those that have changed.
func (p *Page) serveEvents(w http.ResponseWriter, r *http.Request) {
	if p.streams.Add(1) > maxStreams {
		p.streams.Add(-1)
		setRetryAfter(w, time.Minute)
		http.Error(w, "too many look at this page live; it can be loaded all the same", http.StatusServiceUnavailable)
		return
	}
	defer p.streams.Add(-1)
	if _, err := p.asked(r.Context(), r); err != nil {
		p.failed(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // nginx would wait for more
	s := stream{page: p, w: w, control: http.NewResponseController(w), told: map[string]string{}}
	s.run(r) // ends when the visitor goes, which is nobody's fault
}

// stream is one visitor who looks live.
type stream struct {
	page    *Page
	w       http.ResponseWriter
	control *http.ResponseController
	told    map[string]string // the version of each part that the visitor was told
}

func (s *stream) run(r *http.Request) error {
	ctx := r.Context()
	life := time.NewTimer(streamLife)
	defer life.Stop()
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		changed, fleet := s.page.Source.Changed(), s.page.fleet.whenChanged()
		if err := s.tell(ctx, r); err != nil {
			return err
		}
		if err := s.rest(ctx); err != nil {
			return err
		}
		select {
		case <-changed:
		case <-fleet:
		case <-beat.C:
		case <-life.C:
			return nil
		case <-ended(ctx):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *stream) rest(ctx context.Context) error {
	t := time.NewTimer(gap)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// tell sends what has changed, or that there is nothing. A state that cannot be read now is told later.
func (s *stream) tell(ctx context.Context, r *http.Request) error {
	news := map[string]string{}
	v, err := s.page.asked(ctx, r)
	if err != nil {
		if ctx.Err() != nil {
			return err
		}
		return s.send(": the state cannot be read\n\n")
	}
	versions := v.versions()
	versions["assets"] = s.page.assets.version // another one: the agent was replaced, and the script is too old
	for id, version := range versions {
		if s.told[id] != version {
			news[id], s.told[id] = version, version
		}
	}
	if len(news) == 0 {
		return s.send(": nothing new\n\n")
	}
	b, err := json.Marshal(news)
	if err != nil {
		return err
	}
	return s.send(fmt.Sprintf("event: parts\ndata: %s\n\n", b))
}

func (s *stream) send(text string) error {
	if err := s.control.SetWriteDeadline(time.Now().Add(writeLimit)); err != nil {
		return err
	}
	if _, err := s.w.Write([]byte(text)); err != nil {
		return err
	}
	return s.control.Flush()
}
