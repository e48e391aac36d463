package multipart_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"offsite/providers"
	"offsite/providers/multipart"
)

// A client may fail for want of a file of its own. That says nothing about objects and what one may do with them.
func TestAFileOfThisHostIsNoObject(t *testing.T) {
	_, err := os.ReadFile("no/such/credentials")
	for _, err := range []error{err, &fs.PathError{Op: "open", Path: "no/such/credentials", Err: fs.ErrPermission}} {
		err = multipart.Wrap(t.Context(), "stat", "x", multipart.Translate(err, "", 0))
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || !errors.Is(err, providers.ErrPermanent) || !strings.Contains(err.Error(), "no/such/credentials") {
			t.Errorf("%v", err)
		}
	}
}

func TestWhatASourceSaysReachesTheCaller(t *testing.T) {
	err := multipart.Wrap(t.Context(), "put", "x", &fs.PathError{Op: "read", Path: "dump", Err: fs.ErrNotExist})
	if !errors.Is(err, fs.ErrNotExist) || errors.Is(err, providers.ErrPermanent) {
		t.Errorf("%v", err)
	}
}

func TestACancelledCallSaysSo(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := multipart.Wrap(ctx, "get", "x", errors.New("connection closed")); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
