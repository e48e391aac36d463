package agent_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"offsite/agent/retention"
	"offsite/agent/vault"
	"offsite/providers"
)

// lockable is a store with Object Lock and a clock of its own, over a target in memory.
type lockable struct {
	providers.Target
	clock func() time.Time
	// refuse, if set, is what becomes of every Lock.
	refuse error

	mu    sync.Mutex
	first map[string]time.Time // the locks that came with Put
	until map[string]time.Time
	calls int // of Lock
}

func newLockable(clock func() time.Time) *lockable {
	return &lockable{clock: clock, first: map[string]time.Time{}, until: map[string]time.Time{}}
}

func (l *lockable) Put(ctx context.Context, name string, src providers.Source) error {
	err := l.Target.Put(ctx, name, src)
	l.mu.Lock()
	defer l.mu.Unlock()
	if until := providers.LockOf(src); err == nil && !until.IsZero() {
		l.first[name], l.until[name] = until, until
	}
	return err
}

func (l *lockable) Now(context.Context) (time.Time, error) { return l.clock(), nil }

func (l *lockable) Locked(_ context.Context, name string) (*providers.Retained, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if until := l.until[name]; until.After(l.clock()) {
		return &providers.Retained{Until: until}, nil
	}
	return nil, nil
}

func (l *lockable) Lock(_ context.Context, name string, until time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refuse != nil {
		return &providers.Error{Op: "lock", Name: name, Kind: fs.ErrPermission, Err: l.refuse}
	}
	l.calls++
	if until.Before(l.clock()) || until.Before(l.until[name]) {
		return errors.New("a lock would end in the past, or be shortened")
	}
	l.until[name] = until
	return nil
}

func (l *lockable) CheckLock(context.Context) error { return l.refuse }

func (l *lockable) Hidden(context.Context, string) (providers.Hidden, error) {
	return providers.Hidden{Versions: 2, Bytes: 1000}, nil
}

// lockOf is until when data and manifest of a dump are locked.
func (h *host) lockOf(locks map[string]time.Time, file string) time.Time {
	h.t.Helper()
	for e, err := range vault.New(h.a.Handle(), h.trusted).List(h.t.Context(), "host") {
		if err != nil {
			h.t.Fatal(err)
		}
		if e.File == file {
			if data, manifest := locks[e.Name.String()], locks[e.Name.Manifest()]; !data.Equal(manifest) {
				h.t.Errorf("%s: the data is locked until %v, its manifest until %v", file, data, manifest)
			}
			return locks[e.Name.String()]
		}
	}
	h.t.Fatalf("there is no %s", file)
	return time.Time{}
}

// lockHost has dumps of January 2024, the last one just taken.
func lockHost(t *testing.T) (h *host, pass func(string)) {
	h = newHost(t)
	h.policy = standing
	now := date("2024-01-31 04:00")
	h.now = func() time.Time { return now }
	h.store = newLockable(func() time.Time { return now })
	h.dumpsOf("db", 31)
	return h, func(to string) { now = date(to) }
}

func date(s string) time.Time {
	t, err := time.Parse("2006-01-02 15:04", s)
	if err != nil {
		panic(err)
	}
	return t
}

func (h *host) wantLock(locks map[string]time.Time, file, want string) {
	h.t.Helper()
	if got := h.lockOf(locks, file); !got.Equal(date(want)) {
		h.t.Errorf("%s is locked until %v, want %s", file, got, want)
	}
}

func TestBackupsAreLockedAsLongAsTheirPolicyKeepsThem(t *testing.T) {
	h, pass := lockHost(t)
	if s := h.once(); !s.Complete() {
		t.Fatalf("%+v", s)
	}
	h.wantLock(h.store.first, "db_20240131_030000.sql", "2024-02-02 03:00") // as it was stored
	h.wantLock(h.store.until, "db_20240131_030000.sql", "2024-02-07 00:00") // daily 7
	h.wantLock(h.store.until, "db_20240128_030000.sql", "2024-02-19 00:00") // weekly 4: the Sunday of the week that is over
	if first := h.store.first; len(first) != 4 {
		t.Errorf("%d objects were stored with a lock, want those of the last two days: %v", len(first), first)
	}
	calls := h.store.calls
	if h.once(); h.store.calls != calls {
		t.Errorf("a second run locked %d more", h.store.calls-calls)
	}

	// The month is over: its last one is promoted.
	pass("2024-02-01 04:00")
	h.write("db_20240201_030000.sql", 50)
	h.once()
	h.wantLock(h.store.until, "db_20240131_030000.sql", "2025-01-01 00:00")
	h.wantLock(h.store.until, "db_20240201_030000.sql", "2024-02-08 00:00")
}

// The host's clock is wrong by years; locks follow the store's.
func TestLocksGoByTheStoresClock(t *testing.T) {
	for _, wrong := range []string{"2024-01-30 12:00", "2026-01-01 00:00"} {
		h, _ := lockHost(t)
		h.now = func() time.Time { return date(wrong) }
		h.once()
		h.wantLock(h.store.until, "db_20240131_030000.sql", "2024-02-07 00:00")
	}
}

func TestWhatIsLockedStaysUntilThen(t *testing.T) {
	h, pass := lockHost(t)
	h.once()
	before := len(h.backups(h.a))
	h.policy = func(string) retention.Policy { return retention.Policy{Daily: 4, MinKeep: 1} }
	var log bytes.Buffer
	h.log = &log

	// A new state knows of no lock: it meets them when it removes.
	h.state = t.TempDir()
	pass("2024-02-01 04:00")
	a := h.start()
	plans, err := a.Plans(t.Context(), "a", "")
	a.Close()
	if err != nil || len(plans) != 1 {
		t.Fatal(plans, err)
	}
	for _, d := range plans[0].Remove {
		if h.lockOf(h.store.until, fileOf(t, d.Object)).After(h.now()) {
			t.Errorf("the plan would remove %s, which is locked", d.Object)
		}
	}
	if reasons := allReasons(plans[0].Keep); !strings.Contains(reasons, "no rule keeps it, but the target keeps it: locked until 2024-02-12T00:00:00Z") {
		t.Errorf("the plan does not say what is locked: %s", reasons)
	}

	for range 2 {
		h.once()
	}
	if got := strings.Count(log.String(), "retained until 2024-02-12T00:00:00Z"); got > 1 {
		t.Errorf("a lock was told %d times", got)
	}
	h.wantLock(h.store.until, "db_20240121_030000.sql", "2024-02-12 00:00")

	pass("2024-02-12 01:00")
	h.once()
	left := h.backups(h.a)
	if len(left) >= before || slices.Contains(left, "db_20240121_030000.sql") {
		t.Errorf("when the locks have ended, %q stay", left)
	}
}

func allReasons(all []retention.Decision) string {
	var b strings.Builder
	for _, d := range all {
		b.WriteString(strings.Join(d.Reasons, ", ") + "\n")
	}
	return b.String()
}

func fileOf(t *testing.T, object string) string {
	t.Helper()
	n, err := vault.Parse(object)
	if err != nil {
		t.Fatal(err)
	}
	return n.File
}

// A store that does not lock, though it should, is no success.
func TestALockThatFailsIsTold(t *testing.T) {
	h, _ := lockHost(t)
	h.store.refuse = errors.New("not with these keys")
	s := h.once()
	if s.Complete() || s.Targets[0].Unpruned == nil || !strings.Contains(s.Targets[0].Unpruned.Error(), "not with these keys") {
		t.Errorf("%+v", s)
	}
}

func TestWhatIsHiddenIsToldOnce(t *testing.T) {
	h, _ := lockHost(t)
	var log bytes.Buffer
	h.log = &log
	a := h.start()
	defer a.Close()
	for range 2 {
		if _, err := a.Once(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(log.String(), "still billed"); n != 1 {
		t.Errorf("told %d times:\n%s", n, log.String())
	}
	if got, err := a.Hidden(t.Context(), "a"); err != nil || got != (providers.Hidden{Versions: 2, Bytes: 1000}) {
		t.Error(got, err)
	}
	if got, err := a.Hidden(t.Context(), "b"); err != nil || got != (providers.Hidden{}) {
		t.Error(got, err)
	}
}

var _ providers.Locker = (*lockable)(nil)
