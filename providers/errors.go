package providers

import (
	"errors"
	"fmt"
	"strings"
)

// These sort the errors of a Target, together with fs.ErrNotExist and fs.ErrPermission. An error that is none of them
// (a lost connection, a server's 503) may go away by itself and is worth another try.
var (
	// ErrPermanent can occur on every call: it will fail again until a person changes something. The bucket does not
	// exist, the host key is another one, the certificate is not trusted, the mount is missing, the name is invalid.
	ErrPermanent = errors.New("needs a person")

	// ErrSourceChanged can occur in Source.Block: the bytes are not those that the source had before. Put gives it
	// back, and removes what it had sent.
	ErrSourceChanged = errors.New("the source has changed")

	// ErrCorrupt can occur in Put and Get: what arrived at the other side is not what was sent.
	ErrCorrupt = errors.New("damaged in transit")
)

// Error is what every method of a Target returns: the operation, the object, and the cause.
type Error struct {
	// Op is put, get, stat, list, lock, preserve, delete, or open for what concerns the whole target.
	Op string
	// Name is the object's name, or the prefix for list; empty for the target as a whole.
	Name string
	// Kind is nil, fs.ErrNotExist, fs.ErrPermission, ErrPermanent, ErrSourceChanged or ErrCorrupt.
	Kind error
	// Err is the cause, in the words of whoever failed, with the remedy where there is one.
	Err error
}

func (e *Error) Error() string {
	if e.Name == "" {
		return fmt.Sprintf("%s: %v", e.Op, e.Err)
	}
	return fmt.Sprintf("%s %s: %v", e.Op, e.Name, e.Err)
}

// Unwrap gives the kind and the cause, so that errors.Is finds either.
func (e *Error) Unwrap() []error {
	if e.Kind == nil {
		return []error{e.Err}
	}
	return []error{e.Kind, e.Err}
}

// CheckName says whether name can name an object: 1 to 900 bytes of printable ASCII without backslash, in parts
// between slashes that are neither empty nor longer than 255 bytes and do not start with a dot. (Callers encode what
// else they have to say: see agent/vault. A leading dot is where targets hide their temporary files.)
func CheckName(name string) error {
	bad := func(why string) error {
		return fmt.Errorf("object name %q: %s: %w", name, why, ErrPermanent)
	}
	if name == "" || len(name) > 900 {
		return bad("must have 1 to 900 bytes")
	}
	for i := range len(name) {
		if c := name[i]; c < 0x20 || c > 0x7e || c == '\\' {
			return bad("must be printable ASCII without backslash")
		}
	}
	for part := range strings.SplitSeq(name, "/") {
		switch {
		case part == "":
			return bad("has an empty part")
		case part[0] == '.':
			return bad("has a part that starts with a dot")
		case len(part) > 255:
			return bad("has a part longer than 255 bytes")
		}
	}
	return nil
}
