package notify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/url"
	"slices"
	"strings"

	"github.com/nicholas-fedor/shoutrrr/pkg/router"
	"github.com/nicholas-fedor/shoutrrr/pkg/types"

	"offsite/agent/alarm"
)

// chat is what shoutrrr knows: chats, pagers, push services. (Mail and Telegram are our own.)
//
// Its services take no context, and some wait for an answer for ever. Send ends with ctx all the same, and what still waits ends with
// its connection; there are never more than hangingMost of them.
type chat struct {
	name, scheme string
	url          *url.URL
	secrets      *scrubber
	hanging      chan struct{}
}

// hangingMost is how many messages may wait for an answer when nobody waits for them any more.
const hangingMost = 3

// titled are the services that take a title beside the text. The others get it as the first line of that. (Zulip's title is a topic of 60
// characters, and Matrix and Mattermost drop it.)
var titled = []string{"bark", "discord", "generic", "gotify", "join", "lark", "ntfy", "opsgenie", "pushbullet", "pushover", "slack", "teams"}

// chatMost is how many bytes a text may have for every service, and pushoverMost for the one that takes less.
const (
	chatMost     = 3500
	pushoverMost = 1000
)

// Schemes are the kinds of addresses that NewURL knows.
func Schemes() []string {
	// logger tells nobody but a log, and hangouts is a former name.
	known := slices.DeleteFunc((&router.ServiceRouter{}).ListServices(), func(s string) bool { return s == "logger" || s == "hangouts" })
	known = append(known, "smtps")
	slices.Sort(known)
	return known
}

// NewURL is a way by an address of shoutrrr (https://shoutrrr.nickfedor.com/services/overview/), such as slack:// or ntfy://. smtp:// and smtps:// are mail.
// Its error does not show the address.
func NewURL(name, address string) (alarm.Way, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme == "" {
		return nil, fmt.Errorf("is not an address; write one that begins with %s://", strings.Join(Schemes(), "://, "))
	}
	scheme, _, _ := strings.Cut(u.Scheme, "+")
	switch {
	case !slices.Contains(Schemes(), scheme) && scheme == "mailto":
		return nil, errors.New("begins with mailto://, which says no server; write smtp://user:password@server:587/?from=a@example.org&to=b@example.org")
	case !slices.Contains(Schemes(), scheme) && (scheme == "http" || scheme == "https"):
		return nil, errors.New("is of no service; write webhook: {url: https://...} for a program of your own, or a service's own form, such as slack:// or discord://")
	case !slices.Contains(Schemes(), scheme):
		return nil, fmt.Errorf("begins with %s://, which is no service; there are %s", Line(cut(scheme, 40)), strings.Join(Schemes(), ", "))
	case scheme == "smtp" || scheme == "smtps":
		return newMail(name, u)
	case scheme == "telegram":
		return newTelegram(name, u)
	}
	c := &chat{name, scheme, u, scrubURL(address), make(chan struct{}, hangingMost)}
	if scheme == "matrix" { // it would log in
		if password, _ := u.User.Password(); u.Host == "" || password == "" {
			return nil, errors.New("should be matrix://user:password@host, or matrix://:token@host")
		}
		return c, nil
	}
	if _, err := c.service(); err != nil {
		return nil, fmt.Errorf("is not as %s has it: %w", scheme, c.secrets.error(err))
	}
	return c, nil
}

// CheckURL says what is wrong with an address for NewURL.
func CheckURL(address string) error {
	_, err := NewURL("", address)
	return err
}

// Name is that of the configuration.
func (c *chat) Name() string { return c.name }

// service is made anew for each message: some keep what they sent.
func (c *chat) service() (s types.Service, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("shoutrrr cannot do with it: %v", p)
		}
	}()
	if s, err = (&router.ServiceRouter{}).NewService(c.scheme); err != nil {
		return nil, err
	}
	u := *c.url
	if u.Scheme != c.scheme {
		custom, ok := s.(types.CustomURLService)
		if !ok {
			return nil, fmt.Errorf("it has no form %s", u.Scheme)
		}
		changed, err := custom.GetConfigURLFromCustom(&u)
		if err != nil {
			return nil, err
		}
		u = *changed
	}
	return s, s.Initialize(&u, log.New(io.Discard, "", 0))
}

// Send tells a message, shortened to what the service takes.
func (c *chat) Send(ctx context.Context, m alarm.Message) error {
	select {
	case c.hanging <- struct{}{}:
	default:
		return fmt.Errorf("the last %d messages still wait for its answer", hangingMost)
	}
	done := make(chan error, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				done <- fmt.Errorf("shoutrrr has failed: %v", p)
			}
			<-c.hanging
		}()
		done <- c.send(m)
	}()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case err := <-done:
		return c.secrets.error(err)
	case <-ctx.Done():
		return c.secrets.error(ctx.Err())
	}
}

func (c *chat) send(m alarm.Message) error {
	most := chatMost
	if c.scheme == "pushover" {
		most = pushoverMost
	}
	s, err := c.service()
	if err != nil {
		return err
	}
	title, body := heading(m), text(m, most)
	params := types.Params{}
	if slices.Contains(titled, c.scheme) {
		params.SetTitle(title)
	} else {
		body = title + "\n\n" + body
	}
	return s.Send(body, &params)
}
