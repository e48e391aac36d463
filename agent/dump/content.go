package dump

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
)

// content looks at unpacked content, which it reads to its end; what lies so in the file, and nobody can look into, it does not.
func content(in *input, data *allowance) finding {
	head, err := in.Peek(sniffed)
	if len(head) == 0 {
		return finding{err: noEOF(err)}
	}
	f := lookFor(head)(in.Reader, data)
	in.idle = f.nowhere && in.asIs
	if f.err == nil && !in.idle {
		_, f.err = io.Copy(io.Discard, in.Reader)
	}
	f.read, f.err = in.counting.n, noEOF(f.err)
	return f
}

// A look reads content of one kind. It may stop early, with a problem or at the end that the content itself has. What is packed in
// the content is unpacked as far as data allows.
type look func(r *bufio.Reader, data *allowance) finding

// lookFor chooses a look by the first bytes.
func lookFor(head []byte) look {
	switch {
	case bytes.HasPrefix(head, []byte(pgMagic)):
		return lookPostgresCustom
	case bytes.HasPrefix(head, []byte("SQLite format 3\x00")):
		return lookSQLite
	case bytes.HasPrefix(head, []byte("REDIS0")):
		return lookRedis
	case bytes.HasPrefix(head, []byte("\x6d\xe2\x99\x81")):
		return lookMongo
	case len(head) > 262 && string(head[257:262]) == "ustar":
		return lookTar
	case encrypted(head):
		return lookNowhere("it is encrypted")
	case bytes.IndexByte(head, 0) >= 0:
		return lookNowhere("")
	}
	return lookText
}

// encrypted knows what age, gpg --armor and openssl enc write.
func encrypted(head []byte) bool {
	return slices.ContainsFunc([]string{"age-encryption.org/v1", "-----BEGIN AGE ENCRYPTED FILE-----", "-----BEGIN PGP MESSAGE-----", "Salted__"},
		func(begin string) bool { return bytes.HasPrefix(head, []byte(begin)) })
}

// lookNowhere is for what cannot be looked into, which why says; it may be empty.
func lookNowhere(why string) look {
	return func(*bufio.Reader, *allowance) finding { return finding{unread: why, nowhere: true} }
}

// noEOF is nil for the regular end.
func noEOF(err error) error {
	if err == io.EOF { // a wrapped one is no regular end
		return nil
	}
	return err
}

// input is a buffered reader that counts what it reads.
type input struct {
	*bufio.Reader
	counting *counting
	asIs     bool // it is the file itself, and not what was unpacked of it
	idle     bool // what follows says nothing
}

// newInput reads at most size bytes, as far as is known, with a buffer that is not larger.
func newInput(r io.Reader, size int64) *input {
	const least, most = 2 * sniffed, 256 << 10
	c := &counting{r: r}
	return &input{Reader: bufio.NewReaderSize(c, int(max(least, min(most, size)))), counting: c}
}

type counting struct {
	r io.Reader
	n int64
}

// Read counts what it gives.
func (c *counting) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// cut is the finding of binary content that ends too early, unless reading failed: then the end says nothing.
func cut(kind Kind, at string, err error) finding {
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return finding{kind: kind, at: at, err: err}
	}
	f := finding{kind: kind, at: at, problem: fmt.Sprintf("this %s file ends too early", kind)}
	if at != "" {
		f.problem += ", in " + at
	}
	f.problem += ": it was not written to the end"
	return f
}
