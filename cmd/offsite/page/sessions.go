package page

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// sessionLife is for how long a login holds, and maxSessions how many there are at once: the oldest goes. None survives the process.
const (
	sessionLife = 7 * 24 * time.Hour
	maxSessions = 200
)

// sessions are the logins through one door. A cookie is a random value, of which only the digest is kept.
type sessions struct {
	now func() time.Time
	mu  sync.Mutex
	all map[[sha256.Size]byte]*session
}

type session struct {
	until time.Time
	ended chan struct{} // closed at the logout
}

type sessionKey struct{}

// isSession says whether a request comes with a login, as opposed to a token in its header or nothing at all.
func isSession(ctx context.Context) bool { return ctx.Value(sessionKey{}) != nil }

// ended is closed when the login that a request came with is over; nil: it came without one.
func ended(ctx context.Context) <-chan struct{} {
	if s, ok := ctx.Value(sessionKey{}).(*session); ok {
		return s.ended
	}
	return nil
}

func newSessions(now func() time.Time) *sessions {
	return &sessions{now: now, all: map[[sha256.Size]byte]*session{}}
}

func (s *sessions) begin() (cookie string) {
	cookie = rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.all) >= maxSessions {
		var oldest [sha256.Size]byte
		for key, one := range s.all {
			if old := s.all[oldest]; old == nil || one.until.Before(old.until) {
				oldest = key
			}
		}
		s.remove(oldest)
	}
	s.all[sha256.Sum256([]byte(cookie))] = &session{s.now().Add(sessionLife), make(chan struct{})}
	return cookie
}

// find gives the session of a cookie, or nil.
func (s *sessions) find(cookie string) *session {
	key := sha256.Sum256([]byte(cookie))
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.all[key]
	if one != nil && !s.now().Before(one.until) {
		s.remove(key)
		return nil
	}
	return one
}

func (s *sessions) end(cookie string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(sha256.Sum256([]byte(cookie)))
}

func (s *sessions) remove(key [sha256.Size]byte) {
	if one := s.all[key]; one != nil {
		close(one.ended)
		delete(s.all, key)
	}
}

// cookie is named so that with TLS no other host and no plain connection can set it.
func (d *door) cookie(value string) *http.Cookie {
	c := &http.Cookie{Name: "offsite", Value: value, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: d.TLS}
	if d.TLS {
		c.Name = "__Host-offsite"
	}
	return c
}

func (d *door) session(r *http.Request) *session {
	c, err := r.Cookie(d.cookie("").Name)
	if err != nil {
		return nil
	}
	return d.sessions.find(c.Value)
}

// form is what the login shows.
type form struct {
	To    string
	Wrong string
}

func (d *door) serveForm(w http.ResponseWriter, r *http.Request) {
	to := local(r.URL.Query().Get("to"))
	if d.hash == nil || d.session(r) != nil {
		http.Redirect(w, r, to, http.StatusSeeOther)
		return
	}
	d.page.serveTemplate(w, http.StatusOK, "login", form{To: to})
}

func (d *door) serveLogin(w http.ResponseWriter, r *http.Request) {
	to := local(r.PostFormValue("to"))
	if d.hash == nil {
		http.Redirect(w, r, to, http.StatusSeeOther)
		return
	}
	token := strings.TrimSpace(r.PostFormValue("token"))
	right, wait := d.tries.try(r.RemoteAddr, func() bool { return d.right(token) })
	switch {
	case wait > 0:
		setRetryAfter(w, wait)
		d.page.serveTemplate(w, http.StatusTooManyRequests, "login", form{to, "Too many wrong tokens came from your address. Wait a minute and try again."})
	case !right:
		d.page.Log.Warn("somebody gave a wrong token for the page", "from", r.RemoteAddr)
		d.page.serveTemplate(w, http.StatusUnauthorized, "login", form{to, "This is not the token. “offsite page token” makes a new one."})
	default:
		http.SetCookie(w, d.cookie(d.sessions.begin()))
		http.Redirect(w, r, to, http.StatusSeeOther)
	}
}

func (d *door) serveLogout(w http.ResponseWriter, r *http.Request) {
	gone := d.cookie("")
	if c, err := r.Cookie(gone.Name); err == nil {
		d.sessions.end(c.Value)
	}
	gone.MaxAge = -1
	http.SetCookie(w, gone)
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}

// local is where the login leads to: somewhere here, or the first page.
func local(to string) string {
	u, err := url.Parse(to)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || u.Opaque != "" || !strings.HasPrefix(to, "/") ||
		strings.HasPrefix(to, "//") || strings.ContainsAny(to, "\\\r\n\t") {
		return "/"
	}
	return u.RequestURI()
}
