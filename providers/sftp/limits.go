package sftp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"golang.org/x/crypto/ssh"
)

// Without the server's word, a packet carries 32 KiB, which every server must take (draft-ietf-secsh-filexfer-02, 3):
// some corrupt larger ones. inFlight packets are under way at once, 2 MiB, which is OpenSSH's window.
const (
	smallPacket   = 32 << 10
	smallInFlight = 64
	// largePacket is the most that the client library reads in one message, less the message's own head.
	largePacket   = 256<<10 - 1024
	largeInFlight = 16
)

const limitsExtension = "limits@openssh.com"

// limits asks the server how large a packet it takes (OpenSSH's PROTOCOL, 4.8 "limits@openssh.com"), in a session of
// its own, since the client library cannot ask. A server without that extension gets small packets.
func limits(client *ssh.Client) (packet, inFlight int, err error) {
	session, err := client.NewSession()
	if err != nil {
		return 0, 0, err
	}
	defer session.Close()
	w, err := session.StdinPipe()
	if err != nil {
		return 0, 0, err
	}
	r, err := session.StdoutPipe()
	if err != nil {
		return 0, 0, err
	}
	if err := session.RequestSubsystem("sftp"); err != nil {
		return 0, 0, err
	}
	most, err := askLimits(struct {
		io.Reader
		io.Writer
	}{r, w})
	if err != nil {
		return 0, 0, err
	}
	if most <= smallPacket {
		return smallPacket, smallInFlight, nil
	}
	return int(min(most, largePacket)), largeInFlight, nil
}

// Message types of draft-ietf-secsh-filexfer-02.
const (
	typeInit          = 1
	typeVersion       = 2
	typeExtended      = 200
	typeExtendedReply = 201
)

// askLimits begins an SFTP session and gives the number of bytes that both a read and a write may carry; 0: not said.
func askLimits(server io.ReadWriter) (uint64, error) {
	if err := send(server, typeInit, binary.BigEndian.AppendUint32(nil, 3)); err != nil {
		return 0, err
	}
	kind, body, err := receive(server)
	if err != nil {
		return 0, err
	}
	if kind != typeVersion || len(body) < 4 {
		return 0, errors.New("it answers in another protocol")
	}
	if !offers(body[4:], limitsExtension) {
		return 0, nil
	}
	request := appendString(binary.BigEndian.AppendUint32(nil, 1), limitsExtension)
	if err := send(server, typeExtended, request); err != nil {
		return 0, err
	}
	kind, body, err = receive(server)
	if err != nil {
		return 0, err
	}
	if kind != typeExtendedReply || len(body) < 4+4*8 {
		return 0, nil
	}
	// After the request's id: max-packet-length, max-read-length, max-write-length, max-open-handles; 0: no limit known.
	longest, read, write := binary.BigEndian.Uint64(body[4:]), binary.BigEndian.Uint64(body[12:]), binary.BigEndian.Uint64(body[20:])
	if longest < 1024 {
		return 0, nil
	}
	return min(longest-1024, read, write), nil
}

// offers looks for an extension in the list of name-data pairs that follows the version.
func offers(pairs []byte, name string) bool {
	for len(pairs) > 0 {
		var found string
		var ok bool
		if found, pairs, ok = cutString(pairs); !ok {
			return false
		}
		if _, pairs, ok = cutString(pairs); !ok {
			return false
		}
		if found == name {
			return true
		}
	}
	return false
}

func send(w io.Writer, kind byte, body []byte) error {
	message := append(binary.BigEndian.AppendUint32(nil, uint32(1+len(body))), kind)
	_, err := w.Write(append(message, body...))
	return err
}

func receive(r io.Reader) (kind byte, body []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	length := binary.BigEndian.Uint32(head[:])
	if length < 1 || length > smallPacket {
		return 0, nil, fmt.Errorf("it begins with a message of %d bytes", length)
	}
	body = make([]byte, length-1)
	_, err = io.ReadFull(r, body)
	return head[4], body, err
}

func appendString(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
}

func cutString(b []byte) (s string, rest []byte, ok bool) {
	if len(b) < 4 || uint64(len(b)-4) < uint64(binary.BigEndian.Uint32(b)) {
		return "", nil, false
	}
	n := 4 + binary.BigEndian.Uint32(b)
	return string(b[4:n]), b[n:], true
}
