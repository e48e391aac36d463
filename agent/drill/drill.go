// Package drill restores a dump into a place that is thrown away afterwards, and looks whether what came back is what it should
// be: the only proof that a backup works.
//
// Postgres (postgres.go) restores into a scratch database of a PostgreSQL server, by the server's own client programs and by a role
// that can do nothing outside it (role.go). All formats go as text through a filter (sql.go, lex.go), which leaves out what needs
// more rights or roles that are not there (leftout.go); then checks ask the database for numbers (check.go). What an interrupted
// drill left is dropped by the next (scratch.go). Command (command.go) hands the dump to a program.
package drill

import (
	"errors"
	"time"

	"offsite/agent/dump"
)

// Dump says what is to be restored, as its manifest has it.
type Dump struct {
	Series, Name, Object string
	Taken                time.Time
	// Size of the dump in bytes, as it was on the host.
	Size int64
	// Kind is what is in it; empty: nobody knows.
	Kind dump.Kind
}

// Result is what came of a drill. Reason is empty if it has passed.
type Result struct {
	// Began and Took are when the restore began, and how long it took with its checks: the time that a real one takes at least.
	Began time.Time     `json:"began"`
	Took  time.Duration `json:"took"`
	// Bytes is how much was restored, unpacked.
	Bytes int64 `json:"bytes"`
	// Tables and Rows are what the database held then.
	Tables int64 `json:"tables,omitempty"`
	Rows   int64 `json:"rows,omitempty"`
	// Checks are those of the configuration, in its order, as far as they were reached.
	Checks []Checked `json:"checks,omitempty"`
	// Warnings do not let the drill fail.
	Warnings []string `json:"warnings,omitempty"`
	// Output is what the program of a Command printed, or the end of it.
	Output string `json:"output,omitempty"`
	// Reason is why it has failed, for people.
	Reason string `json:"reason,omitempty"`
	// Setup says that the reason is something that the drill needs, such as a program, a key or a server: it says nothing of the backup.
	Setup bool `json:"setup,omitempty"`
}

// fail notes an error; nil: there is none.
func (r *Result) fail(err error) {
	if err == nil {
		return
	}
	r.Reason, r.Setup = err.Error(), errors.As(err, new(*setupError))
}

// Passed says whether the backup is proven to work.
func (r *Result) Passed() bool { return r.Reason == "" }
