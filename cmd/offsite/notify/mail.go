package notify

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net"
	netmail "net/mail"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wneessen/go-mail"

	"offsite/agent/alarm"
)

// mailer sends mail by a server. It reads shoutrrr's addresses, but does not use its SMTP, which waits for ever for a server that says
// nothing, encodes no header and writes no Message-ID.
type mailer struct {
	name, host     string
	port           int
	user, password string
	from           *netmail.Address
	to             []*netmail.Address
	// tls is starttls, implicit or none.
	tls string
	// auth is how to log in, with a user.
	auth mail.SMTPAuthType
	// ca is a file with the certificates to trust; "": those of the system.
	ca      string
	secrets *scrubber
}

var (
	mailAuth = map[string]mail.SMTPAuthType{"auto": mail.SMTPAuthAutoDiscover, "plain": mail.SMTPAuthPlain, "login": mail.SMTPAuthLogin,
		"crammd5": mail.SMTPAuthCramMD5, "oauth2": mail.SMTPAuthXOAUTH2, "none": mail.SMTPAuthNoAuth}
	mailKey = regexp.MustCompile(`^[a-z]{1,20}$`)
	mailTLS = map[string]string{"starttls": "starttls", "explicittls": "starttls", "tls": "implicit", "implicittls": "implicit", "none": "none"}
)

// newMail reads smtp://user:password@host:port/?from=a@x&to=b@x,c@x, with the keys fromname, auth, encryption and ca. Without encryption it
// is STARTTLS, on port 465 and for smtps:// TLS from the first byte, and none for a server on this host.
func newMail(name string, u *url.URL) (*mailer, error) {
	m := &mailer{name: name, host: u.Hostname(), user: u.User.Username(), auth: mail.SMTPAuthNoAuth}
	m.password, _ = u.User.Password()
	m.secrets = scrub(m.password, base64.StdEncoding.EncodeToString([]byte("\x00"+m.user+"\x00"+m.password)))
	if m.user != "" {
		m.auth = mail.SMTPAuthAutoDiscover
	}
	if m.host == "" {
		return nil, errors.New("names no server; write smtp://user:password@server:587/?from=a@example.org&to=b@example.org")
	}
	if err := m.connection(u); err != nil {
		return nil, err
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, errors.New("has something after its question mark that is not key=value&key=value, percent-encoded")
	}
	for _, key := range slices.Sorted(maps.Keys(query)) {
		if err := m.set(strings.ToLower(key), query[key]); err != nil {
			return nil, err
		}
	}
	switch {
	case m.from == nil:
		return nil, errors.New("has no from; add from=offsite@example.org")
	case len(m.to) == 0:
		return nil, errors.New("has no to; add to=you@example.org")
	}
	m.from.Name = Line(query.Get("fromname"))
	return m, nil
}

// connection finds port and encryption.
func (m *mailer) connection(u *url.URL) error {
	m.tls, m.port = "starttls", 587
	switch {
	case u.Scheme == "smtps" || u.Port() == "465":
		m.tls, m.port = "implicit", 465
	case loopback(m.host):
		m.tls, m.port = "none", 25
	}
	if u.Port() == "" {
		return nil
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil || port < 1 || port > 65535 {
		return errors.New("has a port that is none; write one such as 587")
	}
	m.port = port
	return nil
}

func (m *mailer) set(key string, values []string) (err error) {
	value, known := values[len(values)-1], false
	switch key {
	case "from", "fromaddress":
		m.from, err = mailbox(value)
	case "to", "toaddresses":
		for _, list := range values {
			for one := range strings.SplitSeq(list, ",") {
				to, err := mailbox(one)
				if err != nil {
					return err
				}
				m.to = append(m.to, to)
			}
		}
	case "fromname":
	case "auth":
		if m.auth, known = mailAuth[strings.ToLower(value)]; !known {
			return fmt.Errorf("has an auth that is none of %s", strings.Join(slices.Sorted(maps.Keys(mailAuth)), ", "))
		}
	case "encryption":
		if m.tls, known = mailTLS[strings.ToLower(value)]; !known {
			return errors.New("has an encryption that is none of starttls, tls, none")
		}
	case "ca":
		if m.ca = value; !filepath.IsAbs(value) {
			return errors.New("has a ca that is not absolute; begin it with /")
		}
	case "skiptlsverify":
		return errors.New("has skiptlsverify, with which anybody could take the mail and its password; write ca=/path/of/the/server's/certificate instead")
	default:
		if !mailKey.MatchString(key) {
			key = "something" // perhaps the rest of a password with a question mark
		}
		return fmt.Errorf("has %s, which is no key here; there are from, to, fromname, auth, encryption and ca", key)
	}
	return err
}

// mailbox reads a plain address. A plus sign in a URL is a space, and a space is in no address: it is meant as it stands.
func mailbox(s string) (*netmail.Address, error) {
	s = strings.ReplaceAll(strings.TrimSpace(s), " ", "+")
	a, err := netmail.ParseAddress(s)
	if err != nil || a.Name != "" || a.Address != s {
		return nil, fmt.Errorf("has the address %q, which is none; write one such as you@example.org", Line(cut(s, 100)))
	}
	return a, nil
}

// Name is that of the configuration.
func (m *mailer) Name() string { return m.name }

// Send mails a message to all at once. The same message has the same Message-ID again.
func (m *mailer) Send(ctx context.Context, message alarm.Message) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	mime, err := m.mime(message)
	if err != nil {
		return m.secrets.error(err)
	}
	conf, err := m.tlsConfig()
	if err != nil {
		return m.secrets.error(err)
	}
	err = m.deliver(ctx, conf, mime)
	if ctx.Err() != nil && err != nil {
		err = ctx.Err()
	}
	return m.secrets.error(err)
}

func (m *mailer) mime(message alarm.Message) (*mail.Msg, error) {
	title, body := Text(message)
	_, id, err := encode(message)
	if err != nil {
		return nil, err
	}
	mime := mail.NewMsg()
	mime.FromMailAddress(m.from)
	mime.ToMailAddress(m.to...)
	mime.Subject(title)
	mime.SetDateWithValue(message.At)
	_, domain, _ := strings.Cut(m.from.Address, "@")
	mime.SetMessageIDWithValue(id + "@" + domain)
	mime.SetGenHeader("Auto-Submitted", "auto-generated") // so that no vacation answers
	mime.SetUserAgent("offsite")
	mime.SetBodyString(mail.TypeTextPlain, body)
	return mime, nil
}

func (m *mailer) tlsConfig() (*tls.Config, error) {
	conf := &tls.Config{ServerName: m.host, MinVersion: tls.VersionTLS12}
	if m.ca == "" {
		return conf, nil
	}
	pem, err := os.ReadFile(m.ca)
	if err != nil {
		return nil, err
	}
	conf.RootCAs = x509.NewCertPool()
	if !conf.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s has no certificate", m.ca)
	}
	return conf, nil
}

// deliver speaks with the server; the connection is closed when ctx ends, which ends every word.
func (m *mailer) deliver(ctx context.Context, conf *tls.Config, mime *mail.Msg) (err error) {
	policy := mail.TLSMandatory
	dial := (&net.Dialer{Timeout: 20 * time.Second}).DialContext
	switch m.tls {
	case "none":
		policy = mail.NoTLS
	case "implicit":
		// The library finds that it is encrypted by the connection itself.
		policy = mail.TLSOpportunistic
		dial = (&tls.Dialer{NetDialer: &net.Dialer{Timeout: 20 * time.Second}, Config: conf}).DialContext
	}
	var open net.Conn
	defer func() {
		if open != nil {
			open.Close() // mostly done before
		}
	}()
	kept := func(dialing context.Context, network, address string) (net.Conn, error) {
		c, err := dial(dialing, network, address)
		if err == nil {
			open = c
			context.AfterFunc(ctx, func() { c.Close() })
		}
		return c, err
	}
	options := []mail.Option{mail.WithPort(m.port), mail.WithTimeout(30 * time.Second), mail.WithTLSConfig(conf), mail.WithTLSPolicy(policy), mail.WithDialContextFunc(kept)}
	if m.auth != mail.SMTPAuthNoAuth {
		options = append(options, mail.WithSMTPAuth(m.auth), mail.WithUsername(m.user), mail.WithPassword(m.password))
	}
	client, err := mail.NewClient(m.host, options...)
	if err != nil {
		return err
	}
	err = client.DialAndSendWithContext(ctx, mime)
	if errors.Is(err, mail.ErrNoSupportedAuthDiscovered) && m.tls == "none" {
		return errors.New("the server takes no password that would be safe without encryption; add encryption=starttls")
	}
	if err != nil && mime.IsDelivered() {
		return nil // only the goodbye went wrong: told again, it would come twice
	}
	return err
}
