package agent_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"offsite/agent"
	"offsite/agent/alarm"
	"offsite/agent/retention"
	"offsite/agent/status"
	"offsite/providers/mem"
)

// listener is a way out that remembers.
type listener struct {
	down  bool
	heard []string // "key state"
}

func (*listener) Name() string { return "ear" }

func (l *listener) Send(_ context.Context, m alarm.Message) error {
	if l.down {
		return errors.New("the line is dead")
	}
	for _, n := range m.Notices {
		l.heard = append(l.heard, n.Key+" "+string(n.State))
	}
	return nil
}

// news are the things heard since the last call.
func (l *listener) news() string {
	slices.Sort(l.heard)
	text := strings.Join(l.heard, ", ")
	l.heard = nil
	return text
}

// year is a host in simulated time, on which the agent is run once an hour, say.
type year struct {
	*host
	now time.Time
	ear *listener
}

func newYear(t *testing.T) *year {
	y := &year{host: newHost(t), now: time.Date(2026, 3, 2, 3, 0, 0, 0, time.UTC), ear: &listener{}}
	y.host.now = func() time.Time { return y.now }
	y.ways = []alarm.Way{y.ear}
	return y
}

// dump writes the dump of now, so large.
func (y *year) dump(series string, size int) {
	name := y.now.Format(series + "_20060102_150405.sql")
	y.write(name, size)
	if err := os.Chtimes(filepath.Join(y.dumps, name), y.now, y.now); err != nil {
		y.t.Fatal(err)
	}
}

// days are so many days with a dump of each series at three and a run a little later; it gives what was heard.
func (y *year) days(n int, series ...string) string {
	for range n {
		y.now = y.now.Add(24 * time.Hour)
		for _, s := range series {
			y.dump(s, 1000)
		}
		y.once()
	}
	return y.ear.news()
}

func (y *year) status() *status.Host {
	y.t.Helper()
	a := y.start()
	defer a.Close()
	s, err := a.Status()
	if err != nil {
		y.t.Fatal(err)
	}
	return s
}

// A cron job that dies is told within a gap and its slack, again each day, and when it is back; the other series says nothing.
func TestADeadJobIsTold(t *testing.T) {
	y := newYear(t)
	if got := y.days(9, "shop", "blog"); got != "" {
		t.Fatalf("in good days: %q", got)
	}
	dead := y.now // after the last dump of the shop
	y.now = dead.Add(24 * time.Hour)
	y.dump("blog", 1000)
	y.once()
	y.now = dead.Add(26 * time.Hour)
	y.once()
	if got := y.ear.news(); got != "" {
		t.Errorf("within the slack: %q", got)
	}
	y.now = dead.Add(27 * time.Hour)
	y.once()
	if got := y.ear.news(); got != "overdue/shop begun" {
		t.Errorf("after a gap and its slack: %q", got)
	}
	y.now = dead.Add(24 * time.Hour)
	if got := y.days(3, "blog"); got != "overdue/shop lasting, overdue/shop lasting" {
		t.Errorf("while it lasts: %q", got)
	}
	if got := y.days(1, "shop", "blog"); got != "overdue/shop over" {
		t.Errorf("when it is back: %q", got)
	}
}

func TestWhatIsExpectedIsToldToTheHour(t *testing.T) {
	y := newYear(t)
	y.expected = []string{"never"}
	y.expect = func(series string) (time.Duration, bool) {
		within, said := map[string]time.Duration{"shop": 26 * time.Hour, "quiet": 0, "never": 26 * time.Hour}[series]
		return within, said
	}
	y.dump("shop", 100)
	y.dump("quiet", 100)
	y.once()
	y.now = y.now.Add(26 * time.Hour)
	y.once()
	if got := y.ear.news(); got != "" {
		t.Errorf("in time: %q", got)
	}
	y.now = y.now.Add(time.Minute)
	y.once()
	if got := y.ear.news(); got != "overdue/never begun, overdue/shop begun" {
		t.Errorf("a minute later: %q", got)
	}
}

// A series that had ended before anybody watched it is a warning.
func TestASeriesOfThePast(t *testing.T) {
	y := newYear(t)
	for range 8 {
		y.now = y.now.Add(24 * time.Hour)
		y.dump("old", 1000)
	}
	y.now = y.now.Add(100 * 24 * time.Hour)
	y.once()
	if got := y.ear.news(); got != "overdue/old begun" {
		t.Errorf("%q", got)
	}
	if s := y.status(); s.Level != status.Warning || !strings.Contains(s.Alarms[0].Remedy, "expect: never") {
		t.Errorf("%+v", s.Alarms)
	}
}

func TestASuspectDumpIsTold(t *testing.T) {
	y := newYear(t)
	y.days(3, "shop")
	y.now = y.now.Add(24 * time.Hour)
	name := y.now.Format("shop_20060102_150405.sql")
	if err := os.WriteFile(filepath.Join(y.dumps, name), []byte("--\n-- PostgreSQL database dump\n--\nCREATE TABLE t (i int);\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	y.once()
	if got := y.ear.news(); got != "suspect/shop begun" {
		t.Errorf("%q", got)
	}
	s := y.status()
	if s.Level != status.Problem || len(s.Alarms) != 1 || !strings.Contains(s.Alarms[0].Text, "is suspect: ") || s.Series[0].Level != status.Problem {
		t.Errorf("%+v", s)
	}
	if got := y.days(1, "shop"); got != "suspect/shop over" {
		t.Errorf("after a good one: %q", got)
	}
}

func TestATargetThatFailsIsTold(t *testing.T) {
	y := newYear(t)
	y.days(2, "shop")
	down(y.b)
	y.now = y.now.Add(24 * time.Hour)
	y.dump("shop", 1000)
	y.once()
	if got := y.ear.news(); got != "" {
		t.Errorf("within the grace: %q", got)
	}
	y.now = y.now.Add(time.Hour)
	y.once()
	if got := y.ear.news(); got != "failing/b begun" {
		t.Errorf("after an hour: %q", got)
	}
	// A restart that has not come to the target yet is no reason to say that it is over.
	if s := y.status(); len(s.Alarms) != 1 || !strings.Contains(s.Alarms[0].Text, "it lacks 1 dump") || s.Targets[1].Level != status.Problem {
		t.Errorf("%+v", s.Alarms)
	}
	y.b.Fault(nil)
	y.now = y.now.Add(time.Minute)
	y.once()
	if got := y.ear.news(); got != "failing/b over" {
		t.Errorf("when it is back: %q", got)
	}
}

// A way that is dead is itself an alarm, on the other ways, and says what lasts when it is back.
func TestADeadWayIsTold(t *testing.T) {
	y := newYear(t)
	dead := &deadWay{listener{down: true}}
	y.ways = append(y.ways, dead)
	down(y.b)
	y.dump("shop", 1000)
	y.once()
	y.now = y.now.Add(2 * time.Hour)
	y.once()
	y.now = y.now.Add(time.Minute)
	y.once()
	if got := y.ear.news(); got != "failing/b begun, way/dead begun" {
		t.Errorf("%q", got)
	}
	s := y.status()
	if len(s.Ways) != 2 || s.Ways[1].Error != "the line is dead" || s.Ways[1].Failing.IsZero() || s.Ways[0].Sent.IsZero() {
		t.Errorf("%+v", s.Ways)
	}
	dead.down = false
	y.now = y.now.Add(time.Hour)
	y.once()
	y.once()
	if got := dead.news(); !strings.Contains(got, "failing/b begun") {
		t.Errorf("when it is back: %q", got)
	}
	if got := y.ear.news(); got != "way/dead over" {
		t.Errorf("the other: %q", got)
	}
}

type deadWay struct{ listener }

func (*deadWay) Name() string { return "dead" }

// Backups that somebody removed, and such as are damaged, are an alarm until they are repaired.
func TestMissingAndDamagedBackupsAreTold(t *testing.T) {
	y := newYear(t)
	y.policy, y.mode = func(string) retention.Policy { return retention.Policy{Daily: 30} }, agent.Report
	y.days(4, "shop")
	files, err := filepath.Glob(filepath.Join(y.dumps, "*"))
	if err != nil || len(files) != 4 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		os.Remove(f)
	}
	gone := object(t, y.a, filepath.Base(files[0]))
	y.a.Set(gone, nil)
	y.a.Set(gone+".manifest", nil)
	cut := object(t, y.a, filepath.Base(files[1]))
	y.a.Set(cut, y.a.Objects()[cut][:100])
	y.now = y.now.Add(24 * time.Hour)
	y.once()
	if got := y.ear.news(); !strings.Contains(got, "repair/a begun") {
		t.Errorf("%q", got)
	}
	s := y.status()
	if c := s.Series[0].On[0]; c.Missing != 1 || c.Damaged != 1 || c.Backups != 3 || s.Targets[0].Missing != 1 || s.Targets[1].Missing+s.Targets[1].Damaged != 0 {
		t.Errorf("%+v", c)
	}
	for what, r := range y.repair(agent.RepairOptions{}) {
		if r.Err != nil {
			t.Errorf("%s: %+v", what, r)
		}
	}
	y.now = y.now.Add(24 * time.Hour)
	y.once()
	if got := y.ear.news(); !strings.Contains(got, "repair/a over") {
		t.Errorf("after the repair: %q", got)
	}
}

func TestAHeldPlanIsTold(t *testing.T) {
	y := newYear(t)
	y.days(20, "shop")
	y.policy = func(string) retention.Policy { return retention.Policy{Daily: 1} }
	if got := y.days(1, "shop"); got != "held/a/shop begun" {
		t.Errorf("%q", got)
	}
}

func TestWhatCannotBeShippedIsTold(t *testing.T) {
	y := newYear(t)
	y.write("empty.sql", 0)
	old := y.now.Add(-24 * time.Hour)
	if err := os.Chtimes(filepath.Join(y.dumps, "empty.sql"), old, old); err != nil {
		t.Fatal(err)
	}
	y.once()
	if got := y.ear.news(); got != "unsent/stuck begun" {
		t.Errorf("%q", got)
	}
	os.Remove(filepath.Join(y.dumps, "empty.sql"))
	y.now = y.now.Add(time.Hour)
	y.once()
	if got := y.ear.news(); got != "unsent/stuck over" {
		t.Errorf("when it is gone: %q", got)
	}
}

// A dump that was lost before a target had it is told until that has a newer one, whatever is restarted meanwhile.
func TestALostDumpStaysTold(t *testing.T) {
	y := newYear(t)
	y.days(2, "shop")
	y.now = y.now.Add(24 * time.Hour)
	y.dump("shop", 1000)
	down(y.b)
	y.once()
	os.Remove(filepath.Join(y.dumps, y.now.Format("shop_20060102_150405.sql")))
	y.b.Fault(nil)
	y.once()
	if got := y.ear.news(); !strings.Contains(got, "unsent/shop begun") {
		t.Errorf("%q", got)
	}
	y.now = y.now.Add(26 * time.Hour)
	y.once()
	if got := y.ear.news(); !strings.Contains(got, "unsent/shop lasting") || strings.Contains(got, "unsent/shop over") {
		t.Errorf("a day later: %q", got)
	}
	if s := y.status(); !s.Series[0].On[1].Lost || s.Series[0].On[0].Lost || s.Level != status.Problem {
		t.Errorf("%+v", s.Series[0].On)
	}
	y.dump("shop", 1000)
	y.once()
	if got := y.ear.news(); !strings.Contains(got, "unsent/shop over") {
		t.Errorf("after the next dump: %q", got)
	}
}

// Somebody who wipes a target is told, though all of it is shipped again at once.
func TestAWipedTargetIsTold(t *testing.T) {
	y := newYear(t)
	y.policy = func(string) retention.Policy { return retention.Policy{Daily: 30} }
	y.days(4, "shop")
	for name := range y.a.Objects() {
		y.a.Set(name, nil)
	}
	y.now = y.now.Add(24 * time.Hour)
	y.once()
	if got := y.ear.news(); !strings.Contains(got, "repair/deleted/a begun") {
		t.Errorf("%q", got)
	}
}

// A state that was lost, and an agent that was killed, are told once.
func TestLostStatesAndKilledAgentsAreTold(t *testing.T) {
	y := newYear(t)
	y.days(3, "shop")
	if err := os.RemoveAll(y.state); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(y.state, 0o700); err != nil {
		t.Fatal(err)
	}
	y.once()
	if got := y.ear.news(); got != "journal/a begun, journal/b begun" {
		t.Errorf("%q", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	a := y.start()
	y.a.Fault(func(mem.Call) error { cancel(); return context.Canceled })
	y.dump("killed", 1000)
	if _, err := a.Once(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	a.Close()
	y.a.Fault(nil)
	y.once() // it was stopped, not killed
	if got := y.ear.news(); got != "" {
		t.Errorf("after a stop: %q", got)
	}
	if err := copyState(y, func() { y.once() }); err != nil {
		t.Fatal(err)
	}
	y.once()
	if got := y.ear.news(); got != "stopped/killed begun" {
		t.Errorf("after a kill: %q", got)
	}
}

// copyState puts the journal of the middle of a run in the place of that of its end, as a kill does.
func copyState(y *year, run func()) (err error) {
	path := filepath.Join(y.state, "journal.db")
	var middle []byte
	y.dump("another", 1000)
	copied := make(chan struct{}) // nothing is sealed or judged before, so that nobody writes the journal meanwhile
	once := sync.OnceFunc(func() {
		middle, err = os.ReadFile(path)
		close(copied)
	})
	y.a.Fault(func(mem.Call) error { once(); return nil })
	y.b.Fault(func(mem.Call) error { <-copied; return nil })
	run()
	y.a.Fault(nil)
	y.b.Fault(nil)
	if err != nil {
		return err
	}
	return os.WriteFile(path, middle, 0o600)
}

// texts are what alarms say.
func texts(all []status.Alarm) string {
	var words []string
	for _, a := range all {
		words = append(words, a.Text)
	}
	return strings.Join(words, "\n")
}
