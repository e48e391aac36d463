package disasters_test

import (
	"bytes"
	"os"
	"path/filepath"
	"time"

	"offsite/test/servers"
)

// Somebody removes the dumps, when they are offsite. Nothing there goes with them, and they come back.
func dumpsDeletedAfter(h *host) outcome {
	name := h.lastNight(allTargets...)
	path := filepath.Join(h.dumps, name)
	dump, err := os.ReadFile(path)
	h.must(err)
	h.must(os.RemoveAll(h.dumps))
	struck := time.Now()
	h.must(os.Mkdir(h.dumps, 0o755))
	h.offsite(0, "agent", "--once") // it looks at everything, and removes nothing
	h.holds(name, allTargets...)
	h.offsite(0, "restore", "--kit", h.kit, "-o", h.dumps, database)
	if back, err := os.ReadFile(path); err != nil || !bytes.Equal(back, dump) {
		h.t.Errorf("%d bytes came back, %v", len(back), err)
	}
	got := h.back(h.db, "restored", "--kit", h.kit)
	took := time.Since(struck)
	h.same("restored", got, h.w.was)
	return outcome{happened: "`rm -r backups/*`; the database is unharmed, and the agent looked at everything afterwards", back: "offsite: the file, and the database from it", rows: got.rows, took: took}
}

// away takes the only target away while a dump comes, which the service sees and cannot ship.
func (h *host) away() (name string) {
	h.own = servers.VersityGW(h.t)
	h.setUp("own")
	h.own.Kill()
	h.start()
	name = h.cron(h.w.was.newest)
	h.said("msg=\"found dump\"")
	work(h.t, h.db, h.w.was.newest, time.Now())
	return name
}

// The only target is down when the dump comes, and somebody removes the dump. The agent has it open, and ships it when the target is back.
func dumpsDeletedBefore(h *host) outcome {
	name := h.away()
	h.must(os.Remove(filepath.Join(h.dumps, name)))
	struck := time.Now()
	h.own.Start()
	h.until("the dump is on the target", func() bool { return len(h.list()) == 1 && h.list()[0].Health == "ok" })
	h.holds(name, "own")
	got := h.back(h.db, "restored", "--kit", h.kit)
	h.same("restored", got, h.w.was)
	return outcome{happened: "`rm` while the only target was down; the database is unharmed, and the agent had the dump open", back: "offsite: it was shipped when the target was up", rows: got.rows, took: time.Since(struck)}
}

// The same, and the agent is killed: the dump is lost, and that is told as soon as an agent runs again.
func dumpsDeletedUnseen(h *host) outcome {
	name := h.away()
	h.kill()
	h.must(os.Remove(filepath.Join(h.dumps, name)))
	h.own.Start()
	began := time.Now()
	h.start()
	told := h.hook.wait("unsent/lost", began)
	return outcome{happened: "the same, and the agent was killed before the target was up", back: "the database is unharmed", alarm: "dump lost, from the agent's start,", told: told.came.Sub(began)}
}
