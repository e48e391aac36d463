package providers

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
)

// Secret is a password or key. It prints, logs and marshals as "***"; only Reveal gives it away.
// The zero Secret is "not set".
type Secret struct {
	// A pointer, so that a package that prints what it may not ask (fmt, of an unexported field) prints an address.
	value *string
}

// NewSecret hides value. An empty one is not set.
func NewSecret(value string) Secret {
	if value == "" {
		return Secret{}
	}
	return Secret{&value}
}

// ReadSecret is the secret given as a value or as the path of a file that holds it, of which at most one is set.
// One line end after the secret in the file is not part of it. Both unset: the zero Secret.
func ReadSecret(value Secret, file string) (Secret, error) {
	if file == "" {
		return value, nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return Secret{}, err
	}
	s := strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
	if s == "" {
		return Secret{}, fmt.Errorf("%s is empty: it should hold a secret", file)
	}
	return NewSecret(s), nil
}

// Reveal is the secret itself.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// IsSet says whether there is a secret.
func (s Secret) IsSet() bool { return s.value != nil }

// String is "***", or empty if there is no secret.
func (s Secret) String() string {
	if s.value == nil {
		return ""
	}
	return "***"
}

// Format keeps every verb of fmt from showing the secret.
func (s Secret) Format(f fmt.State, _ rune) { io.WriteString(f, s.String()) }

// GoString keeps %#v from showing the secret.
func (s Secret) GoString() string { return s.String() }

// LogValue keeps slog from showing the secret.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText keeps encoders from showing the secret.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText takes a secret from a configuration file.
func (s *Secret) UnmarshalText(b []byte) error {
	*s = NewSecret(string(b))
	return nil
}

// FieldError is one mistake in a provider's Config: the key as it is written in YAML, what is wrong, and what to
// write instead. Validate joins them with errors.Join.
type FieldError struct {
	Key     string
	Problem string
	Remedy  string
}

func (e *FieldError) Error() string {
	if e.Remedy == "" {
		return fmt.Sprintf("%s: %s", e.Key, e.Problem)
	}
	return fmt.Sprintf("%s: %s; %s", e.Key, e.Problem, e.Remedy)
}

// CheckSecret is the mistake of giving a secret both as a value and as a file, or nil.
func CheckSecret(key string, value Secret, file string) error {
	if value.IsSet() && file != "" {
		return &FieldError{key, "is given twice, as a value and as a file", "keep " + key + "_file only"}
	}
	return nil
}

// FieldErrors takes apart what Validate joined.
func FieldErrors(err error) []*FieldError {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []*FieldError
		for _, e := range joined.Unwrap() {
			all = append(all, FieldErrors(e)...)
		}
		return all
	}
	var one *FieldError
	if errors.As(err, &one) {
		return []*FieldError{one}
	}
	return nil
}
