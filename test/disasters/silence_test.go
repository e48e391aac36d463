package disasters_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// nights are how many dumps were made before cron broke.
const nights = 8

// at runs `offsite agent --once`, as a timer would each hour, by a clock that shows that instant.
func (h *host) at(now time.Time, want int) {
	h.t.Helper()
	h.hook.believe()
	cmd := h.command(h.w.shifted, "agent", "--once")
	cmd.Env = append(os.Environ(), "OFFSITE_TEST_CLOCK="+now.Format(time.RFC3339))
	h.finish(cmd, want)
}

// settleSoon is for nights that pass in seconds: settling takes real time.
func (h *host) settleSoon() {
	h.t.Helper()
	h.configure(func(text string) string {
		return strings.Replace(text, "  - path: ", "  - settle: 200ms\n    path: ", 1)
	})
}

// Somebody has commented the line in the crontab out: no dump comes any more, and nothing fails. The clock is the test's, so that eight
// nights pass in seconds; the hour in which the alarm comes is the measure.
func cronWritesNothing(h *host) outcome {
	h.setUp("nas", "shore")
	h.settleSoon()
	last := time.Now().Add(-48 * time.Hour).UTC().Truncate(24 * time.Hour).Add(3 * time.Hour)
	for n := range nights {
		night := last.AddDate(0, 0, n-nights+1)
		h.cron(night)
		h.at(night.Add(10*time.Minute), 0)
	}
	h.hook.silent("as long as dumps came")
	missed := last.Add(24 * time.Hour)
	for look := missed.Add(-time.Hour); ; look = look.Add(time.Hour) {
		h.at(look.Add(10*time.Minute), 0)
		if _, told := h.hook.told("overdue/"+database, time.Time{}); told {
			after := look.Add(10 * time.Minute).Sub(missed)
			if after < 0 || after > 5*time.Hour {
				h.t.Errorf("told %s after the dump that did not come", after)
			}
			return outcome{happened: "the line in the crontab gone after eight nights; looks by the hour", back: "the database is unharmed", alarm: "overdue, from when the dump should have come,", told: after}
		}
		if look.After(missed.Add(24 * time.Hour)) {
			h.t.Fatal("a day after the dump that did not come nobody has been told")
		}
	}
}

// The dumps come, and there is nothing in them: the password has changed, say, and the script ignores that. gzip -t finds them in order.
func cronWritesEmptyDumps(h *host) outcome {
	name := h.lastNight(allTargets...)
	h.start()
	h.db.Run(h.t, nil, "psql", "-Xqc", `ALTER DATABASE "`+database+`" ALLOW_CONNECTIONS false`, "postgres")
	began := time.Now()
	dump := filepath.Join(h.dumps, h.cron(began))
	if info, err := os.Stat(dump); err != nil || info.Size() != 20 {
		h.t.Fatalf("%v, %v: not the empty dump that gzip makes", info, err)
	}
	must(h.t, exec.Command("gzip", "-t", dump))
	told := h.hook.wait("suspect/"+database, began)
	got := h.back(h.db, "restored", "--kit", h.kit)
	h.same("the newest healthy one", got, h.w.was)
	h.holds(name, allTargets...)
	return outcome{happened: "pg_dump fails, the script goes on: .gz of 20 bytes, which `gzip -t` accepts", back: "the database is unharmed; `restore` passes the empty dump over", alarm: "suspect", told: told.came.Sub(began)}
}
