package page

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// Access is who may look through one listener.
type Access struct {
	// TokenHash is that of the token that is asked for, as NewToken gives it; empty: everybody who gets here may look, which is for unix
	// sockets and loopback addresses.
	TokenHash string
	// Unix says that nobody comes by way of a host name.
	Unix bool
	// Loopback says that only this machine gets here, so that another machine's address in the Host header is a trick.
	Loopback bool
	// Names are the host names, beside localhost, by which the page is asked for. Under any other it does not answer, or else a foreign web
	// page whose name leads here could read this one in a visitor's browser (DNS rebinding).
	Names []string
	// TLS says that the connection is encrypted, so that cookies may be kept from going over one that is not.
	TLS bool
}

// NewToken makes a token, and its hash for the configuration.
func NewToken() (token, hash string) {
	b := make([]byte, 32)
	rand.Read(b) // does not fail
	token = base64.RawURLEncoding.EncodeToString(b)
	sum := sha256.Sum256([]byte(token))
	return token, hashPrefix + hex.EncodeToString(sum[:])
}

const hashPrefix = "sha256:"

// parseHash reads the hash of a token. A token is as random as a key, so that a plain hash is enough.
func parseHash(s string) ([]byte, error) {
	digits, ok := strings.CutPrefix(s, hashPrefix)
	sum, err := hex.DecodeString(digits)
	if !ok || err != nil || len(sum) != sha256.Size {
		return nil, errors.New("a token's hash should be sha256: and 64 hexadecimal digits")
	}
	return sum, nil
}

// door lets those in whom Access allows to look.
type door struct {
	Access
	page     *Page
	hash     []byte // nil: everybody
	sessions *sessions
	tries    *tries
}

func newDoor(p *Page, a Access) (*door, error) {
	d := &door{Access: a, page: p, sessions: newSessions(p.Now), tries: newTries(p.Now)}
	if a.TokenHash == "" {
		if !a.Unix && !a.Loopback {
			return nil, errors.New("a page that other machines can reach needs a token")
		}
		return d, nil
	}
	var err error
	d.hash, err = parseHash(a.TokenHash)
	return d, err
}

// security is said of every answer: nothing of another origin, no script or style but our files, in nobody's frame, in no cache.
var security = map[string]string{
	"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; " +
		"base-uri 'none'; frame-ancestors 'none'",
	"X-Frame-Options":              "DENY",
	"X-Content-Type-Options":       "nosniff",
	"Referrer-Policy":              "no-referrer",
	"Cross-Origin-Opener-Policy":   "same-origin",
	"Cross-Origin-Resource-Policy": "same-origin",
	"Permissions-Policy":           "camera=(), geolocation=(), microphone=()",
	"Cache-Control":                "no-store",
}

// guard is around all that the door serves, also before anybody is known.
func (d *door) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for key, value := range security {
			w.Header().Set(key, value)
		}
		if !d.answersTo(r.Host) {
			http.Error(w, fmt.Sprintf("This page does not answer to the name %q. If it should, add it to `names` of this address, under `listen` in the configuration.", r.Host), http.StatusMisdirectedRequest)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, 4<<10)
		next.ServeHTTP(w, r)
	})
}

// answersTo says whether the page may be asked for under this name. Another machine's address is no name: nobody can make it lead here.
func (d *door) answersTo(host string) bool {
	if d.Unix {
		return true
	}
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap().IsLoopback() || !d.Loopback || slices.Contains(d.Names, host)
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost") ||
		slices.ContainsFunc(d.Names, func(name string) bool { return strings.EqualFold(name, host) })
}

// known lets through whoever has shown the token, in the header or once at the login.
func (d *door) known(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if d.hash == nil {
			next.ServeHTTP(w, r)
			return
		}
		if s := d.session(r); s != nil {
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), sessionKey{}, s)))
			return
		}
		token, given := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if given {
			if d.try(w, r, token) {
				next.ServeHTTP(w, r)
			}
			return
		}
		if !strings.Contains(r.Header.Get("Accept"), "text/html") {
			d.unknown(w)
			return
		}
		http.Redirect(w, r, "/login?to="+url.QueryEscape(r.URL.RequestURI()), http.StatusSeeOther)
	})
}

func (d *door) unknown(w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate", `Bearer realm="offsite"`)
	http.Error(w, "a token is needed: Authorization: Bearer TOKEN, or log in at /login", http.StatusUnauthorized)
}

// try looks whether the token is right, and answers if not.
func (d *door) try(w http.ResponseWriter, r *http.Request, token string) bool {
	right, wait := d.tries.try(r.RemoteAddr, func() bool { return d.right(token) })
	switch {
	case right:
		return true
	case wait > 0:
		tooMany(w, wait)
	default:
		d.page.Log.Warn("somebody gave a wrong token for the page", "from", r.RemoteAddr)
		d.unknown(w)
	}
	return false
}

func (d *door) right(token string) bool {
	sum := sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(sum[:], d.hash) == 1
}
