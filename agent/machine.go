package agent

import (
	"encoding/hex"
	"time"
)

// machine is how manifests name this machine, without giving its machine-id away.
func (a *Agent) machine() string {
	if a.Machine == "" {
		return ""
	}
	sum := a.Signer.MAC("machine", []byte(a.Machine))
	return hex.EncodeToString(sum[:8])
}

// disown marks the backups that a copy of this host made: another machine with its name and keys, a cloned server, that has gone
// on writing since this one began. They take no place and are never removed: else each would push the other's dumps out. A
// machine that wrote nothing more since this one's first is this host's past: it has moved. whole says that h is all that the target has.
func (w *worker) disown(h *history, whole bool) {
	own := w.agent.machine()
	if own == "" {
		return
	}
	others := 0
	for _, backups := range h.series {
		last := map[string]time.Time{} // when each machine's newest was found
		var first time.Time
		for _, b := range backups {
			m := h.machines[b.Object]
			if m == own && (first.IsZero() || b.Found.Before(first)) {
				first = b.Found
			}
			if b.Found.After(last[m]) {
				last[m] = b.Found
			}
		}
		for i, b := range backups {
			m := h.machines[b.Object]
			if m != "" && m != own && !first.IsZero() && last[m].After(first) && b.Unsound == "" {
				backups[i].Unsound = "another machine that has this host's name and keys wrote it"
				others++
			}
		}
	}
	if whole {
		w.tally.foundStrangers(others)
	}
	if others > 0 && w.toldHeld("machine", "copy") {
		w.log.Error("another machine writes backups under this host's name, with its keys: give the copy a host name and a signing key of its own", "backups", others)
	}
}
