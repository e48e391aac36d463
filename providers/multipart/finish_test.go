package multipart_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"offsite/providers"
	"offsite/providers/multipart"
)

// The store has made the object, and its answer is lost: on the line, or because the client asked again by itself and
// was told that the upload is gone.
func TestTheLostAnswerToComplete(t *testing.T) {
	for _, answer := range []error{errLine, errNoUpload} {
		for _, c := range []struct {
			name          string
			noSums, noMD5 bool
		}{{"with checksums and MD5", false, false}, {"with checksums only", false, true}, {"with MD5 only", true, false}} {
			t.Run(fmt.Sprint(c.name, ", ", answer), func(t *testing.T) {
				f, src := newFake(), source(1)
				f.noSums, f.noMD5 = c.noSums, c.noMD5
				f.lost = func(op string, n int) error {
					if op == "complete" {
						return answer
					}
					return nil
				}
				if err := put(t, f, src); err != nil {
					t.Fatal(err)
				}
				f.holds(t, src)
				if src.Made() != blocks || f.calls["create"] != 1 {
					t.Errorf("%d blocks were made, in %d uploads", src.Made(), f.calls["create"])
				}
			})
		}
	}
}

// Nothing proves that an object is the new one when the store makes up its ETags and keeps no checksums. Put must
// neither claim it nor send everything again at once: the caller may know.
func TestTheLostAnswerOfAStoreThatProvesNothing(t *testing.T) {
	for _, answer := range []error{errLine, errNoUpload} {
		f, src := newFake(), source(1)
		f.noSums, f.noMD5 = true, true
		f.lost = func(op string, n int) error {
			if op == "complete" && n == 1 {
				return answer
			}
			return nil
		}
		if err := put(t, f, src); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%v", err)
		}
		if src.Made() != blocks {
			t.Errorf("%d blocks were made", src.Made())
		}
		f.holds(t, src) // the caller sees it by Stat
		if err := put(t, f, src); err != nil {
			t.Errorf("the next Put: %v", err)
		}
	}
}

// Complete fails and has not happened, and an older object of the same name and size stands there.
func TestAnOldObjectIsNotTakenForTheNewOne(t *testing.T) {
	for _, noSums := range []bool{false, true} {
		f, old, src := newFake(), source(1), source(2)
		f.noSums = noSums
		if err := put(t, f, old); err != nil {
			t.Fatal(err)
		}
		f.before = func(op string, n int) error {
			if op == "complete" {
				return errLine
			}
			return nil
		}
		if err := put(t, f, src); !errors.Is(err, errLine) {
			t.Errorf("%v", err)
		}
		if !bytes.Equal(f.objects[key].bytes, old.Bytes()) || len(f.uploads) != 1 {
			t.Errorf("%d bytes, %d uploads", len(f.objects[key].bytes), len(f.uploads))
		}
		f.before, f.sent = nil, nil
		if err := put(t, f, src); err != nil || len(f.sent) > 0 {
			t.Errorf("the next Put: %v, %v were sent again", err, f.sent)
		}
		f.holds(t, src)
	}
}

// The upload is gone at Complete, and there is no object: it was aborted, and everything has to be sent again.
func TestAnUploadThatVanishesBeforeComplete(t *testing.T) {
	f, src := newFake(), source(1)
	f.before = func(op string, n int) error {
		if op == "complete" && n == 1 {
			clear(f.uploads)
		}
		return nil
	}
	if err := put(t, f, src); err != nil {
		t.Fatal(err)
	}
	f.holds(t, src)
}

func TestAnObjectThatTheStoreCutShortIsAnErrorAndDoesNotStay(t *testing.T) {
	f := newFake()
	f.truncate = true
	if err := put(t, f, source(1)); !errors.Is(err, providers.ErrCorrupt) {
		t.Errorf("%v", err)
	}
	if len(f.objects) > 0 {
		t.Error("the object is still there")
	}
	// Nor is it taken for whole when the answer is lost.
	f.lost = func(op string, n int) error {
		if op == "complete" {
			return errLine
		}
		return nil
	}
	if err := put(t, f, source(1)); !errors.Is(err, errLine) {
		t.Errorf("%v", err)
	}
}

// Another Put of the name may come between Complete and the look at its object.
func TestAnotherPutsObjectIsNotRemoved(t *testing.T) {
	f := newFake()
	theirs := object{[]byte("theirs"), multipart.Object{Size: 6, ETag: `"theirs"`}}
	f.before = func(op string, n int) error {
		if op == "stat" {
			f.objects[key] = theirs
		}
		return nil
	}
	if err := put(t, f, source(1)); !errors.Is(err, providers.ErrCorrupt) {
		t.Errorf("%v", err)
	}
	if string(f.objects[key].bytes) != "theirs" {
		t.Error("their object was removed")
	}
}

func TestCredentialsThatMayOnlyWrite(t *testing.T) {
	f, src := newFake(), source(1)
	f.before = func(op string, n int) error {
		if op == "stat" || op == "uploads" || op == "parts" {
			return errRefused
		}
		return nil
	}
	if err := put(t, f, src); err != nil {
		t.Fatal(err)
	}
	f.holds(t, src)
}
