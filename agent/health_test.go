package agent_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"offsite/agent"
	"offsite/agent/retention"
	"offsite/agent/vault"
	"offsite/providers/mem"
)

// manifests are what target says of its backups, by file name.
func (h *host) manifests(target *mem.Target) map[string]vault.Manifest {
	h.t.Helper()
	all := map[string]vault.Manifest{}
	v := vault.New(target.Handle(), h.trusted)
	for e, err := range v.List(h.t.Context(), "host") {
		if err != nil {
			h.t.Fatal(err)
		}
		if !e.Manifest {
			continue
		}
		m, _, err := v.Manifest(h.t.Context(), e.Name)
		if err != nil {
			h.t.Fatal(err)
		}
		all[m.Name] = *m
	}
	return all
}

func (h *host) writeBytes(name string, b []byte) {
	h.t.Helper()
	if err := os.WriteFile(filepath.Join(h.dumps, name), b, 0o640); err != nil {
		h.t.Fatal(err)
	}
}

// sqlDump is a plain dump of PostgreSQL of about this size.
func sqlDump(size int) []byte {
	var b bytes.Buffer
	b.WriteString("--\n-- PostgreSQL database dump\n--\n\nCOPY public.users (id, name) FROM stdin;\n")
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, "%d\t%x\n", i, rand.Uint64())
	}
	b.WriteString("\\.\n\n--\n-- PostgreSQL database dump complete\n--\n\n")
	return b.Bytes()
}

func packed(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	w.Write(b)
	w.Close()
	return out.Bytes()
}

func TestTheManifestSaysHowTheDumpIs(t *testing.T) {
	h := newHost(t)
	whole := sqlDump(300_000)
	h.writeBytes("good_20260101.sql.gz", packed(whole))
	h.writeBytes("cut_20260101.sql.gz", packed(whole[:200_000]))
	h.writeBytes("empty_20260101.sql.gz", packed(nil))
	h.writeBytes("notes_20260101.txt", []byte("hello\n"))
	s := h.once()
	for _, target := range []*mem.Target{h.a, h.b} {
		all := h.manifests(target)
		if m := all["good_20260101.sql.gz"].Health; m.State != "ok" || m.Kind != "postgresql plain" || m.Packing != "gzip" || m.Unpacked != int64(len(whole)) {
			t.Errorf("%+v", m)
		}
		if m := all["cut_20260101.sql.gz"].Health; m.State != "suspect" || !strings.Contains(m.Reason, "in the middle of table public.users") {
			t.Errorf("%+v", m)
		}
		if m := all["empty_20260101.sql.gz"].Health; m.State != "suspect" || !strings.Contains(m.Reason, "nothing in it") {
			t.Errorf("%+v", m)
		}
		if m := all["notes_20260101.txt"].Health; m.State != "unchecked" || m.Reason == "" {
			t.Errorf("%+v", m)
		}
	}
	if len(s.Suspect) != 2 || !strings.Contains(strings.Join(s.Suspect, "\n"), "public.users") {
		t.Errorf("%q", s.Suspect)
	}
}

func TestASizeFarOffIsSuspect(t *testing.T) {
	h := newHost(t)
	state := func(day, size int) string {
		name := fmt.Sprintf("db_202601%02d.bin", day)
		h.writeBytes(name, bytes.Repeat([]byte{0, byte(day)}, size/2))
		h.once()
		m := h.manifests(h.a)[name].Health
		return m.State + " " + m.Reason
	}
	want := func(got, part string) {
		t.Helper()
		if !strings.HasPrefix(got, part) {
			t.Errorf("%q, want %q", got, part)
		}
	}
	for day := 1; day <= 5; day++ {
		want(state(day, 100_000+day*2000), "unchecked")
	}
	want(state(6, 40_000), "suspect it has 39 KiB, and the last healthy ones of its series have about 104 KiB")
	want(state(7, 60_000), "unchecked") // no worse than half
	want(state(8, 390_000), "unchecked")
	want(state(9, 430_000), "suspect it has 420 KiB, and the last healthy ones of its series have about 104 KiB")
	want(state(10, 40_000), "suspect") // suspect ones set no example
	a := h.start()
	accepted, err := a.Accept(t.Context(), "db_20260110.bin")
	if err != nil || len(accepted) != 2 || !strings.Contains(accepted[0].Reason, "is something missing?") {
		t.Errorf("%+v, %v", accepted, err)
	}
	if again, err := a.Accept(t.Context(), "db_20260110.bin"); err != nil || len(again) != 0 {
		t.Errorf("%+v, %v", again, err)
	}
	a.Close()
	if m := h.manifests(h.b)["db_20260110.bin"].Health; m.State != "ok" || m.Accepted.IsZero() || !strings.Contains(m.Reason, "39 KiB") {
		t.Errorf("%+v", m)
	}
	want(state(11, 30_000), "unchecked") // the size is another now
	want(state(12, 10_000), "suspect")
	h.state = t.TempDir() // nor does a lost state make anything of them
	h.mode, h.policy = agent.Report, func(string) retention.Policy { return retention.Policy{Daily: 30} }
	h.once()
	want(state(13, 35_000), "unchecked")
	want(state(14, 100_000), "unchecked")
	want(state(15, 10_000), "suspect")
}

// What ransomware leaves of dumps takes no place and pushes nothing out; a format that a person has accepted is another one.
func TestWhatNobodyCanReadAnyMoreIsSuspect(t *testing.T) {
	h := newHost(t)
	h.mode, h.policy = agent.Enforce, func(string) retention.Policy { return retention.Policy{Daily: 3, MinKeep: 1} }
	name := func(day int) string { return fmt.Sprintf("db_202601%02d.sql.gz", day) }
	unreadable := func() []byte {
		b := make([]byte, 20_000)
		for i := range b {
			b[i] = byte(rand.Uint32())
		}
		return b
	}
	for day := 1; day <= 3; day++ {
		h.writeBytes(name(day), packed(sqlDump(40_000)))
		h.once()
	}
	whole := h.states(h.a)
	for day := 1; day <= 3; day++ {
		h.writeBytes(name(day), unreadable())
	}
	s := h.once()
	if len(s.Suspect) != 3 || !strings.Contains(s.Suspect[0], "its format is not known here, and the newest healthy dump of its series, of 2026-01-03T00:00:00Z, could be read: was this one encrypted, or written over?") {
		t.Errorf("%q", s.Suspect)
	}
	after := h.states(h.a)
	if whole["ok"] != 3 || after["ok"] != 3 || after["suspect"] != 3 || len(after) != 2 {
		t.Errorf("there was %v and is %v", whole, after)
	}
	h.writeBytes(name(4), unreadable())
	h.once()
	a := h.start()
	if accepted, err := a.Accept(t.Context(), name(4)); err != nil || len(accepted) != 2 {
		t.Errorf("%+v, %v", accepted, err)
	}
	a.Close()
	h.writeBytes(name(5), unreadable())
	h.once()
	if m := h.manifests(h.a)[name(5)].Health; m.State != "unchecked" {
		t.Errorf("%+v", m)
	}
}

// states counts the backups of each health.
func (h *host) states(target *mem.Target) map[string]int {
	h.t.Helper()
	all := map[string]int{}
	v := vault.New(target.Handle(), h.trusted)
	for e, err := range v.List(h.t.Context(), "host") {
		if err != nil {
			h.t.Fatal(err)
		}
		if !e.Manifest {
			continue
		}
		m, _, err := v.Manifest(h.t.Context(), e.Name)
		if err != nil {
			h.t.Fatal(err)
		}
		all[m.Health.State]++
	}
	return all
}

// stalled runs an agent whose only examiner is stuck: with a dump of another series, whose upload does not go on. Whatever is
// delivered meanwhile has no verdict.
type stalled struct {
	*host
	resume, stop func()
	ended        chan error
}

func (h *host) stall() *stalled {
	h.t.Helper()
	h.write("stuck_20260101.bin", 1000)
	begun, free := make(chan struct{}, 10), make(chan struct{})
	fault := func(c mem.Call) error {
		if c.Op == "put" && strings.Contains(c.Name, "stuck") {
			begun <- struct{}{}
			<-free
		}
		return nil
	}
	h.a.Fault(fault)
	h.b.Fault(fault)
	ctx, cancel := context.WithCancel(h.t.Context())
	a := h.start()
	s := &stalled{host: h, resume: sync.OnceFunc(func() { close(free) }), stop: cancel, ended: make(chan error, 1)}
	go func() { s.ended <- errors.Join(a.Run(ctx), a.Close()) }()
	h.t.Cleanup(s.kill)
	<-begun
	<-begun
	return s
}

// kill ends the agent as it is.
func (s *stalled) kill() {
	s.stop()
	s.resume()
	if err := <-s.ended; err != nil {
		s.t.Error(err)
	}
	s.ended <- nil
	s.a.Fault(nil)
	s.b.Fault(nil)
}

// until waits for what both targets say of a dump's health.
func (s *stalled) until(name, state string) {
	s.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		a, b := s.manifests(s.a)[name].Health.State, s.manifests(s.b)[name].Health.State
		if a == state && b == state {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%s is %q and %q, not %q", name, a, b, state)
		}
	}
}

func TestALateVerdictFollows(t *testing.T) {
	h := newHost(t)
	s := h.stall()
	h.writeBytes("db_20260102.sql.gz", packed(sqlDump(1000)))
	s.until("db_20260102.sql.gz", "pending")
	s.resume()
	s.until("db_20260102.sql.gz", "ok")
}

// Keys that may only write get the verdict too: a manifest that is written over need not be read.
func TestALateVerdictFollowsWithKeysThatMayOnlyWrite(t *testing.T) {
	h := newHost(t)
	s := h.stall()
	h.writeBytes("db_20260102.sql.gz", packed(sqlDump(1000)))
	s.until("db_20260102.sql.gz", "pending")
	for _, target := range []*mem.Target{h.a, h.b} {
		target.Fault(func(c mem.Call) error {
			if slices.Contains([]string{"get", "stat", "list", "delete"}, c.Op) {
				return fmt.Errorf("write only: %w", fs.ErrPermission)
			}
			return nil
		})
	}
	s.resume()
	judged := func(target *mem.Target) bool {
		for name, text := range target.Objects() {
			if strings.HasSuffix(name, ".manifest") && bytes.Contains(text, []byte(`"health": "ok"`)) {
				return true
			}
		}
		return false
	}
	for deadline := time.Now().Add(time.Minute); !judged(h.a) || !judged(h.b); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the manifests do not say how the dump is")
		}
	}
}

// A verdict that a crash cut off is made up for, or if the dump has gone meanwhile, given up.
func TestAVerdictSurvivesARestart(t *testing.T) {
	for _, gone := range []bool{false, true} {
		t.Run(fmt.Sprintf("gone %v", gone), func(t *testing.T) {
			h := newHost(t)
			s := h.stall()
			const name = "db_20260102.sql.gz"
			h.writeBytes(name, packed(sqlDump(1000)))
			s.until(name, "pending")
			s.kill()
			state, reason := "ok", ""
			if gone {
				os.Remove(filepath.Join(h.dumps, name))
				state, reason = "unchecked", "it could not be looked at: "
			}
			h.once()
			for _, target := range []*mem.Target{h.a, h.b} {
				if m := h.manifests(target)[name].Health; m.State != state || !strings.HasPrefix(m.Reason, reason) {
					t.Errorf("%+v", m)
				}
			}
			before := h.a.Calls("put")
			h.once()
			if h.a.Calls("put") != before {
				t.Error("the next run writes something")
			}
		})
	}
}

// Retention waits for the verdict: a broken dump must not push a good one out.
func TestNothingGoesForADumpWithoutVerdict(t *testing.T) {
	h := newHost(t)
	h.policy = func(string) retention.Policy { return retention.Policy{Last: 2, MinKeep: 2} }
	for day := 1; day <= 2; day++ {
		h.writeBytes(fmt.Sprintf("db_2026010%d.sql.gz", day), packed(sqlDump(1000)))
		h.once()
	}
	s := h.stall()
	broken := packed(sqlDump(1000))
	h.writeBytes("db_20260103.sql.gz", broken[:len(broken)-8])
	s.until("db_20260103.sql.gz", "pending")
	s.resume()
	s.until("db_20260103.sql.gz", "suspect")
	s.kill()
	h.once()
	if got := h.backups(h.a); len(got) != 4 {
		t.Errorf("%q are left", got)
	}
}
