package fleet

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"offsite/agent/status"
	"offsite/agent/vault"
	"offsite/crypto"
	"offsite/providers/mem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

// world is a target with the backups of many hosts.
type world struct {
	*testing.T
	target  *mem.Target
	signers map[string]*crypto.Signer
	keys    []string
}

func newWorld(t *testing.T) *world {
	return &world{T: t, target: mem.New(), signers: map[string]*crypto.Signer{}}
}

// signer is a host's, made when it is first asked for; all but those of strangers are trusted.
func (w *world) signer(host string) *crypto.Signer {
	if s := w.signers[host]; s != nil {
		return s
	}
	skey, vkey, err := crypto.GenerateSigner(host)
	if err != nil {
		w.Fatal(err)
	}
	s, err := crypto.ParseSigner(skey + "\n" + vkey)
	if err != nil {
		w.Fatal(err)
	}
	w.signers[host] = s
	if !strings.HasPrefix(host, "stranger") {
		w.keys = append(w.keys, vkey)
	}
	return s
}

// backup puts one there.
func (w *world) backup(host, series string, taken time.Time, health string, signedBy ...string) vault.Name {
	w.Helper()
	name, err := vault.NewName(host, series, taken, "0123abcd", series+".sql.gz")
	if err != nil {
		w.Fatal(err)
	}
	m := &vault.Manifest{
		Format: vault.Format, Object: name.String(), Host: host, Series: series, Taken: name.Taken, Zone: "Europe/Prague", Name: series + ".sql.gz",
		Size: 900, Stored: 1000, BlockSize: 1000, Blocks: make([]vault.Sum, 1), Health: vault.Health{State: health}, Program: "offsite v1",
	}
	if health == suspect {
		m.Health.Reason = "ends in the middle"
	}
	by := host
	if len(signedBy) > 0 {
		by = signedBy[0]
	}
	signed, err := vault.Sign(w.signer(by), m)
	if err != nil {
		w.Fatal(err)
	}
	w.target.Set(name.String(), make([]byte, 1000))
	w.target.Set(name.Manifest(), signed)
	return name
}

// daily puts n healthy ones there, the last one taken at last.
func (w *world) daily(host, series string, last time.Time, n int) (newest vault.Name) {
	for i := range n {
		newest = w.backup(host, series, last.Add(-time.Duration(n-1-i)*day), healthy)
	}
	return newest
}

func (w *world) options() Options {
	keys, err := crypto.ParseVerifiers(w.keys)
	if err != nil {
		w.Fatal(err)
	}
	return Options{Target: w.target.Handle(), Name: "nas", Keys: keys, Now: now}
}

func (w *world) read() *status.Fleet {
	w.Helper()
	f, err := Read(w.Context(), w.options())
	if err != nil {
		w.Fatal(err)
	}
	return f
}

func find(t *testing.T, f *status.Fleet, host, series string) (status.FleetHost, status.FleetSeries) {
	t.Helper()
	for _, h := range f.Hosts {
		for _, s := range h.Series {
			if h.Host == host && s.Name == series {
				return h, s
			}
		}
	}
	t.Fatalf("%s/%s is missing", host, series)
	panic("unreachable")
}

// A thousand hosts with five series each: one listing, and one manifest of each series.
func TestAThousandHosts(t *testing.T) {
	w := newWorld(t)
	const hosts, series, backups = 1000, 5, 4
	for i := range hosts {
		for j := range series {
			host := fmt.Sprintf("host-%03d", i)
			last := now.Add(-9 * time.Hour)
			if i == 500 && j == 2 {
				last = last.Add(-10 * day)
			}
			for k := range backups - 1 {
				// Those before the newest are never read: that they are no manifests is not seen.
				name, _ := vault.NewName(host, fmt.Sprint("db", j), last.Add(-time.Duration(k+1)*day), "00000000", "x.gz")
				w.target.Set(name.String(), make([]byte, 1000))
				w.target.Set(name.Manifest(), []byte("not looked at"))
			}
			w.backup(host, fmt.Sprint("db", j), last, healthy)
		}
	}
	began := time.Now()
	f := w.read()
	t.Logf("%d hosts in %v", len(f.Hosts), time.Since(began))
	if len(f.Hosts) != hosts || f.Series != hosts*series || f.Backups != hosts*series*backups || f.Stored != hosts*series*backups*1000 || f.Overdue != 1 || !f.Whole || !f.Checked {
		t.Errorf("%d hosts, %+v", len(f.Hosts), *f)
	}
	if h := f.Hosts[0]; h.Host != "host-500" || h.Level != status.Problem || !h.Series[0].Overdue || h.Series[0].Name != "db2" || f.Hosts[1].Level != status.OK {
		t.Errorf("the worst is %+v", h)
	}
	if gets, lists := w.target.Calls("get"), w.target.Calls("list"); gets != hosts*series || lists != 1 {
		t.Errorf("%d manifests were read, %d listings", gets, lists)
	}
	for _, op := range []string{"put", "stat", "delete", "sweep", "preserve"} {
		if n := w.target.Calls(op); n > 0 {
			t.Errorf("%d calls of %s", n, op)
		}
	}
}

func TestASeriesThatIsFine(t *testing.T) {
	w := newWorld(t)
	w.daily("a", "shop", now.Add(-9*time.Hour), 7)
	w.backup("a", "odd", now.Add(-day), unchecked)
	h, s := find(t, w.read(), "a", "shop")
	if s.Level != status.OK || !s.Newest.Equal(now.Add(-9*time.Hour)) || s.Size != 900 || s.Health != healthy || s.Backups != 7 || s.Overdue || len(s.Problems) > 0 ||
		!s.Due.Equal(now.Add(27*time.Hour)) {
		t.Errorf("%+v", s)
	}
	if h.Level != status.OK || h.Program != "offsite v1" || len(h.Signers) != 1 || !strings.HasPrefix(h.Signers[0], "a+") || h.Backups != 8 {
		t.Errorf("%+v", h)
	}
}

// The rhythm is given the times of the names, in the zone of the host.
func TestDueIsAskedWithTheHostsZone(t *testing.T) {
	w := newWorld(t)
	w.daily("a", "shop", now.Add(-9*time.Hour), 3)
	o := w.options()
	o.Due = func(taken []time.Time, zone *time.Location) (time.Time, bool) {
		if len(taken) != 3 || !slices.IsSortedFunc(taken, time.Time.Compare) || zone.String() != "Europe/Prague" {
			t.Error(taken, zone)
		}
		return now.Add(-time.Second), true
	}
	f, err := Read(t.Context(), o)
	if _, s := find(t, f, "a", "shop"); err != nil || !s.Overdue || !strings.HasPrefix(s.Problems[0], "overdue since 2026-11-22 11:59 UTC") {
		t.Errorf("%v %+v", err, s)
	}
}

// What is wrong with the newest is seen, and the newest healthy one is found behind it.
func TestTroubles(t *testing.T) {
	w := newWorld(t)
	w.signer("stranger")
	last := now.Add(-9 * time.Hour)
	for _, series := range []string{"suspect", "pending", "flipped", "stranger", "copied", "lost", "short", "never", "future", "gone"} {
		w.daily("a", series, last.Add(-day), 5)
	}
	w.backup("a", "suspect", last, suspect)
	w.backup("a", "pending", last, "pending")
	n := w.backup("a", "flipped", last, healthy)
	b := w.target.Objects()[n.Manifest()]
	b[len(b)/2] ^= 1
	w.target.Set(n.Manifest(), b)
	w.backup("a", "stranger", last, healthy, "stranger")
	theirs := w.backup("b", "copied", last, healthy)
	w.target.Set(w.backup("a", "copied", last, healthy).Manifest(), w.target.Objects()[theirs.Manifest()])
	w.target.Set(w.backup("a", "lost", last, healthy).String(), nil)
	w.target.Set(w.backup("a", "short", last, healthy).String(), []byte("short"))
	for i := range 4 {
		w.backup("a", "never", last.Add(time.Duration(i)*time.Minute), suspect)
	}
	w.backup("a", "future", now.Add(400*day), healthy)
	w.target.Set(w.backup("a", "gone", last, healthy).Manifest(), nil)

	f := w.read()
	for series, want := range map[string]struct {
		level   status.Level
		healthy bool
		text    string
	}{
		"suspect":  {status.Problem, true, "the newest backup is suspect: ends in the middle"},
		"pending":  {status.OK, true, ""},
		"flipped":  {status.Problem, true, "the manifest of the backup of 2026-11-22 03:00 UTC is damaged"},
		"stranger": {status.Problem, true, "is signed by stranger+"},
		"copied":   {status.Problem, true, "damaged"},
		"lost":     {status.Problem, true, "1 backup has lost its data"},
		"short":    {status.Problem, true, "has 5 bytes, and its manifest says 1000"},
		"never":    {status.Problem, false, "none of the newest backups is healthy"},
		"future":   {status.Warning, true, "1 backup is of the future"},
		"gone":     {status.OK, true, ""},
	} {
		_, s := find(t, f, "a", series)
		text := strings.Join(s.Problems, "\n")
		if s.Level != want.level || s.Newest.IsZero() == want.healthy || !strings.Contains(text, want.text) || (want.text == "") != (text == "") {
			t.Errorf("%s: %+v", series, s)
		}
		if want.healthy && series != "future" && !s.Newest.Equal(last.Add(-day)) {
			t.Errorf("%s: newest %v", series, s.Newest)
		}
	}
	if f.Unsound != 5 || f.Suspect != 2 || f.Level != status.Problem {
		t.Errorf("%+v", *f)
	}
	if _, s := find(t, f, "a", "gone"); s.Unfinished != 1 {
		t.Errorf("%+v", s)
	}
}

// What is no host is none: objects that offsite did not name are counted, and uploads that never finished are no backups.
func TestWhatIsNoHost(t *testing.T) {
	w := newWorld(t)
	w.daily("a", "shop", now.Add(-9*time.Hour), 3)
	w.target.Set("lost+found/x", []byte("x"))
	w.target.Set("photos/2026/cat.jpg", []byte("x"))
	w.target.Set("readme.txt", []byte("x"))
	w.target.Set("a/shop/notes.age", []byte("x"))
	begun, _ := vault.NewName("new", "shop", now, "11111111", "a")
	w.target.Set(begun.String(), []byte("x"))
	f := w.read()
	if len(f.Hosts) != 2 || f.Strange != 4 {
		t.Errorf("%+v", *f)
	}
	if h, s := find(t, f, "new", "shop"); h.Level != status.Warning || s.Unfinished != 1 || s.Backups != 0 || s.Problems[0] != "no backup yet, 1 unfinished upload" {
		t.Errorf("%+v", h)
	}
}

// A host that signs for another one is a copy of it, or has its key.
func TestSharedKeys(t *testing.T) {
	w := newWorld(t)
	w.daily("a", "shop", now.Add(-9*time.Hour), 3)
	w.backup("b", "shop", now.Add(-9*time.Hour), healthy, "a")
	w.daily("c", "shop", now.Add(-9*time.Hour), 3)
	f := w.read()
	a, _ := find(t, f, "a", "shop")
	b, _ := find(t, f, "b", "shop")
	c, _ := find(t, f, "c", "shop")
	if a.Level != status.Warning || !slices.Equal(a.Shared, []string{"b"}) || !slices.Equal(b.Shared, []string{"a"}) || c.Level != status.OK || len(c.Shared) > 0 {
		t.Errorf("%+v\n%+v\n%+v", a, b, c)
	}
}

func TestWithoutKeysSignersAreNamed(t *testing.T) {
	w := newWorld(t)
	w.daily("a", "shop", now.Add(-9*time.Hour), 3)
	o := w.options()
	o.Keys = nil
	f, err := Read(t.Context(), o)
	if h, _ := find(t, f, "a", "shop"); err != nil || f.Checked || h.Level != status.OK || !strings.HasPrefix(h.Signers[0], "a+") {
		t.Errorf("%v %+v", err, h)
	}
}

func TestSomeHosts(t *testing.T) {
	w := newWorld(t)
	for _, host := range []string{"web-1", "web-2", "db-1"} {
		w.daily(host, "shop", now.Add(-9*time.Hour), 3)
	}
	o := w.options()
	o.Prefix, o.Match = Literal("web-*"), func(host string) bool { return host != "web-2" }
	var asked string
	w.target.Fault(func(c mem.Call) error {
		if c.Op == "list" {
			asked = c.Name
		}
		return nil
	})
	f, err := Read(t.Context(), o)
	if err != nil || len(f.Hosts) != 1 || f.Hosts[0].Host != "web-1" || asked != "web-" {
		t.Errorf("%v %q %+v", err, asked, *f)
	}
	for pattern, want := range map[string]string{"web-1": "web-1", "*": "", "a?b": "a", "[ab]": "", `a\*b`: "a"} {
		if got := Literal(pattern); got != want {
			t.Errorf("%q: %q", pattern, got)
		}
	}
}

func TestATargetThatCannotBeReached(t *testing.T) {
	w := newWorld(t)
	w.daily("a", "shop", now.Add(-9*time.Hour), 3)
	down := errors.New("connection refused")
	w.target.Fault(func(mem.Call) error { return down })
	f, err := Read(t.Context(), w.options())
	if !errors.Is(err, down) || f.Whole || len(f.Hosts) != 0 {
		t.Errorf("%v %+v", err, f)
	}
}

// Keys that may list and not read: what the names tell is told.
func TestManifestsThatCannotBeRead(t *testing.T) {
	w := newWorld(t)
	w.daily("a", "shop", now.Add(-9*time.Hour), 3)
	w.daily("b", "shop", now.Add(-99*day), 3)
	w.target.Fault(func(c mem.Call) error {
		if c.Op == "get" {
			return fs.ErrPermission
		}
		return nil
	})
	f, err := Read(t.Context(), w.options())
	if !errors.Is(err, fs.ErrPermission) || !f.Whole || f.Unread != 2 || f.Overdue != 1 || f.Unsound != 0 {
		t.Errorf("%v %+v", err, f)
	}
	if h, s := find(t, f, "a", "shop"); h.Level != status.Warning || s.Backups != 3 || s.Last.IsZero() || !s.Newest.IsZero() {
		t.Errorf("%+v", h)
	}
}

func TestCancelled(t *testing.T) {
	w := newWorld(t)
	for i := range 100 {
		w.daily(fmt.Sprint("h", i), "shop", now, 1)
	}
	ctx, cancel := context.WithCancel(t.Context())
	w.target.Fault(func(c mem.Call) error {
		if c.Op == "get" {
			cancel()
			<-ctx.Done()
		}
		return nil
	})
	if f, err := Read(ctx, w.options()); !errors.Is(err, context.Canceled) || f != nil {
		t.Error(f, err)
	}
}

func TestDue(t *testing.T) {
	at := func(hours ...int) (all []time.Time) {
		for _, h := range hours {
			all = append(all, now.Add(time.Duration(h)*time.Hour))
		}
		return all
	}
	for _, c := range []struct {
		name  string
		taken []time.Time
		want  time.Duration // after now; 0: not known
	}{
		{"none", nil, 0},
		{"two", at(-24, 0), 0},
		{"daily", at(-72, -48, -24, 0), 36 * time.Hour},
		{"a weekend", at(-120, -48, -24, 0), 108 * time.Hour},
		{"an old outage is forgotten", at(-900, -100, -80, -60, -40, -20, 0), 30 * time.Hour},
		{"the same twice", at(-48, -24, -24, 0, 0), 36 * time.Hour},
		{"always the same", at(0, 0, 0, 0), 0},
	} {
		due, known := Due(c.taken, time.UTC)
		if known != (c.want > 0) || known && due.Sub(now) != c.want {
			t.Errorf("%s: %v, %v", c.name, due.Sub(now), known)
		}
	}
}
