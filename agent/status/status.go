// Package status is what a person is to know of a host at an instant: plain values, which the agent fills in and whatever shows
// them (the status command, the page, the metrics) takes as they are. All of it marshals to JSON; the field names are an interface.
//
// Times are UTC; a zero time (left out of the JSON) is "never" or "not known". Sizes are bytes.
package status

import "time"

// Level is how bad something is.
type Level string

// The levels, from good to bad.
const (
	OK      Level = "ok"
	Warning Level = "warning"
	Problem Level = "problem"
)

// Worse is the worse of two levels.
func Worse(a, b Level) Level {
	if rank(b) > rank(a) {
		return b
	}
	return a
}

func rank(l Level) int {
	switch l {
	case OK, "":
		return 0
	case Warning:
		return 1
	}
	return 2
}

// Host is one host at an instant.
type Host struct {
	Host    string    `json:"host"`
	Version string    `json:"version"` // of the program
	At      time.Time `json:"at"`
	// Zone is the IANA zone in which the host's days begin.
	Zone string `json:"zone"`
	// Running says that an agent runs, since Started. Without one, all is as it was when the last one ended, and Transfers is empty.
	Running bool      `json:"running"`
	Started time.Time `json:"started,omitzero"`
	// Level is the worst of all alarms that last: OK means that everything is safe.
	Level Level `json:"level"`
	// Alarms come worst first, then oldest first; those that are over are not among them.
	Alarms    []Alarm    `json:"alarms"`
	Series    []Series   `json:"series"`  // in their order
	Targets   []Target   `json:"targets"` // in the order of the configuration
	Transfers []Transfer `json:"transfers"`
	Drills    []Drill    `json:"drills"`
	Ways      []Way      `json:"ways"`
}

// Alarm is something that a person should know, as long as it lasts.
type Alarm struct {
	// Key is the same for the same trouble at every instant, such as overdue/shop or failing/nas.
	Key string `json:"key"`
	// Kind is one of the Kind constants.
	Kind   string `json:"kind"`
	Level  Level  `json:"level"`
	Series string `json:"series,omitempty"` // that it is about, if it is about one
	Target string `json:"target,omitempty"`
	// Text is a sentence for people; Remedy says what to do, and may be empty.
	Text   string    `json:"text"`
	Remedy string    `json:"remedy,omitempty"`
	Since  time.Time `json:"since"`
}

// The kinds of alarms. Metrics count by them, so that there are not many.
const (
	KindOverdue  = "overdue"  // a series brings no dumps
	KindSuspect  = "suspect"  // the newest dump of a series is suspect
	KindFailing  = "failing"  // a target has not taken what it is owed for longer than grace
	KindUnsent   = "unsent"   // a dump cannot be shipped, or was lost before every target had it
	KindRepair   = "repair"   // backups are damaged or gone: `offsite repair`
	KindDrill    = "drill"    // a drill has failed or is overdue
	KindHeld     = "held"     // retention waits for a person
	KindJournal  = "journal"  // the journal was rebuilt
	KindStopped  = "stopped"  // no agent runs, or the last one ended without being stopped
	KindWay      = "way"      // a way out of alarms fails
	KindStranger = "stranger" // somebody else writes under this host's name
	KindConfig   = "config"   // the configuration was changed, and the changed one is not in use
	KindTest     = "test"     // `offsite alarm test`
)

// Series is the stream of dumps of one database.
type Series struct {
	Name string `json:"name"`
	// Last is the dump that was taken last; nil: none was met.
	Last *Dump `json:"last,omitempty"`
	// Usual is how long after Last the next one comes at the latest, as far as that is known: learnt from the series itself, or
	// Expected by the configuration; 0: not known yet.
	Usual    time.Duration `json:"usual"` // nanoseconds
	Expected bool          `json:"expected,omitempty"`
	// Due is when the next dump is there at the latest, and Overdue that this is over for so long that it alarms.
	Due     time.Time `json:"due,omitzero"`
	Overdue bool      `json:"overdue,omitempty"`
	// Sizes of the last dumps, oldest first, 15 at most.
	Sizes []int64 `json:"sizes"`
	// On has one for each target, in their order.
	On    []Copies `json:"on"`
	Level Level    `json:"level"`
}

// Dump is one finished file that the host has met.
type Dump struct {
	Name  string    `json:"name"`
	Taken time.Time `json:"taken"`
	Found time.Time `json:"found"`
	Size  int64     `json:"size"`
	// Health is ok, suspect or unchecked; pending: it is being looked at. Reason says why.
	Health string `json:"health"`
	Reason string `json:"reason,omitempty"`
	Kind   string `json:"kind,omitempty"` // such as "PostgreSQL custom"
}

// Copies is what a target holds of a series.
type Copies struct {
	Target string `json:"target"`
	// Newest is when the newest healthy backup there was taken, and Offsite since when it is there (zero: not known).
	Newest  time.Time `json:"newest,omitzero"`
	Offsite time.Time `json:"offsite,omitzero"`
	// Backups counts all; Suspect, Damaged and Missing some of them.
	Backups int `json:"backups"`
	Suspect int `json:"suspect,omitempty"`
	Damaged int `json:"damaged,omitempty"`
	Missing int `json:"missing,omitempty"` // gone, though no retention of ours removed them
	// Stored is the size of their data.
	Stored int64 `json:"stored"`
	// Owed counts the dumps that the target lacks and is to get.
	Owed int `json:"owed,omitempty"`
	// Lost says that the newest dump of the series went away before the target had it, and that it has none that is newer.
	Lost bool `json:"lost,omitempty"`
	// Held says why retention waits for a person; empty: it does not.
	Held string `json:"held,omitempty"`
}

// Target is one place for backups.
type Target struct {
	Name     string `json:"name"`
	Location string `json:"location"` // such as s3:bucket/prefix; without secrets
	Level    Level  `json:"level"`
	// Failing is since when it has taken nothing though it is owed something; zero: it works, or nothing was tried. Error is the last.
	Failing time.Time `json:"failing,omitzero"`
	Error   string    `json:"error,omitempty"`
	// Owed counts dumps, and OwedBytes their sizes.
	Owed      int   `json:"owed"`
	OwedBytes int64 `json:"owed_bytes"`
	// Delivered is when it got a dump last.
	Delivered time.Time `json:"delivered,omitzero"`
	Backups   int       `json:"backups"`
	Stored    int64     `json:"stored"`
	// Proven counts the backups of which all data was read and compared within Every (nanoseconds; 0: that is never done), Damaged those that were
	// not whole then, and Missing those that are gone, though no retention of ours removed them.
	Every   time.Duration `json:"every"`
	Proven  int           `json:"proven"`
	Damaged int           `json:"damaged"`
	Missing int           `json:"missing"`
	// Looked is when a share of it was read last.
	Looked time.Time `json:"looked,omitzero"`
	// Retention is enforce, report or off.
	Retention string `json:"retention"`
	// Counts are since the agent was started; zero without one.
	Counts Counts `json:"counts"`
}

// Counts are a target's, since the agent was started.
type Counts struct {
	Delivered int64 `json:"delivered"` // dumps
	Bytes     int64 `json:"bytes"`     // of data that were sent
	Removed   int64 `json:"removed"`   // backups, by retention
	Retries   int64 `json:"retries"`   // deliveries that failed and are tried again
	// Errors by kind: permission, permanent, network, integrity, source, other.
	Errors map[string]int64 `json:"errors,omitempty"`
	// Compared counts the bytes that the scrub has read.
	Compared int64 `json:"compared"`
	// Took has how many deliveries took how long, with the upper bounds of Buckets, and one more for the rest; Seconds is their sum.
	Took    []int64 `json:"took,omitempty"`
	Seconds float64 `json:"seconds"`
}

// Buckets are the bounds of Counts.Took, in seconds.
var Buckets = []float64{0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 12 * 3600}

// Transfer is one that is under way.
type Transfer struct {
	Target string    `json:"target"`
	Series string    `json:"series"`
	Name   string    `json:"name"` // of the dump
	Began  time.Time `json:"began"`
	Done   int64     `json:"done"` // bytes on the target
	Total  int64     `json:"total"`
	// Rate is in bytes a second, over the last while; 0: not known.
	Rate float64 `json:"rate"`
}

// Drill is what is known of one drill of a series.
type Drill struct {
	Name   string `json:"name"`
	Series string `json:"series"` // empty: it was never run
	// Last is the last run, and Passed when the last one that passed began.
	Last   *Run      `json:"last,omitempty"`
	Passed time.Time `json:"passed,omitzero"`
	// Due is when it is to be run again; zero: only by hand.
	Due     time.Time `json:"due,omitzero"`
	Overdue bool      `json:"overdue,omitempty"`
	// Trend has the last runs, oldest first, 15 at most.
	Trend []Run `json:"trend"`
	Level Level `json:"level"`
}

// Run is one run of a drill.
type Run struct {
	Target string    `json:"target"`
	Dump   string    `json:"dump"` // file name
	Taken  time.Time `json:"taken"`
	Began  time.Time `json:"began"`
	// Took is the time that a real restore takes at least, in nanoseconds.
	Took   time.Duration `json:"took"`
	Bytes  int64         `json:"bytes"`
	Rows   int64         `json:"rows,omitempty"`
	Passed bool          `json:"passed"`
	Reason string        `json:"reason,omitempty"` // why not
	// Setup says that the reason is something that the drill needs, such as a program, a key or a server: it says nothing of the backup.
	Setup bool `json:"setup,omitempty"`
}

// Way is one way out for alarms.
type Way struct {
	Name string `json:"name"`
	// Sent is when something was told by it last, and Failing since when nothing can be.
	Sent    time.Time `json:"sent,omitzero"`
	Failing time.Time `json:"failing,omitzero"`
	Error   string    `json:"error,omitempty"`
}

// Backup is one dump of a series wherever it lies, for the page of a series.
type Backup struct {
	Series string    `json:"series"`
	Name   string    `json:"name"` // of the file
	Taken  time.Time `json:"taken"`
	Size   int64     `json:"size"` // of the dump
	Health string    `json:"health"`
	Reason string    `json:"reason,omitempty"`
	On     []Copy    `json:"on"` // in the order of the targets
}

// Copy is a backup on one target.
type Copy struct {
	Target string `json:"target"`
	Object string `json:"object"`
	Stored int64  `json:"stored"`
	// Tiers are why retention keeps it, in its words ("daily 2026-11-22", "newest"); none: it goes with the next plan, or nobody prunes.
	Tiers []string `json:"tiers,omitempty"`
	// Goes says that the next plan removes it.
	Goes   bool      `json:"goes,omitempty"`
	Locked time.Time `json:"locked,omitzero"`
	Proven time.Time `json:"proven,omitzero"`
	// Damage is what is wrong with this copy; empty: nothing is known.
	Damage string `json:"damage,omitempty"`
}

// Day is one day of a series, in the host's zone.
type Day struct {
	Date string `json:"date"` // 2026-11-22
	// Dumps counts those that were taken that day, and Suspect those of them that are suspect.
	Dumps   int `json:"dumps"`
	Suspect int `json:"suspect,omitempty"`
	// Tier is the longest that keeps a backup of that day on some target: yearly, monthly, weekly, daily, hourly, last or other;
	// empty: none of that day is left, or there was none.
	Tier string `json:"tier,omitempty"`
	// Missing says that a dump was expected on that day and none came.
	Missing bool `json:"missing,omitempty"`
}

// SeriesDetail is a series with all that is known of it.
type SeriesDetail struct {
	Series
	// Backups come newest first.
	Backups []Backup `json:"backups"`
	// Days are those of the year that ends today, oldest first: 365 or 366.
	Days []Day `json:"days"`
	// Next is what retention removes when the next dump has come, if that comes when it is Due.
	Next []Removal `json:"next"`
}

// Removal is a backup that retention is going to remove.
type Removal struct {
	Target string    `json:"target"`
	Name   string    `json:"name"`
	Taken  time.Time `json:"taken"`
	Stored int64     `json:"stored"`
	Reason string    `json:"reason"`
}
