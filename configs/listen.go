package configs

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"regexp"
	"strings"
)

// Listen is one address at which the page is served.
type Listen struct {
	// Address is unix: and the path of a socket, or an IP address and a port.
	Address string `yaml:"address"`
	// TokenHash is that of the token that is asked for; empty: none is.
	TokenHash string `yaml:"token_hash"`
	// Names are the host names by which the page may be asked for, beside localhost.
	Names []string `yaml:"names"`
	// TLSCertFile and TLSKeyFile are for TLS; both or none.
	TLSCertFile string `yaml:"tls_cert_file"`
	TLSKeyFile  string `yaml:"tls_key_file"`
}

// Unix is the path of the socket; false: it is none.
func (l Listen) Unix() (path string, ok bool) { return strings.CutPrefix(l.Address, "unix:") }

// Loopback says that no other machine can reach the address.
func (l Listen) Loopback() bool {
	a, err := netip.ParseAddrPort(l.Address)
	return err == nil && a.Addr().Unmap().IsLoopback()
}

// TLS says that connections are encrypted.
func (l Listen) TLS() bool { return l.TLSCertFile != "" }

var (
	tokenHash = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	webName   = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$`)
)

func (v *validator) listens(c *Config) {
	seen := map[string]int{}
	for i := range c.Listen {
		l := &c.Listen[i]
		key := fmt.Sprintf("listen[%d]", i)
		if seen[l.Address] > 0 {
			v.wrong(key+".address", "%q comes twice; keep one", l.Address)
		}
		seen[l.Address]++
		v.credential(&l.TLSCertFile)
		v.credential(&l.TLSKeyFile)
		if v.address(*l, key+".address") {
			v.listenAccess(*l, key)
		}
		for n, name := range l.Names {
			if !webName.MatchString(name) {
				v.wrong(fmt.Sprintf("%s.names[%d]", key, n), "%q should be a host name such as db-server.lan, without http:// and port", name)
			}
		}
	}
}

// address looks at an address, and says whether the rest can be looked at.
func (v *validator) address(l Listen, key string) bool {
	if path, ok := l.Unix(); ok {
		switch {
		case !filepath.IsAbs(path):
			v.wrong(key, "%q should be unix: and an absolute path, such as unix:/run/offsite/page.sock", l.Address)
		case len(path) > maxSocket:
			v.wrong(key, "the path of a socket has %d bytes at most", maxSocket)
		}
		return true
	}
	a, err := netip.ParseAddrPort(l.Address)
	switch {
	case l.Address == "":
		v.wrong(key, "is missing; write one such as 127.0.0.1:7373 or unix:/run/offsite/page.sock")
	case err != nil && strings.HasPrefix(l.Address, ":"):
		v.wrong(key, "%q has no address; write 127.0.0.1%s for this machine alone, or 0.0.0.0%s for all", l.Address, l.Address, l.Address)
	case err != nil:
		v.wrong(key, "%q is not an address; write an IP address and a port such as 127.0.0.1:7373 or [::1]:7373, or unix:/run/offsite/page.sock", l.Address)
	case a.Port() == 0:
		v.wrong(key, "has no port; write one such as 7373")
	default:
		return true
	}
	return false
}

func (v *validator) listenAccess(l Listen, key string) {
	_, unix := l.Unix()
	switch {
	case l.TokenHash == "" && !unix && !l.Loopback():
		v.wrong(key, "can be reached by other machines and has no token_hash; `offsite page token` prints one, or write 127.0.0.1 instead")
	case l.TokenHash != "" && !tokenHash.MatchString(l.TokenHash):
		// Not shown: it may be the token itself.
		v.wrong(key+".token_hash", "should be sha256: and 64 hexadecimal digits, as `offsite page token` prints it; the token itself does not belong here")
	}
	switch {
	case unix && (l.TLSCertFile != "" || l.TLSKeyFile != ""):
		v.wrong(key+".address", "is a unix socket, which needs no TLS; remove tls_cert_file and tls_key_file")
	case l.TLSCertFile != "" && l.TLSKeyFile == "":
		v.wrong(key+".tls_cert_file", "is given without tls_key_file; TLS needs both")
	case l.TLSCertFile == "" && l.TLSKeyFile != "":
		v.wrong(key+".tls_key_file", "is given without tls_cert_file; TLS needs both")
	}
}
