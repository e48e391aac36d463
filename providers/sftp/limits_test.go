package sftp

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"io"
	"strings"
	"testing"
)

// script is a server that says what it says, whatever it is asked.
type script struct {
	io.Reader
	asked bytes.Buffer
}

func (s *script) Write(p []byte) (int, error) { return s.asked.Write(p) }

func message(kind byte, body ...[]byte) []byte {
	var b bytes.Buffer
	send(&b, kind, bytes.Join(body, nil))
	return b.Bytes()
}

func version(extensions ...string) []byte {
	body := binary.BigEndian.AppendUint32(nil, 3)
	for _, e := range extensions {
		body = appendString(appendString(body, e), "1")
	}
	return message(typeVersion, body)
}

func reply(kind byte, numbers ...uint64) []byte {
	body := binary.BigEndian.AppendUint32(nil, 1)
	for _, n := range numbers {
		body = binary.BigEndian.AppendUint64(body, n)
	}
	return message(kind, body)
}

func TestTheServerSaysHowLargeAPacketItTakes(t *testing.T) {
	for _, c := range []struct {
		name  string
		says  []byte
		want  uint64
		fails bool
	}{
		{"OpenSSH", append(version("posix-rename@openssh.com", limitsExtension), reply(typeExtendedReply, 262144, 261120, 261120, 1019)...), 261120, false},
		{"reads less than it writes", append(version(limitsExtension), reply(typeExtendedReply, 262144, 65536, 131072, 0)...), 65536, false},
		{"knows no limit", append(version(limitsExtension), reply(typeExtendedReply, 0, 0, 0, 0)...), 0, false},
		{"has no such extension", version("statvfs@openssh.com"), 0, false},
		{"refuses", append(version(limitsExtension), reply(101, 8)...), 0, false},
		{"says nothing", nil, 0, true},
		{"speaks HTTP", []byte("HTTP/1.1 400 Bad Request\r\n\r\n"), 0, true},
		{"ends in the middle", append(version(limitsExtension), reply(typeExtendedReply, 262144, 261120)[:9]...), 0, true},
	} {
		got, err := askLimits(&script{Reader: bytes.NewReader(c.says)})
		if got != c.want || (err != nil) != c.fails {
			t.Errorf("a server that %s: %d, %v; want %d", c.name, got, err, c.want)
		}
	}
	s := &script{Reader: bytes.NewReader(append(version(limitsExtension), reply(typeExtendedReply, 262144, 1, 1, 1)...))}
	askLimits(s)
	const want = "00000005" + "01" + "00000003" + "0000001b" + "c8" + "00000001" + "00000012"
	if got := hex.EncodeToString(s.asked.Bytes()); got != want+hex.EncodeToString([]byte(limitsExtension)) {
		t.Errorf("asked %s", got)
	}
}

func FuzzAskLimits(f *testing.F) {
	f.Add(append(version(limitsExtension), reply(typeExtendedReply, 262144, 261120, 261120, 1019)...))
	f.Add(version("a", "b"))
	f.Fuzz(func(t *testing.T, says []byte) {
		if most, err := askLimits(&script{Reader: bytes.NewReader(says)}); err != nil && most != 0 {
			t.Errorf("%d, %v", most, err)
		}
	})
}

func FuzzParsePin(f *testing.F) {
	f.Add("SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	f.Add("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHUr5dBjLkyr0b6QyVO3x0Xd9bd3nfYQ8uYB2vBqYpQx comment")
	f.Add("command=\"x\" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHUr5dBjLkyr0b6QyVO3x0Xd9bd3nfYQ8uYB2vBqYpQx")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := parsePin(s)
		if err == nil && (!strings.HasPrefix(p.fingerprint, "SHA256:") || len(p.fingerprint) != len("SHA256:")+43) {
			t.Errorf("%q: fingerprint %q", s, p.fingerprint)
		}
	})
}
