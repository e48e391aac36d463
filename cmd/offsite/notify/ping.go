package notify

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"offsite/agent/alarm"
)

var _ alarm.Ping = (*Ping)(nil)

// pingMost is how much of a text a watcher is told, in bytes: as much as healthchecks.io keeps.
const pingMost = 10_000

// Ping tells a watcher as healthchecks.io has it: a POST to its address is success, to address/start that something begins, to
// address/fail that it has failed.
type Ping struct {
	name   string
	url    *url.URL
	client *http.Client
}

// NewPing is a ping to an address, which is a secret itself and in no message.
func NewPing(name, address string) (*Ping, error) {
	if err := CheckAddress(address); err != nil {
		return nil, errors.New("its url " + err.Error())
	}
	u, err := url.Parse(address)
	if err != nil {
		return nil, err // not after CheckAddress
	}
	return &Ping{name, u, caller()}, nil
}

// Name says which ping it is.
func (p *Ping) Name() string { return p.name }

// Send tells one event.
func (p *Ping) Send(ctx context.Context, e alarm.Event, text string) error {
	u := *p.url
	switch e {
	case alarm.Succeeded:
	case alarm.Started:
		u = *u.JoinPath("start")
	case alarm.Failed:
		u = *u.JoinPath("fail")
	default:
		return fmt.Errorf("there is no event %q", e)
	}
	header := http.Header{"Content-Type": {"text/plain; charset=utf-8"}, "User-Agent": {"offsite"}}
	return post(ctx, p.client, u.String(), scrubURL(p.url.String()), header, []byte(shorten(lines(text), pingMost)))
}

// lines is text with clean lines.
func lines(text string) string {
	all := strings.Split(text, "\n")
	for i := range all {
		all[i] = Line(all[i])
	}
	return strings.Join(all, "\n")
}
