package agent_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"offsite/agent"
	"offsite/agent/retention"
	"offsite/crypto"
	"offsite/providers"
	"offsite/providers/mem"
)

// What fresh eyes found: ways in which dumps were removed, or never shipped, that nobody had thought of.

// Two files of one night that are not the same thing twice never take each other's place.
func TestFilesOfOneNightDoNotTakeEachOthersPlace(t *testing.T) {
	h := newHost(t)
	h.policy = func(string) retention.Policy { return retention.Policy{Daily: 7, MinKeep: 3} }
	today := time.Date(2026, 3, 13, 4, 0, 0, 0, time.UTC)
	h.now = func() time.Time { return today }
	kinds := []string{"site_%s.sql.gz", "site_%s.tar.gz", "site_%s.dump", "site_%s.sql.gz.asc", "site_%s.json"}
	for i := 12; i >= 0; i-- {
		at := today.AddDate(0, 0, -i)
		for _, kind := range kinds {
			name := fmt.Sprintf(kind, at.Format("20060102")+"_030000")
			h.write(name, 1000)
			os.Chtimes(filepath.Join(h.dumps, name), at, at)
		}
		h.now = func() time.Time { return at }
		h.once()
	}
	count := map[string]int{}
	for _, name := range h.backups(h.a) {
		count[name[strings.LastIndexByte(name, '_')+7:]]++
	}
	for _, kind := range kinds {
		if n := count[strings.TrimPrefix(kind, "site_%s")]; n != 7 {
			t.Errorf("%d of %s are left: %v", n, kind, count)
		}
	}
}

// A dump is not shipped since newer ones are owed; when those are lost, it is the newest that there is.
func TestWhatWasDeclinedForLostDumpsIsShipped(t *testing.T) {
	h := newHost(t)
	h.policy = func(string) retention.Policy { return retention.Policy{Daily: 7, MinKeep: 3} }
	h.onlyA = true
	down(h.a)
	for hour := 1; hour <= 6; hour++ {
		h.write(fmt.Sprintf("shop_20260301_0%d0000.sql", hour), 1000)
	}
	h.once()
	h.a.Fault(nil)
	for hour := 4; hour <= 6; hour++ {
		os.Remove(filepath.Join(h.dumps, fmt.Sprintf("shop_20260301_0%d0000.sql", hour)))
	}
	h.once()
	h.once()
	if got := h.backups(h.a); len(got) != 3 {
		t.Errorf("%q are there", got)
	}
}

// Retention that is switched off declines nothing.
func TestWhatWasDeclinedIsShippedWhenRetentionIsOff(t *testing.T) {
	for _, mode := range []agent.Mode{agent.Off, agent.Report} {
		h := newHost(t)
		h.policy = func(string) retention.Policy { return retention.Policy{Daily: 7, MinKeep: 1} }
		h.onlyA = true
		for hour := 1; hour <= 6; hour++ {
			h.write(fmt.Sprintf("shop_20260301_0%d0000.sql", hour), 1000)
		}
		h.once()
		if got := h.backups(h.a); len(got) == 6 {
			t.Fatal("nothing was declined")
		}
		h.mode = mode
		h.once()
		if got := h.backups(h.a); len(got) != 6 {
			t.Errorf("%s: %q are there", mode, got)
		}
	}
}

// A leftover that the target does not let go is in no delivery's way.
func TestALeftoverThatStaysHoldsNothingUp(t *testing.T) {
	h := newHost(t)
	h.onlyA = true
	h.write("a_20260301.sql", 300_000)
	h.a.Fault(func(c mem.Call) error {
		if c.Op == "put" && strings.HasSuffix(c.Name, ".manifest") {
			return fmt.Errorf("down: %w", providers.ErrPermanent)
		}
		return nil
	})
	h.once()
	os.Remove(filepath.Join(h.dumps, "a_20260301.sql"))
	for i := range 20 {
		h.write(fmt.Sprintf("b%d_20260302.sql", i), 1000)
	}
	h.a.Fault(func(c mem.Call) error {
		if c.Op == "delete" {
			return &providers.Error{Op: "delete", Name: c.Name, Kind: os.ErrPermission, Err: errors.New("denied")}
		}
		return nil
	})
	if s := h.once(); s.Delivered() != 20 {
		t.Errorf("%+v", s)
	}
}

// Who may sign is asked again when the configuration says something else.
func TestTrustIsNotRemembered(t *testing.T) {
	h := newHost(t)
	h.onlyA = true
	h.policy = func(string) retention.Policy { return retention.Policy{Daily: 7, MinKeep: 1} }
	h.write("a_20260301.sql", 1000)
	h.once()
	fresh := newSigner(t)
	both := []string{h.signer.VerifierKey(), fresh.VerifierKey()}
	h.signer = fresh
	reasons := func(keys []string) string {
		var err error
		if h.trusted, err = crypto.ParseVerifiers(keys); err != nil {
			t.Fatal(err)
		}
		a := h.start()
		defer a.Close()
		plans, err := a.Plans(t.Context(), "a", "")
		if err != nil || len(plans) != 1 {
			t.Fatal(plans, err)
		}
		return allReasons(plans[0].Keep)
	}
	if got := reasons(both[1:]); !strings.Contains(got, "not trusted") {
		t.Error(got)
	}
	if got := reasons(both); strings.Contains(got, "not trusted") {
		t.Error(got)
	}
	if got := reasons(both[1:]); !strings.Contains(got, "not trusted") {
		t.Error(got)
	}
}

// A manifest that has rotted since it was read stops the plan of its series, and of no other.
func TestARottenManifestHoldsItsSeriesOnly(t *testing.T) {
	h := newHost(t)
	h.onlyA = true
	for day := 1; day <= 5; day++ {
		for _, series := range []string{"aa", "bb"} {
			h.write(fmt.Sprintf("%s_2026030%d.sql", series, day), 1000)
		}
	}
	h.policy, h.mode = func(string) retention.Policy { return retention.Policy{Daily: 5, MinKeep: 1} }, agent.Enforce
	h.once()
	for name, b := range h.a.Objects() {
		if strings.Contains(name, "/aa/20260305") && strings.HasSuffix(name, ".manifest") {
			info, err := h.a.Stat(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			b[len(b)/2] ^= 1
			h.a.SetAt(name, b, info.Modified)
		}
	}
	h.policy = func(string) retention.Policy { return retention.Policy{Daily: 2, MinKeep: 1} }
	h.once()
	h.once()
	left := map[string]int{}
	for _, name := range h.backups(h.a) {
		left[name[:2]]++
	}
	if left["bb"] != 2 || left["aa"] < 3 {
		t.Errorf("%v are left", left)
	}
}

// A target that lost its backups (a new disk, an emptied bucket, a hand that slipped) gets again what lies on this host, and
// somebody is told.
func TestWhatTheTargetLostIsTold(t *testing.T) {
	h := newHost(t)
	h.policy = func(string) retention.Policy { return retention.Policy{Daily: 7, MinKeep: 3} }
	h.onlyA = true
	for day := 1; day <= 4; day++ {
		h.write(fmt.Sprintf("shop_2026030%d.sql", day), 1000)
	}
	h.once()
	os.Remove(filepath.Join(h.dumps, "shop_20260302.sql"))
	for name := range h.a.Objects() {
		if !strings.Contains(name, "20260303") {
			h.a.Set(name, nil)
		}
	}
	s := h.once()
	if s.Delivered() != 2 || s.Targets[0].Gone != 1 || s.Complete() {
		t.Errorf("%+v", s)
	}
	if got := h.backups(h.a); len(got) != 3 {
		t.Errorf("%q are there", got)
	}
	if s := h.once(); s.Delivered() != 0 || s.Targets[0].Gone != 1 {
		t.Errorf("it is told no more, or sent again: %+v", s)
	}
	h.policy = func(string) retention.Policy { return retention.Policy{Last: 2, MinKeep: 1} } // now nobody would miss it
	if s := h.once(); s.Targets[0].Gone != 0 {
		t.Errorf("%+v", s)
	}
}

// What a person names is shipped though retention would remove it at once.
func TestPushShipsWhatWasDeclined(t *testing.T) {
	h := newHost(t)
	h.policy = func(string) retention.Policy { return retention.Policy{Daily: 7, MinKeep: 1} }
	h.onlyA = true
	for hour := 1; hour <= 6; hour++ {
		h.write(fmt.Sprintf("shop_20260301_0%d0000.sql", hour), 1000)
	}
	h.once()
	before := len(h.backups(h.a))
	a := h.start()
	o := a.Options
	a.Close()
	s, err := agent.Push(t.Context(), o, []string{filepath.Join(h.dumps, "shop_20260301_030000.sql")})
	if err != nil || s.Delivered() != 1 || len(h.backups(h.a)) != before+1 {
		t.Errorf("%+v %v: %q", s, err, h.backups(h.a))
	}
}

// Of what cannot be taken, whoever named it hears why.
func TestPushSaysWhyAFileIsNotTaken(t *testing.T) {
	h := newHost(t)
	tooLong := strings.Repeat("я", 45) + "_20261122_030001.sql"
	h.write(tooLong, 10)
	a := h.start()
	o := a.Options
	a.Close()
	if _, err := agent.Push(t.Context(), o, []string{filepath.Join(h.dumps, tooLong)}); err == nil || !strings.Contains(err.Error(), "cannot be shipped: ") || !strings.Contains(err.Error(), "longer than") {
		t.Error(err)
	}
}

// A copy of this machine, with its name and keys, does not push its dumps out; and a machine that took its place has its past.
func TestACopyOfTheHost(t *testing.T) {
	h := newHost(t)
	h.policy = func(string) retention.Policy { return retention.Policy{Daily: 3, MinKeep: 1} }
	h.onlyA = true
	now := time.Date(2026, 3, 1, 4, 0, 0, 0, time.UTC)
	h.now = func() time.Time { return now }
	states := map[string]string{"one": h.state, "two": t.TempDir()}
	night := func(machine, clock string) {
		h.machine, h.state = machine, states[machine]
		name := "shop_" + now.Format("20060102") + "_" + clock + ".sql"
		h.write(name, 1000)
		os.Chtimes(filepath.Join(h.dumps, name), now, now)
		h.once()
		os.Remove(filepath.Join(h.dumps, name))
		now = now.Add(time.Minute)
	}
	for range 6 {
		night("one", "030000")
		night("two", "033000")
		now = now.Add(24 * time.Hour)
	}
	count := map[string]int{}
	for _, name := range h.backups(h.a) {
		count[name[14:20]]++
	}
	if count["030000"] < 3 || count["033000"] < 3 {
		t.Errorf("%v are left", count)
	}

	moved := newHost(t)
	moved.policy, moved.onlyA = h.policy, true
	for day := 1; day <= 5; day++ {
		moved.machine = "old"
		if day > 3 {
			moved.machine = "new"
		}
		moved.write(fmt.Sprintf("shop_2026030%d.sql", day), 1000)
		moved.once()
	}
	if got := moved.backups(moved.a); len(got) != 3 {
		t.Errorf("a host that has moved keeps %q", got)
	}
}

// Dumps that came while the clock was behind are not held against them when it is right again.
func TestAClockThatWasBehind(t *testing.T) {
	h := newHost(t)
	h.policy = func(string) retention.Policy { return retention.Policy{Daily: 10, MinKeep: 3} }
	h.onlyA = true
	right := time.Date(2026, 3, 1, 4, 0, 0, 0, time.UTC)
	shift := time.Duration(0)
	h.now = func() time.Time { return right.Add(shift) }
	for day := range 12 {
		shift = 0
		if day >= 3 && day < 8 {
			shift = -365 * 24 * time.Hour
		}
		name := "shop_" + right.Format("20060102") + "_030000.sql"
		h.write(name, 1000)
		os.Chtimes(filepath.Join(h.dumps, name), right.Add(-time.Hour), right.Add(-time.Hour))
		h.once()
		right = right.Add(24 * time.Hour)
	}
	if got := h.backups(h.a); len(got) != 10 {
		t.Errorf("%d are left: %q", len(got), got)
	}
}

// An agent whose state directory was removed ends, before a second one ships what it has shipped.
func TestTheStateDirectoryIsRemoved(t *testing.T) {
	h := newHost(t)
	a := h.start()
	h.write("shop_20260301.sql", 1000)
	if err := os.RemoveAll(h.state); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(h.state, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Once(t.Context()); err == nil || !strings.Contains(err.Error(), "was removed or replaced") {
		t.Error(err)
	}
	if got := h.backups(h.a); len(got) > 0 {
		t.Errorf("shipped %q", got)
	}
}
