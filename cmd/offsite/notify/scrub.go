package notify

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"html"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// hidden stands for a secret.
const hidden = "***"

// errorMost is how many runes of another program's error are told.
const errorMost = 400

// scrubber takes secrets out of errors. Libraries and servers put addresses with tokens into them, in whatever encoding and with their
// parts in another order.
type scrubber struct {
	secrets *regexp.Regexp // nil: there are none
	// short are passwords that cannot be replaced, since they are in every other word: then nothing is told.
	short []string
}

var (
	addresses = regexp.MustCompile(`(?i)[a-z][a-z0-9+.-]*://[^\s"'<>]+`)
	words     = regexp.MustCompile(`^[a-z]{1,9}$`) // such as slack://hook:...@webhook: no tokens
	runs      = regexp.MustCompile(`[\pL\pN]{6,}`)
)

// withHost are the kinds of addresses in which the host is one. In the others it often is a token.
var withHost = []string{"http", "https", "bark", "generic", "gotify", "googlechat", "lark", "matrix", "mattermost", "ntfy", "opsgenie", "pagerduty", "rocketchat", "signal", "zulip"}

// scrubURL hides all of an address but its scheme and host, and the host too where that is none. More parts may be secret.
func scrubURL(raw string, more ...string) *scrubber {
	u, err := url.Parse(raw)
	if err != nil {
		return scrub("", strings.FieldsFunc(raw, func(r rune) bool { return strings.ContainsRune("/:@?&=#", r) })...)
	}
	parts := append(more, u.Opaque, u.Path, strings.TrimPrefix(u.Path, "/"), u.Fragment)
	parts = append(parts, strings.Split(u.Path, "/")...)
	parts = append(parts, strings.Split(u.EscapedPath(), "/")...)
	for _, pair := range strings.Split(u.RawQuery, "&") {
		key, value, found := strings.Cut(pair, "=")
		if !found {
			value = key
		}
		plain, _ := url.QueryUnescape(value) // "" is passed over
		parts = append(parts, value, plain)
	}
	if scheme, _, _ := strings.Cut(u.Scheme, "+"); !slices.Contains(withHost, scheme) && !words.MatchString(u.Host) {
		parts = append(parts, u.Host, u.Hostname())
	}
	password, _ := u.User.Password()
	if u.User != nil {
		parts = append(parts, u.User.String(), u.User.Username()+":"+password)
		if !words.MatchString(u.User.Username()) {
			parts = append(parts, u.User.Username())
		}
	}
	return scrub(password, parts...)
}

// scrub hides a password, and what else is long enough to be a secret.
func scrub(password string, parts ...string) *scrubber {
	const least = 4
	s := &scrubber{}
	var secrets []string
	for i, part := range append([]string{password}, parts...) {
		for _, form := range forms(part) {
			switch {
			case len(form) >= least:
				secrets = append(secrets, form)
			case i == 0 && form != "":
				s.short = append(s.short, form)
			}
		}
		for _, run := range runs.FindAllString(part, -1) {
			if !words.MatchString(run) {
				secrets = append(secrets, run)
			}
		}
	}
	slices.SortFunc(secrets, func(a, b string) int { return len(b) - len(a) }) // the longest that fits is taken
	for i := range secrets {
		secrets[i] = regexp.QuoteMeta(secrets[i])
	}
	if secrets = slices.Compact(secrets); len(secrets) > 0 {
		s.secrets = regexp.MustCompile("(?i)" + strings.Join(secrets, "|"))
	}
	return s
}

// forms are the ways in which a secret is written.
func forms(s string) []string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	inJSON, _ := json.Marshal(s) // a string is always valid
	return []string{s, url.QueryEscape(s), url.PathEscape(s), strings.Trim(strconv.Quote(s), `"`), strings.Trim(string(inJSON), `"`), html.EscapeString(s),
		Line(s), base64.RawStdEncoding.EncodeToString([]byte(s)), base64.RawURLEncoding.EncodeToString([]byte(s))}
}

// error is err without the secrets, in one line and not long. That time was over stays to be seen; else nothing of err is left in it.
func (s *scrubber) error(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return lateError{}
	}
	return errors.New(s.text(err.Error()))
}

// lateError is context.DeadlineExceeded in words for people.
type lateError struct{}

func (lateError) Error() string        { return "no answer in time" }
func (lateError) Is(target error) bool { return target == context.DeadlineExceeded }

// text scrubs before it cuts, so that no half of a secret is left.
func (s *scrubber) text(t string) string {
	t = addresses.ReplaceAllStringFunc(t, func(a string) string {
		u, err := url.Parse(a)
		if err != nil || u.Host == "" {
			return "(an address)"
		}
		return u.Scheme + "://" + u.Host
	})
	if s.secrets != nil {
		t = s.secrets.ReplaceAllString(t, hidden)
	}
	for _, short := range s.short {
		if strings.Contains(t, short) {
			return "it failed, and the reason would show its password, which is very short"
		}
	}
	return cut(Line(t), errorMost)
}
