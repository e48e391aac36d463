package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"offsite/agent/alarm"
	"offsite/agent/status"
	"offsite/cmd/offsite/notify"
	"offsite/configs"
	"offsite/providers"
)

// openWay is the only place that knows every kind of way out of alarms.
func openWay(w configs.Way, now func() time.Time) (alarm.Way, error) {
	switch {
	case len(w.Command) > 0:
		return &notify.Command{Label: w.Name, Argv: w.Command}, nil
	case w.Webhook != nil:
		address, err := readSecret(w.Webhook.URL, w.Webhook.URLFile)
		if err != nil {
			return nil, err
		}
		secret, err := readSecret(w.Webhook.Secret, w.Webhook.SecretFile)
		if err != nil {
			return nil, err
		}
		return notify.NewWebhook(w.Name, address, secret, now)
	}
	address, err := readSecret(w.URL, w.URLFile)
	if err != nil {
		return nil, err
	}
	way, err := notify.NewURL(w.Name, address)
	if err != nil {
		return nil, fmt.Errorf("its url %w", err)
	}
	return way, nil
}

func readSecret(value providers.Secret, file string) (string, error) {
	if file != "" && !filepath.IsAbs(file) {
		return "", fmt.Errorf("%q is relative, which means systemd's credentials directory, and there is none here; write the whole path", file)
	}
	s, err := providers.ReadSecret(value, file)
	return s.Reveal(), err
}

// ways opens those of the configuration. One that cannot be opened is there all the same, and fails each time until it can: backups do not
// wait for it, and the others tell of it.
func ways(those []configs.Way, now func() time.Time) (all []alarm.Way) {
	for _, w := range those {
		way := &openedWay{name: w.Name, opening: opening[alarm.Way]{open: func() (alarm.Way, error) { return openWay(w, now) }}}
		all = append(all, notify.AtLeast(status.Level(w.Level), way))
	}
	return all
}

// pings are those of the configuration, on the same terms.
func pings(c *configs.Config) (all alarm.Pings) {
	for _, p := range c.Alarms.Pings {
		name := "ping of " + p.Series
		if p.Alive > 0 {
			name = "ping alive"
		}
		ping := &openedPing{name: name, opening: opening[alarm.Ping]{open: func() (alarm.Ping, error) {
			address, err := readSecret(p.URL, p.URLFile)
			if err != nil {
				return nil, err
			}
			return notify.NewPing(name, address)
		}}}
		if p.Alive > 0 {
			all.Alive = append(all.Alive, alarm.AlivePing{Ping: ping, Every: p.Alive})
		} else {
			all.Series = append(all.Series, alarm.SeriesPing{Ping: ping, Series: p.Series})
		}
	}
	return all
}

// opening opens something when it is first needed, and again until that works.
type opening[T any] struct {
	open func() (T, error)
	mu   sync.Mutex
	done bool
	it   T
}

func (o *opening[T]) get() (T, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.done {
		return o.it, nil
	}
	it, err := o.open()
	o.it, o.done = it, err == nil
	return it, err
}

type openedWay struct {
	name string
	opening[alarm.Way]
}

func (w *openedWay) Name() string { return w.name }

func (w *openedWay) Send(ctx context.Context, m alarm.Message) error {
	way, err := w.get()
	if err != nil {
		return err
	}
	return way.Send(ctx, m)
}

type openedPing struct {
	name string
	opening[alarm.Ping]
}

func (p *openedPing) Name() string { return p.name }

func (p *openedPing) Send(ctx context.Context, e alarm.Event, text string) error {
	ping, err := p.get()
	if err != nil {
		return err
	}
	return ping.Send(ctx, e, text)
}

// errNoWays says how to be told of trouble.
var errNoWays = errors.New(`the configuration has no ways out of alarms, so that nobody is told when backups fail. Write one, such as
  alarms:
    ways:
      mail: {url: "smtp://user:password@mail.example.org:587/?from=offsite@example.org&to=you@example.org"}
example.yaml shows the others: chats and pagers, a signed webhook, a program`)
