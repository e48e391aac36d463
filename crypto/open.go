package crypto

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"filippo.io/age"
)

// These can occur when something sealed is opened.
var (
	// ErrNoIdentity: none of the identities belongs to a recipient of the file.
	ErrNoIdentity = errors.New("none of the identities opens this file")
	// ErrCorrupt: the file is no age file, damaged, or cut short.
	ErrCorrupt = errors.New("damaged age file")
)

// Open opens an age file of size bytes for reading at any offset, and gives the size of its plaintext. Every chunk is
// authenticated before its bytes are given out; the last one, which proves the length, at once. The reader may be
// used concurrently as far as src may. Errors of src are passed on; others are ErrNoIdentity or ErrCorrupt.
func Open(src io.ReaderAt, size int64, identities ...age.Identity) (io.ReaderAt, int64, error) {
	r, plain, err := age.DecryptReaderAt(sourceAt{src}, size, identities...)
	if err != nil {
		return nil, 0, openError(err)
	}
	return openedAt{r}, plain, nil
}

// OpenStream opens an age file that is read from its start to its end. What the result gives is authenticated, but
// only io.EOF proves that it was all. Errors are as those of Open.
func OpenStream(src io.Reader, identities ...age.Identity) (io.Reader, error) {
	r, err := age.Decrypt(source{src}, identities...)
	if err != nil {
		return nil, openError(err)
	}
	return opened{r}, nil
}

// SealBytes seals something small.
func SealBytes(recipients []age.Recipient, plain []byte) ([]byte, error) {
	var b bytes.Buffer
	w, err := age.Encrypt(&b, recipients...)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	if _, err := w.Write(plain); err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return b.Bytes(), nil
}

// OpenBytes opens something small.
func OpenBytes(sealed []byte, identities ...age.Identity) ([]byte, error) {
	r, err := OpenStream(bytes.NewReader(sealed), identities...)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

// openError sorts an error of age: the source's own trouble is passed on as it is.
func openError(err error) error {
	var source *sourceError
	var noMatch *age.NoIdentityMatchError
	switch {
	case errors.As(err, &source):
		return source.err
	case errors.As(err, &noMatch):
		return fmt.Errorf("%w: %w", ErrNoIdentity, err)
	}
	return fmt.Errorf("%w: %w", ErrCorrupt, err)
}

// sourceError carries an error of the source through age and out again.
type sourceError struct{ err error }

// Error and Unwrap give what the source said.
func (e *sourceError) Error() string { return e.err.Error() }
func (e *sourceError) Unwrap() error { return e.err }

// mark carries an error of the source, but for its end, past age.
func mark(err error) error {
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	return &sourceError{err}
}

// source marks the errors of what age reads, and opened sorts those of what it gives; sourceAt and openedAt do so for ranges.
type source struct{ src io.Reader }

func (s source) Read(p []byte) (int, error) {
	n, err := s.src.Read(p)
	return n, mark(err)
}

type opened struct{ r io.Reader }

func (o opened) Read(p []byte) (int, error) {
	n, err := o.r.Read(p)
	if err != nil && err != io.EOF {
		err = openError(err)
	}
	return n, err
}

type sourceAt struct{ src io.ReaderAt }

func (s sourceAt) ReadAt(p []byte, off int64) (int, error) {
	n, err := s.src.ReadAt(p, off)
	return n, mark(err)
}

type openedAt struct{ r io.ReaderAt }

func (o openedAt) ReadAt(p []byte, off int64) (int, error) {
	n, err := o.r.ReadAt(p, off)
	if err != nil && err != io.EOF {
		err = openError(err)
	}
	return n, err
}
