package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// samples has an address for every service, and the secrets in it.
var samples = map[string]struct {
	url     string
	secrets []string
}{
	"bark":       {"bark://:deviceKey123@bark.example.org", []string{"deviceKey123"}},
	"discord":    {"discord://sEcReT-tOkEn_99x@1234567890", []string{"sEcReT", "tOkEn_99x", "1234567890"}},
	"generic":    {"generic://example.org/hunter2path?@Authorization=hunter3auth&key=hunter4key", []string{"hunter2", "hunter3", "hunter4"}},
	"gotify":     {"gotify://gotify.example.org/AzyoeNS.D4iJLVa", []string{"AzyoeNS", "D4iJLVa"}},
	"googlechat": {"googlechat://chat.googleapis.com/v1/spaces/FOO/messages?key=barSecretKey1&token=bazSecretTok2", []string{"barSecretKey1", "bazSecretTok2"}},
	"ifttt":      {"ifttt://hookKey123456/?events=event1", []string{"hookKey123456"}},
	"join":       {"join://shoutrrr:apiKey12345@join/?devices=device123", []string{"apiKey12345"}},
	"lark":       {"lark://open.larksuite.com/token-xyz1234?secret=lark12345", []string{"xyz1234", "lark12345"}},
	"matrix":     {"matrix://user:SecretPw99@matrix.example.org", []string{"SecretPw99"}},
	"mattermost": {"mattermost://user@mm.example.org/token12345", []string{"token12345"}},
	"notifiarr":  {"notifiarr://apikey12345?channel=123456789", []string{"apikey12345"}},
	"ntfy":       {"ntfy://user:Passw0rdXyz@ntfy.sh/topic12345", []string{"Passw0rdXyz", "topic12345", "dXNlcjpQYXNzdzByZFh5eg"}},
	"opsgenie":   {"opsgenie://api.opsgenie.com/eb243592-faa2-4ba2-a551q-1afdf565c889", []string{"eb243592", "1afdf565c889"}},
	"pagerduty":  {"pagerduty://events.pagerduty.com/eb243592faa24ba2a5511afdf565c889", []string{"eb243592faa24ba2a5511afdf565c889"}},
	"pushbullet": {"pushbullet://o.5bm9iaeSXZxzZyPwtEbeSRi0mkRSbVAH/device", []string{"5bm9iaeSXZxzZyPwtEbeSRi0mkRSbVAH"}},
	"pushover":   {"pushover://shoutrrr:azGDORePK8gMaC0QOYAMyEEuzJnyUi@uQiRzpo4DXghDmr9QzzfQu27cmVRsG", []string{"azGDORePK8gMaC0QOYAMyEEuzJnyUi", "uQiRzpo4DXghDmr9QzzfQu27cmVRsG"}},
	"rocketchat": {"rocketchat://user@rocket.example.org/tokenA123/tokenB123/channel", []string{"tokenA123", "tokenB123"}},
	"signal":     {"signal://user:Passw0rdXyz@signal.example.org:8080/+1234567890/+0987654321", []string{"Passw0rdXyz"}},
	"slack":      {"slack://hook:WNA3PBYV6-F20DUQND3RQ-Webc4MAvoacrpPakR8phF0zi@webhook", []string{"WNA3PBYV6", "F20DUQND3RQ", "Webc4MAvoacrpPakR8phF0zi"}},
	"smtp":       {"smtp://user:Passw0rdXyz@127.0.0.1:1/?from=a@example.org&to=b@example.org", []string{"Passw0rdXyz"}},
	"smtps":      {"smtps://user:Passw0rdXyz@127.0.0.1:1/?from=a@example.org&to=b@example.org", []string{"Passw0rdXyz"}},
	"teams": {"teams://11111111-4444-4444-8444-cccccccccccc@22222222-4444-4444-8444-cccccccccccc/33333333012222222222333333333344/44444444-4444-4444-8444-cccccccccccc/V2ESyij_gAljSoUQHvZoZYzlpAoAXExyOl26dlf1xHEx05?host=example.webhook.office.com",
		[]string{"33333333012222222222333333333344", "V2ESyij", "11111111"}},
	"telegram": {"telegram://110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw1@telegram?chats=@mychannel", []string{"110201543", "AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw1"}},
	"wecom":    {"wecom://key12345-abc456def", []string{"key12345", "abc456def"}},
	"zulip":    {"zulip://bot%40example.org:abcdefgh1234@zulip.example.org?stream=s", []string{"abcdefgh1234"}},
}

func TestEveryServiceHasASample(t *testing.T) {
	for _, scheme := range Schemes() {
		if err := CheckURL(samples[scheme].url); err != nil {
			t.Errorf("%s: %v", scheme, err)
		}
	}
}

// echo fails every call and shows all of it, as the worst of servers and proxies would.
type echo struct{ code int }

func (e echo) RoundTrip(r *http.Request) (*http.Response, error) {
	said := fmt.Sprintf("%s %s %q %v", r.Method, r.URL, r.URL.String(), r.Header)
	if r.Body != nil {
		b, _ := io.ReadAll(r.Body)
		said += string(b)
	}
	if e.code == 0 {
		return nil, errors.New(said)
	}
	return &http.Response{StatusCode: e.code, Status: fmt.Sprint(e.code, " ", said), Header: http.Header{}, Body: io.NopCloser(strings.NewReader(`{"message":"` + said + `"}`)), Request: r}, nil
}

// What the services' own code makes of failures shows no secret. Those with a connection of their own (ntfy, gotify ...) are not reached: nobody
// resolves their names.
func TestNoServiceShowsItsSecrets(t *testing.T) {
	kept := http.DefaultTransport
	t.Cleanup(func() { http.DefaultTransport = kept })
	for _, code := range []int{0, 302, 400, 403, 500} {
		http.DefaultTransport = echo{code}
		for scheme, sample := range samples {
			if scheme == "discord" && code == 500 {
				continue // it tries again for half a minute
			}
			w, err := NewURL("w", sample.url)
			if err != nil {
				t.Fatal(scheme, err)
			}
			if own, ok := w.(*telegram); ok {
				own.client.Transport = echo{code}
			}
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			err = w.Send(ctx, message(overdue))
			cancel()
			if err == nil {
				if code != 302 || scheme == "slack" {
					t.Errorf("%s: a call that was answered %d has succeeded", scheme, code)
				}
				continue
			}
			shows(t, scheme, err, sample.secrets)
			if strings.ContainsAny(err.Error(), "\r\n") || len([]rune(err.Error())) > errorMost+100 {
				t.Errorf("%s: %q", scheme, err)
			}
			if errors.Unwrap(err) != nil {
				t.Errorf("%s: something is within %v", scheme, err)
			}
		}
	}
}

func shows(t interface{ Errorf(string, ...any) }, what string, err error, secrets []string) {
	for _, secret := range secrets {
		if strings.Contains(strings.ToLower(err.Error()), strings.ToLower(secret)) {
			t.Errorf("%s: the error shows %q: %v", what, secret, err)
		}
	}
}

// Whatever a password is made of, and however an error writes it.
func TestScrubbing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		secret := rapid.StringMatching(`[a-zA-Z0-9!-~äöü€ ]{8,40}`)
		user, password, path, value := secret.Draw(t, "user"), secret.Draw(t, "password"), secret.Draw(t, "path"), secret.Draw(t, "value")
		u := url.URL{Scheme: "gotify", User: url.UserPassword(user, password), Host: "example.org:8443", Path: "/" + path, RawQuery: url.Values{"key": {value}}.Encode()}
		s := scrubURL(u.String())
		for _, text := range []string{
			fmt.Sprintf("Post %q: connection refused", u.String()), fmt.Sprintf("Post %s failed", u.String()),
			user + " " + password + " " + path + " " + value, fmt.Sprintf("%q %q %q", password, path, value), url.QueryEscape(password) + "&" + url.PathEscape(value),
			fmt.Sprintf("%v", u.Query()), strings.ToUpper(u.String()), fmt.Sprintf("%+v", u),
		} {
			got := s.error(errors.New(text)).Error()
			for _, secret := range []string{user, password, path, value} {
				for _, run := range regexp.MustCompile(`[\pL\pN]{8,}`).FindAllString(secret, -1) {
					if strings.Contains(strings.ToLower(got), strings.ToLower(run)) && !words.MatchString(run) {
						t.Errorf("%q in %q from %q", run, got, text)
					}
				}
				if strings.Contains(got, secret) && !words.MatchString(secret) {
					t.Errorf("%q in %q from %q", secret, got, text)
				}
			}
		}
	})
	if got := scrub("ab").error(errors.New("no ab here")).Error(); strings.Contains(got, "ab here") || got == "" {
		t.Error(got)
	}
	if got := scrubURL("ntfy://ntfy.sh/x").text("lookup ntfy.sh: no such host"); got != "lookup ntfy.sh: no such host" {
		t.Error("too much is gone:", got)
	}
}

func FuzzAddresses(f *testing.F) {
	for _, s := range samples {
		f.Add(s.url)
	}
	f.Add("generic+https://example.org/x?y=z")
	f.Add("ntfy+x://y")
	f.Add("smtp://u:p@h:1/?to=&from=")
	f.Fuzz(func(t *testing.T, address string) {
		err := CheckURL(address)
		if err == nil {
			return
		}
		if strings.ContainsAny(err.Error(), "\r\n\x00\x1b") {
			t.Errorf("%q", err)
		}
		u, parsed := url.Parse(address)
		if parsed != nil {
			return
		}
		if password, _ := u.User.Password(); len(password) > 20 && strings.Contains(err.Error(), password) {
			t.Errorf("%q shows %q", err, password)
		}
	})
}

func TestUnknownServices(t *testing.T) {
	for address, want := range map[string]string{
		"slakc://hunter2":             "begins with slakc://, which is no service; there are bark, discord, ",
		"mailto://a@b.c":              "mailto://, which says no server; write smtp://",
		"https://example.org/x":       "write webhook: {url: https://...}",
		"hunter2":                     "is not an address",
		"logger://":                   "is no service",
		"telegram://hunter2@telegram": "has no token of a bot",
		"telegram://1:A@telegram":     "has no chats",
		"telegram://1:A@telegram?parsemode=HTML&chats=x": "has parsemode, which is no key",
		"generic+nonsense://%zz":                         "is not an address",
		"ntfy+https://h/hunter2":                         "is not as ntfy has it: it has no form ntfy+https",
		"matrix://matrix.org":                            "should be matrix://user:password@host",
		"SLACK://hook:x@webhook":                         "is not as slack has it",
		"\x00":                                           "is not an address",
	} {
		if err := CheckURL(address); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v, want %s", address, err, want)
		}
	}
	if got := Schemes(); !slices.Contains(got, "smtp") || !slices.Contains(got, "slack") || slices.Contains(got, "logger") || !slices.IsSorted(got) {
		t.Error(got)
	}
}

// Real calls by services that let themselves be sent to a server of one's own.
func TestServices(t *testing.T) {
	s, calls := receiver(t, 200, `{}`)
	host := strings.TrimPrefix(s.URL, "http://")
	title, body := Text(message(overdue))
	for _, c := range []struct{ url, path, title, body string }{
		{"ntfy://user:pw@" + host + "/topic?scheme=http", "POST /topic", title, body},
		{"gotify://" + host + "/AzyoeNS.D4iJLVa?disabletls=yes", "POST /message", title, body},
		{"generic+http://" + host + "/x?template=json&disabletls=yes", "POST /x", title, body},
		{"mattermost://user@" + host + "/token12345?disabletls=yes", "POST /hooks/token12345", title + "\n\n" + body, ""},
	} {
		w, err := NewURL("chat", c.url)
		if err != nil {
			t.Fatal(c.url, err)
		}
		before := len(calls())
		for range 2 { // what is sent first leaves nothing in what comes then
			if err := w.Send(t.Context(), message(overdue)); err != nil {
				t.Errorf("%s: %v", c.url, err)
			}
		}
		for _, got := range calls()[before:] {
			all := strings.Join(got.header.Values("Title"), "|") + unescaped(got.body)
			if got.path != c.path || strings.Count(all, c.title) != 1 || !strings.Contains(all, c.body) {
				t.Errorf("%s: %+v", c.url, got)
			}
		}
		if len(calls()) != before+2 {
			t.Errorf("%s: %d calls", c.url, len(calls())-before)
		}
	}
}

func unescaped(s string) string { return strings.ReplaceAll(s, `\n`, "\n") }

func TestTelegram(t *testing.T) {
	s, calls := receiver(t, 200, `{"ok":true}`)
	w, err := NewURL("tg", "telegram://123:ABCdef-secret_1@telegram?chats=@ops,-100123:7&notification=no")
	if err != nil {
		t.Fatal(err)
	}
	w.(*telegram).api = s.URL
	if err := w.Send(t.Context(), message(overdue)); err != nil {
		t.Fatal(err)
	}
	title, body := Text(message(overdue))
	for i, want := range []string{`{"chat_id":"@ops",`, `{"chat_id":"-100123",`} {
		var got struct {
			Text   string
			Silent bool `json:"disable_notification"`
			Thread int  `json:"message_thread_id"`
		}
		c := calls()[i]
		if err := json.Unmarshal([]byte(c.body), &got); err != nil || c.path != "POST /bot123:ABCdef-secret_1/sendMessage" || !strings.HasPrefix(c.body, want) || got.Text != title+"\n\n"+body || !got.Silent || got.Thread != 7*i {
			t.Errorf("%+v %+v", c, got)
		}
	}
	refusing, _ := receiver(t, 401, `{"ok":false,"description":"Unauthorized 123:ABCdef-secret_1"}`)
	w.(*telegram).api = refusing.URL
	for range 2 {
		err := w.Send(t.Context(), message(overdue))
		if err == nil || strings.Contains(err.Error(), "ABCdef") || strings.Contains(err.Error(), "secret_1") || !strings.Contains(err.Error(), "chat 2 of 2: ") {
			t.Error(err)
		}
		refusing.Close() // down is a failure too
	}
}

// A service that says no has not told anybody.
func TestServicesThatRefuse(t *testing.T) {
	s, calls := receiver(t, 500, "no")
	host := strings.TrimPrefix(s.URL, "http://")
	urls := []string{"ntfy://" + host + "/topic?scheme=http", "gotify://" + host + "/AzyoeNS.D4iJLVa?disabletls=yes", "generic+http://" + host + "/x", "mattermost://user@" + host + "/token12345?disabletls=yes", "matrix://:token12345@" + host + "/?disabletls=yes"}
	for i, u := range urls {
		w, err := NewURL("chat", u)
		if err != nil {
			t.Fatal(u, err)
		}
		if err := w.Send(t.Context(), message(overdue)); err == nil || len(calls()) <= i {
			t.Errorf("%s: %v", u, err)
		}
	}
}

func TestAServiceThatHangs(t *testing.T) {
	s := hung(t)
	w, err := NewURL("chat", "generic+http://"+strings.TrimPrefix(s.URL, "http://")+"/hunter2")
	if err != nil {
		t.Fatal(err)
	}
	for range hangingMost {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		if err := w.Send(ctx, message(overdue)); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		cancel()
	}
	if err := w.Send(t.Context(), message(overdue)); err == nil || err.Error() != "the last 3 messages still wait for its answer" {
		t.Error(err)
	}
	for deadline := time.Now().Add(time.Minute); len(w.(*chat).hanging) > 0; time.Sleep(time.Millisecond) {
		s.CloseClientConnections() // the server is started anew; a connection may come only now
		if time.Now().After(deadline) {
			t.Fatal("they still wait")
		}
	}
}

func TestAServiceThatIsDown(t *testing.T) {
	for _, u := range []string{"ntfy://user:hunter2@127.0.0.1:1/topic?scheme=http", "matrix://user:hunter2@127.0.0.1:1/?disabletls=yes", "gotify://127.0.0.1:1/AzyoeNS.D4iJLVa?disabletls=yes"} {
		w, err := NewURL("chat", u)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Send(t.Context(), message(overdue)); err == nil || !strings.Contains(err.Error(), "connection refused") || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "Azyoe") {
			t.Error(u, err)
		}
	}
}
