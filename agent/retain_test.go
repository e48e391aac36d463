package agent_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"offsite/agent"
	"offsite/agent/retention"
	"offsite/agent/vault"
	"offsite/providers/mem"
)

// dumpsOf writes a dump of a series for each of n days and gives their contents by name.
func (h *host) dumpsOf(series string, n int) map[string][]byte {
	h.t.Helper()
	want := map[string][]byte{}
	for i := range n {
		name := fmt.Sprintf("%s_%s_030000.sql", series, time.Date(2024, 1, 1+i, 0, 0, 0, 0, time.UTC).Format("20060102"))
		want[name] = h.write(name, 100+i)
	}
	return want
}

// standing is the policy of the tests, as it would be configured.
func standing(string) retention.Policy {
	return retention.Policy{Daily: 7, Weekly: 4, Monthly: 12, Yearly: retention.Forever, MinKeep: 3}
}

// backups are the names of the dumps that a target has whole: manifest and data.
func (h *host) backups(target *mem.Target) (names []string) {
	h.t.Helper()
	for e, err := range vault.New(target.Handle(), h.trusted).List(h.t.Context(), "host") {
		if err != nil {
			h.t.Fatal(err)
		}
		if e.Manifest && e.Stored >= 0 {
			names = append(names, e.File)
		}
	}
	return names
}

// keepSet are the names that stay of a dump each day.
func keepSet(n int, policy retention.Policy) (names []string) {
	var all []retention.Backup
	for i := range n {
		taken := time.Date(2024, 1, 1+i, 3, 0, 0, 0, time.UTC)
		all = append(all, retention.Backup{Object: "db_" + taken.Format("20060102") + "_030000.sql", Taken: taken})
	}
	for _, d := range retention.Make(time.Now(), policy, all).Keep {
		names = append(names, d.Object)
	}
	slices.Sort(names)
	return names
}

// full is a host whose target a holds n backups that no policy was asked about, and nothing on its own disk.
func full(t *testing.T, n int) *host {
	t.Helper()
	h := newHost(t)
	h.dumpsOf("db", n)
	if s := h.once(); !s.Complete() {
		t.Fatalf("%+v", s)
	}
	h.clear()
	return h
}

// clear empties the dump directory, and takes the state away.
func (h *host) clear() {
	h.t.Helper()
	files, err := filepath.Glob(filepath.Join(h.dumps, "*"))
	if err != nil {
		h.t.Fatal(err)
	}
	for _, f := range files {
		os.Remove(f)
	}
	h.state = h.t.TempDir()
}

func TestRetentionRemovesWhatNoRuleKeepsAndNothingElse(t *testing.T) {
	for _, mode := range []agent.Mode{agent.Enforce, agent.Report, agent.Off} {
		t.Run(string(mode), func(t *testing.T) {
			h := full(t, 12)
			h.policy, h.mode = func(string) retention.Policy { return retention.Policy{Daily: 8} }, mode
			want := keepSet(12, retention.Policy{Daily: 8})
			if mode != agent.Enforce {
				want = keepSet(12, retention.Policy{Daily: 12})
			}
			if s := h.once(); !s.Complete() {
				t.Errorf("%+v", s)
			}
			if got := h.backups(h.a); !slices.Equal(got, want) {
				t.Errorf("%q stays, want %q", got, want)
			}
			before := h.a.Calls("delete")
			h.once()
			if h.a.Calls("delete") != before {
				t.Error("a second run removed something")
			}
		})
	}
}

func TestAMassRemovalIsHeld(t *testing.T) {
	h := full(t, 100)
	h.policy = standing
	h.once()
	if got := h.backups(h.a); len(got) != 100 {
		t.Errorf("%d are left", len(got))
	}
	a := h.start()
	defer a.Close()
	plans, err := a.Plans(t.Context(), "a", "db")
	if err != nil || len(plans) != 1 || plans[0].Held == "" {
		t.Fatalf("%+v, %v", plans, err)
	}
	removed, err := a.Carry(t.Context(), plans[0])
	if err != nil || removed != len(plans[0].Remove) || !slices.Equal(h.backups(h.a), keepSet(100, standing(""))) {
		t.Errorf("%d, %v, %q", removed, err, h.backups(h.a))
	}
	if got := h.backups(h.b); len(got) != 100 {
		t.Errorf("the other target has %d left", len(got))
	}
}

// Nothing goes while what is to stay cannot be seen.
func TestNothingGoesWithoutProof(t *testing.T) {
	for name, harm := range map[string]func(*host, string){
		"its manifest cannot be read": func(h *host, object string) {
			h.a.Fault(func(c mem.Call) error {
				if c.Op == "get" && c.Name == object+".manifest" {
					return errors.New("server error")
				}
				return nil
			})
		},
		"its data is gone":      func(h *host, object string) { h.a.Set(object, nil) },
		"its manifest is gone":  func(h *host, object string) { h.a.Set(object+".manifest", nil) },
		"its data is cut short": func(h *host, object string) { h.a.Set(object, h.a.Objects()[object][:50]) },
	} {
		t.Run(name, func(t *testing.T) {
			h := full(t, 12)
			h.policy = func(string) retention.Policy { return retention.Policy{Daily: 8} }
			a := h.start()
			defer a.Close()
			plans, err := a.Plans(t.Context(), "a", "")
			if err != nil || len(plans) != 1 || len(plans[0].Remove) != 4 {
				t.Fatalf("%+v, %v", plans, err)
			}
			harm(h, plans[0].Keep[1].Object)
			removed, err := a.Carry(t.Context(), plans[0])
			if err == nil || removed != 0 || h.a.Calls("delete") != 0 {
				t.Errorf("%d were removed, %v", removed, err)
			}
		})
	}
}

// A damaged or unsigned backup takes no place, is never removed, and costs no good one its place.
func TestUnsoundBackupsTakeNoPlace(t *testing.T) {
	h := full(t, 12)
	objects := h.a.Objects()
	names := h.backups(h.a)
	object := func(name string) string {
		for o := range objects {
			if strings.HasSuffix(o, "_"+name+".age") {
				return o
			}
		}
		t.Fatal(name)
		return ""
	}
	h.a.Set(object(names[11]), nil)                                         // data gone
	h.a.Set(object(names[10])+".manifest", []byte("not signed"))            // damaged
	h.a.Set(object(names[9]), append(objects[object(names[9])], "more"...)) // other size
	h.policy = func(string) retention.Policy { return retention.Policy{Daily: 8} }
	h.once()
	var left []string
	for o := range h.a.Objects() {
		if n, isManifest := strings.CutSuffix(o, ".age.manifest"); isManifest {
			left = append(left, n[strings.Index(n, "_db_")+1:])
		}
	}
	slices.Sort(left)
	if want := names[1:]; !slices.Equal(left, want) { // eight good ones and three unsound ones
		t.Errorf("%q are left, want %q", left, want)
	}
}

// The process dies at random instants in the middle of a prune. Every backup that is listed is whole, none that was to
// stay is gone, and the next run finishes.
func TestKilledInTheMiddleOfAPrune(t *testing.T) {
	const n = 200
	h := full(t, n)
	h.policy = standing
	stays := keepSet(n, standing(""))
	objects := h.a.Objects()
	seed := uint64(time.Now().UnixNano())
	r := rand.New(rand.NewPCG(seed, 1))
	for round := range 50 {
		h.state = t.TempDir()
		h.a = mem.New()
		for name, b := range objects {
			h.a.Set(name, b)
		}
		at, deleted := r.IntN(2*(n-len(stays))), 0
		h.a.Fault(func(c mem.Call) error {
			if c.Op != "delete" {
				return nil
			}
			if deleted++; deleted > at {
				return errors.New("the process is gone")
			}
			return nil
		})
		prune := func() error {
			a := h.start()
			defer a.Close()
			plans, err := a.Plans(t.Context(), "a", "")
			if err != nil {
				return err
			}
			for _, p := range plans {
				if _, err := a.Carry(t.Context(), p); err != nil {
					return err
				}
			}
			return nil
		}
		if err := prune(); err == nil {
			t.Fatalf("seed %d, round %d: the process did not die at %d", seed, round, at)
		}
		h.a.Fault(nil)
		listed := h.backups(h.a)
		for _, name := range stays {
			if !slices.Contains(listed, name) {
				t.Fatalf("seed %d, round %d: %s is gone", seed, round, name)
			}
		}
		h.once()
		if err := prune(); err != nil {
			t.Fatal(err)
		}
		if got := h.a.Objects(); len(got) != 2*len(stays) || !slices.Equal(h.backups(h.a), stays) {
			t.Fatalf("seed %d, round %d: %d objects are left, want those of %d backups", seed, round, len(got), len(stays))
		}
	}
}

// The service applies retention when it starts, and to each series that gets a dump.
func TestRetentionWhileTheServiceRuns(t *testing.T) {
	h := full(t, 12)
	h.policy = func(string) retention.Policy { return retention.Policy{Daily: 8} }
	a := h.start()
	defer a.Close()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	until := func(target *mem.Target, want []string) {
		t.Helper()
		deadline := time.Now().Add(time.Minute)
		for !slices.Equal(h.backups(target), want) {
			if time.Now().After(deadline) {
				t.Fatalf("%q are there, want %q", h.backups(target), want)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	until(h.a, keepSet(12, retention.Policy{Daily: 8}))
	h.write("db_20240113_030000.sql", 100)
	until(h.a, keepSet(13, retention.Policy{Daily: 8}))
	until(h.b, keepSet(13, retention.Policy{Daily: 13})) // it has no policy
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
