package agent

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"offsite/agent/dump"
	"offsite/agent/watch"
	"offsite/crypto"
)

// options are those of a host with a directory of dumps, a state directory and keys of its own; its dumps settle in a millisecond.
func options(t *testing.T, targets ...Target) Options {
	t.Helper()
	dir := t.TempDir()
	dumps, state := filepath.Join(dir, "dumps"), filepath.Join(dir, "state")
	for _, d := range []string{dumps, state} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	signing, verifier, err := crypto.GenerateSigner("db-server")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := crypto.ParseSigner(signing + "\n" + verifier)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := crypto.ParseVerifiers([]string{verifier})
	if err != nil {
		t.Fatal(err)
	}
	_, public, err := crypto.GenerateIdentity(false)
	if err != nil {
		t.Fatal(err)
	}
	recipients, err := crypto.ParseRecipients([]string{public})
	if err != nil {
		t.Fatal(err)
	}
	return Options{
		Host: "db-server", Zone: time.UTC, State: state, Journal: "journal.db", Signer: signer, Trusted: keys,
		Recipients: recipients, RecipientNames: []string{public},
		Sources: []Source{{Dir: watch.Dir{Path: dumps, Settle: time.Millisecond}, Rules: dump.Rules{Zone: time.UTC}}},
		Targets: targets, Memory: 96 << 20, Now: time.Now, Log: slog.New(slog.DiscardHandler), Observer: quietly{},
	}
}

// quietly is an observer that hears nothing.
type quietly struct{}

func (quietly) Started(string, string, int64) {}
func (quietly) Had(string, string, int64)     {}
func (quietly) Sent(string, string, int64)    {}
func (quietly) Ended(string, string, error)   {}
