package notify

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"mime"
	"mime/quotedprintable"
	"net"
	netmail "net/mail"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"offsite/agent/alarm"
)

// mailServer is a real SMTP server that keeps what it is sent.
type mailServer struct {
	*smtp.Server
	port   string
	ca     string // file
	refuse string // an address that it does not know

	mu    sync.Mutex
	mails []sent
}

type sent struct {
	user, from string
	to         []string
	encrypted  bool
	text       string
}

// session is one conversation.
type session struct {
	s    *mailServer
	conn *smtp.Conn
	sent
}

func (s *mailServer) NewSession(c *smtp.Conn) (smtp.Session, error) {
	return &session{s: s, conn: c}, nil
}

func (s *session) AuthMechanisms() []string { return []string{sasl.Plain} }
func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if password != "pa ss/wörd" {
			return fmt.Errorf("no %s with %q", user, password) // servers should not, but may
		}
		s.user = user
		return nil
	}), nil
}
func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	s.from = from
	return nil
}
func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	if to == s.s.refuse {
		return &smtp.SMTPError{Code: 550, Message: "no such user " + to}
	}
	s.to = append(s.to, to)
	return nil
}
func (s *session) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	_, s.encrypted = s.conn.TLSConnectionState()
	s.text = string(b)
	s.s.mu.Lock()
	defer s.s.mu.Unlock()
	s.s.mails = append(s.s.mails, s.sent)
	return err
}
func (s *session) Reset()        { s.sent = sent{user: s.user} }
func (s *session) Logout() error { return nil }

// serveMail starts a server: starttls, implicit or none.
func serveMail(t *testing.T, encryption string) *mailServer {
	t.Helper()
	s := &mailServer{ca: filepath.Join(t.TempDir(), "ca.pem")}
	s.Server = smtp.NewServer(s)
	s.Domain, s.AllowInsecureAuth, s.ErrorLog = "mail.test", encryption == "none", quietLog{}
	conf := certificate(t, s.ca)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, s.port, _ = net.SplitHostPort(l.Addr().String())
	switch encryption {
	case "starttls":
		s.TLSConfig = conf
	case "implicit":
		l = tls.NewListener(l, conf)
	}
	done := make(chan struct{})
	go func() { defer close(done); s.Serve(l) }()
	t.Cleanup(func() { s.Close(); <-done })
	return s
}

type quietLog struct{}

func (quietLog) Printf(string, ...any) {}
func (quietLog) Println(...any)        {}

// certificate is one for localhost, of which the PEM goes to file.
func certificate(t *testing.T, file string) *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

func mailWay(t *testing.T, format string, args ...any) alarm.Way {
	t.Helper()
	w, err := NewURL("mail", fmt.Sprintf(format, args...))
	if err != nil {
		t.Fatal(err)
	}
	return w
}

const login = "ops%40example.org:pa%20ss%2Fw%C3%B6rd"

func TestMail(t *testing.T) {
	for _, c := range []struct{ encryption, scheme, query string }{
		{"starttls", "smtp", "&encryption=starttls"},
		{"starttls", "smtp", "&encryption=ExplicitTLS&auth=plain"},
		{"implicit", "smtps", ""},
		{"implicit", "smtp", "&encryption=tls"},
	} {
		s := serveMail(t, c.encryption)
		w := mailWay(t, "%s://%s@127.0.0.1:%s/?from=offsite@example.org&fromname=Off+Site&to=a+b@example.org,c@example.org&ca=%s%s", c.scheme, login, s.port, s.ca, c.query)
		notice := overdue
		notice.Text = "série shop is overdue\r\nBcc: evil@example.org " + strings.Repeat("long ", 40)
		m := message(notice)
		for range 2 {
			if err := w.Send(t.Context(), m); err != nil {
				t.Fatalf("%s %s: %v", c.scheme, c.query, err)
			}
		}
		got := s.mails[0]
		if got.user != "ops@example.org" || !got.encrypted || got.from != "offsite@example.org" || strings.Join(got.to, " ") != "a+b@example.org c@example.org" {
			t.Errorf("%+v", got)
		}
		checkMail(t, got.text, m)
		if id := header(t, s.mails[1].text, "Message-Id"); id != header(t, got.text, "Message-Id") || !strings.HasSuffix(id, "@example.org>") {
			t.Error("sent again, it has another id", id)
		}
	}
}

func header(t *testing.T, text, key string) string {
	t.Helper()
	parsed, err := netmail.ReadMessage(strings.NewReader(text))
	if err != nil {
		t.Fatal(err, text)
	}
	return parsed.Header.Get(key)
}

func checkMail(t *testing.T, text string, m alarm.Message) {
	t.Helper()
	title, body := Text(m)
	parsed, err := netmail.ReadMessage(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(parsed.Header.Get("Subject"))
	if err != nil || subject != title {
		t.Errorf("subject %q, want %q", subject, title)
	}
	h := parsed.Header
	if h.Get("From") != `"Off Site" <offsite@example.org>` || h.Get("To") != "<a+b@example.org>, <c@example.org>" || h.Get("Auto-Submitted") != "auto-generated" ||
		!strings.HasPrefix(h.Get("Content-Type"), "text/plain; charset=UTF-8") || len(h["Bcc"]) > 0 {
		t.Errorf("%v", h)
	}
	if date, err := h.Date(); err != nil || !date.Equal(m.At) {
		t.Errorf("date %v, %v", date, err)
	}
	for _, line := range strings.Split(text, "\r\n") {
		if len(line) > 998 || strings.IndexFunc(line, func(r rune) bool { return r > 126 }) >= 0 {
			t.Errorf("a line that mail does not carry: %q", line)
		}
	}
	plain, err := io.ReadAll(quotedprintable.NewReader(parsed.Body))
	if err != nil || strings.TrimSpace(strings.ReplaceAll(string(plain), "\r\n", "\n")) != strings.TrimSpace(body) {
		t.Errorf("body %q, want %q", plain, body)
	}
}

// A mail server on this host takes mail as it is.
func TestMailOnThisHost(t *testing.T) {
	s := serveMail(t, "none")
	if err := mailWay(t, "smtp://localhost:%s/?from=a@b.c&to=d@e.f", s.port).Send(t.Context(), message(overdue)); err != nil || len(s.mails) != 1 || s.mails[0].encrypted {
		t.Error(err, s.mails)
	}
}

func TestMailThatDoesNotGo(t *testing.T) {
	starttls, none := serveMail(t, "starttls"), serveMail(t, "none")
	starttls.refuse = "nobody@example.org"
	const rest = "from=a@example.org&to=b@example.org"
	for _, c := range []struct{ url, want string }{
		{"smtp://ops:wrong-hunter2@127.0.0.1:" + starttls.port + "/?encryption=starttls&ca=" + starttls.ca + "&" + rest, "AUTH failed"},
		{"smtp://" + login + "@127.0.0.1:" + starttls.port + "/?encryption=starttls&" + rest, "certificate"},                              // not trusted
		{"smtp://" + login + "@127.0.0.1:" + none.port + "/?encryption=starttls&ca=" + none.ca + "&" + rest, "does not support STARTTLS"}, // somebody in the middle
		{"smtp://" + login + "@127.0.0.1:" + none.port + "/?" + rest, "add encryption=starttls"},                                          // a password in clear
		{"smtp://127.0.0.1:" + starttls.port + "/?encryption=starttls&ca=/not/there&" + rest, "/not/there"},
		{"smtp://127.0.0.1:" + starttls.port + "/?encryption=starttls&ca=" + starttls.ca + "&from=a@example.org&to=nobody@example.org", "no such user nobody@example.org"},
		{"smtp://127.0.0.1:1/?" + rest, "connection refused"},
	} {
		err := mailWay(t, "%s", c.url).Send(t.Context(), message(overdue))
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "pa ss") {
			t.Errorf("%s: %v, want %s", c.url, err, c.want)
		}
	}
	if len(starttls.mails)+len(none.mails) > 0 {
		t.Error("something was sent all the same")
	}
}

func TestAMailServerThatHangs(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	for _, query := range []string{"", "&encryption=tls", "&encryption=starttls"} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		err := mailWay(t, "smtp://127.0.0.1:%s/?from=a@b.c&to=d@e.f%s", port, query).Send(ctx, message(overdue))
		if !errors.Is(err, context.DeadlineExceeded) || err.Error() != "no answer in time" {
			t.Errorf("%s: %v", query, err)
		}
		cancel()
	}
}

func TestMailAddresses(t *testing.T) {
	for address, want := range map[string]string{
		"smtp://mail.example.org/?from=a@b.c&to=d@e.f":                       "",
		"smtp://mail.example.org/?fromaddress=a@b.c&toaddresses=d@e.f,g@h.i": "",
		"smtp:///?from=a@b.c&to=d@e.f":                                       "names no server",
		"smtp://m/?to=d@e.f":                                                 "has no from",
		"smtp://m/?from=a@b.c":                                               "has no to",
		"smtp://m/?from=nobody&to=d@e.f":                                     `"nobody"`,
		"smtp://m/?from=a@b.c&to=d@e.f,":                                     `""`,
		"smtp://m:0/?from=a@b.c&to=d@e.f":                                    "port",
		"smtp://m/?from=a@b.c&to=d@e.f&auth=magic":                           "has an auth that is none of auto, crammd5",
		"smtp://m/?from=a@b.c&to=d@e.f&encryption=rot13":                     "none of starttls, tls, none",
		"smtp://m/?from=a@b.c&to=d@e.f&ca=ca.pem":                            "not absolute",
		"smtp://m/?from=a@b.c&to=d@e.f&skiptlsverify=yes":                    "write ca=",
		"smtp://m/?from=a@b.c&to=d@e.f&form=x":                               "has form, which is no key",
		"smtp://u:12?hunter2@m/?from=a@b.c&to=d@e.f":                         "has something, which is no key",
		"smtp://u:hunter/2@m/?from=a@b.c&to=d@e.f":                           "is not an address",
		"smtp://m/?from=%zz":                                                 "percent-encoded",
	} {
		err := CheckURL(address)
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter")) {
			t.Errorf("%s: %v, want %q", address, err, want)
		}
	}
	m := mailWay(t, "smtps://u:p@m/?from=a@b.c&to=d@e.f").(*mailer)
	if m.port != 465 || m.tls != "implicit" {
		t.Errorf("%+v", m)
	}
	m = mailWay(t, "smtp://u:p@m/?from=a@b.c&to=d@e.f").(*mailer)
	if m.port != 587 || m.tls != "starttls" || m.auth != "AUTODISCOVER" {
		t.Errorf("%+v", m)
	}
}
