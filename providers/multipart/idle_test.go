package multipart

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A line may be so slow that one write takes longer than a server may be silent: as long as some of it goes out, it is not
// given up. When nothing goes out any more, it is.
func TestASlowLineIsNotASilentOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer near.Close()
		defer far.Close()
		pieces := &sync.Pool{New: func() any { return new([pieceSize]byte) }}
		c := &idleConn{near, time.Minute, pieces}

		body := bytes.Repeat([]byte("dump"), pieceSize/4+100)
		got := make([]byte, 0, len(body))
		stop := len(body) - 1000
		done := make(chan struct{})
		go func() {
			defer close(done)
			for piece := make([]byte, 8<<10); len(got) < stop; {
				n, err := io.ReadFull(far, piece[:min(len(piece), stop-len(got))])
				if err != nil {
					t.Error(err)
					return
				}
				got = append(got, piece[:n]...)
				time.Sleep(50 * time.Second)
			}
		}()
		begin := time.Now()
		sent, err := c.ReadFrom(bytes.NewReader(body))
		if !errors.Is(err, os.ErrDeadlineExceeded) || sent != int64(stop) {
			t.Fatalf("%d bytes went out of %d that were taken: %v", sent, stop, err)
		}
		<-done
		if took := time.Since(begin); took < 10*time.Minute || !bytes.Equal(got, body[:stop]) {
			t.Fatalf("%d bytes came, in %v", len(got), took)
		}
	})
}
