package agent_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"offsite/agent"
	"offsite/agent/retention"
	"offsite/agent/vault"
	"offsite/providers"
	"offsite/providers/mem"
)

// The law of removal, under whatever happens: nothing goes that the policy in force, asked afresh of what the target holds,
// would not remove, and nothing at all from a series that is held. What is listed is whole; strangers' things stay.
func TestEveryRemovalIsJustified(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		w := newRemovals(t)
		for range rapid.IntRange(3, 12).Draw(r, "steps") {
			switch rapid.SampledFrom([]string{"ship", "ship", "prune", "prune", "prune", "cut off", "cut off", "policy", "state", "clock", "damage", "foreign"}).Draw(r, "step") {
			case "ship":
				w.ship(rapid.IntRange(1, 12).Draw(r, "dumps"), rapid.IntRange(1, 40).Draw(r, "hours apart"))
			case "prune":
				w.prune(nil)
			case "cut off": // the target dies at some call, and stays dead for this run
				var left atomic.Int64 // calls come from several goroutines
				left.Store(int64(rapid.IntRange(0, 40).Draw(r, "calls")))
				w.prune(func(mem.Call) error {
					if left.Add(-1) < 0 {
						return fmt.Errorf("dead: %w", providers.ErrPermanent)
					}
					return nil
				})
			case "policy":
				w.policy = retention.Policy{
					Last: rapid.IntRange(0, 3).Draw(r, "last"), Daily: rapid.IntRange(0, 8).Draw(r, "daily"), Weekly: rapid.IntRange(0, 3).Draw(r, "weekly"),
					Yearly: rapid.SampledFrom([]int{0, retention.Forever}).Draw(r, "yearly"), MinKeep: rapid.IntRange(0, 4).Draw(r, "min_keep"),
				}
			case "state":
				w.h.state = w.dir()
			case "clock":
				w.now = w.now.Add(time.Duration(rapid.IntRange(-60, 60).Draw(r, "days")) * 24 * time.Hour)
			case "damage":
				w.damage(rapid.IntRange(0, 1000).Draw(r, "which"), rapid.Bool().Draw(r, "data"))
			case "foreign":
				w.h.a.Set("host/db/notes.txt", []byte("not ours"))
			}
		}
	})
}

type removals struct {
	h      *host
	t      *testing.T
	now    time.Time // of the agent's clock
	made   time.Time // when the last dump was
	policy retention.Policy
}

func newRemovals(t *testing.T) *removals {
	w := &removals{h: newHost(t), t: t, now: date("2026-03-01 12:00"), made: date("2026-01-01 03:00"), policy: retention.Policy{Daily: 7, MinKeep: 3}}
	w.h.onlyA = true
	w.h.now = func() time.Time { return w.now }
	w.h.policy = func(string) retention.Policy { return w.policy }
	return w
}

func (w *removals) dir() string { return w.t.TempDir() }

// ship ships dumps without retention, and takes them off the disk.
func (w *removals) ship(n, hours int) {
	for range n {
		w.made = w.made.Add(time.Duration(hours) * time.Hour)
		w.h.write("db_"+w.made.Format("20060102_150405")+".sql", 50)
	}
	if w.now.Before(w.made) {
		w.now = w.made.Add(time.Hour)
	}
	w.h.mode = agent.Off
	w.run()
	files, _ := filepath.Glob(filepath.Join(w.h.dumps, "*"))
	for _, f := range files {
		os.Remove(f)
	}
}

func (w *removals) run() {
	a := w.h.start()
	defer a.Close()
	if _, err := a.Once(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// holds is what the target holds, as a stranger who knows the format and the key sees it.
func (w *removals) holds() (all []retention.Backup) {
	v := vault.New(w.h.a.Handle(), w.h.trusted)
	for e, err := range v.List(w.t.Context(), "host") {
		if err != nil {
			w.t.Fatal(err)
		}
		if !e.Manifest {
			continue
		}
		b := retention.Backup{Object: e.Object, Taken: e.Taken, Stored: e.Stored}
		m, _, err := v.Manifest(w.t.Context(), e.Name)
		switch {
		case err != nil:
			b.Unsound = err.Error()
		case e.Stored != m.Stored:
			b.Unsound = "its data is not what its manifest says"
		default:
			b.Found = m.Found
			if h := m.Health; h.State == "suspect" || h.State == "pending" {
				b.Suspect = h.State + h.Reason
			}
		}
		all = append(all, b)
	}
	return all
}

func (w *removals) prune(fault func(mem.Call) error) {
	before, objects := w.holds(), w.h.a.Objects()
	plan := retention.Make(w.now, w.policy, before)
	w.h.mode = agent.Enforce
	w.h.a.Fault(fault)
	w.run()
	w.h.a.Fault(nil)
	after := w.h.a.Objects()
	may := map[string]bool{}
	for _, d := range plan.Remove {
		may[d.Object] = plan.Held == ""
	}
	listed := map[string]bool{}
	for _, b := range before {
		listed[b.Object] = true
	}
	for object := range maps.Keys(objects) {
		_, stays := after[object]
		data := strings.TrimSuffix(object, ".manifest")
		// Data without a manifest, of a removal that was cut off, may go.
		if !stays && !may[data] && (listed[data] || !strings.HasSuffix(data, ".age")) {
			w.t.Fatalf("%s went, held %q, policy %v, now %v; the target held %v", object, plan.Held, w.policy, w.now, taken(before))
		}
	}
	if fault == nil && plan.Held == "" {
		for _, d := range plan.Remove {
			if _, stays := after[d.Object]; stays {
				w.t.Fatalf("%s ought to have gone, policy %v, now %v", d.Object, w.policy, w.now)
			}
		}
	}
}

func taken(all []retention.Backup) (times []string) {
	for _, b := range all {
		times = append(times, b.Taken.Format("0102T15")+b.Unsound)
	}
	slices.Sort(times)
	return times
}

// damage flips a bit of a manifest, or takes data away.
func (w *removals) damage(which int, data bool) {
	all := w.holds()
	if len(all) == 0 {
		return
	}
	object := all[which%len(all)].Object
	if data {
		w.h.a.Set(object, nil)
		return
	}
	b := w.h.a.Objects()[object+".manifest"]
	b[which%len(b)] ^= 1
	w.h.a.SetAt(object+".manifest", b, time.Now())
}
