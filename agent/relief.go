package agent

import (
	"cmp"
	"context"
	"errors"
	"os"
	"slices"
	"syscall"
	"time"

	"offsite/agent/journal"
)

// A deleted dump that is held open for a target still fills the disk, where the next dump is to be written. So when space runs
// short the oldest are given up: those that some target has when less than a tenth is free, and those that no target has when
// two dumps like the newest would not fit.

// reliefEvery is how often it is looked whether space runs short.
const reliefEvery = time.Minute

// errNoRoom: a deleted dump could not be held any longer.
var errNoRoom = errors.New("it was deleted, and the disk has too little space left to hold it for them")

// relieve looks after the space until ctx ends.
func (a *Agent) relieve(ctx context.Context) error {
	l := a.pulse.begin("what looks after the space on the disk")
	defer l.ends()
	tick := time.NewTicker(reliefEvery)
	defer tick.Stop()
	for {
		l.turns()
		if err := a.giveUp(ctx); err != nil {
			return err
		}
		l.rests(reliefEvery)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// giveUp loses what is deleted and held where space runs short, the oldest first.
func (a *Agent) giveUp(ctx context.Context) error {
	deleted, err := a.deleted()
	if err != nil {
		return err
	}
	freed := map[uint64]int64{} // by device
	for _, d := range deleted {
		need := 2 * a.newest.size(d.File.Dev)
		if delivered(d.Dump) {
			need = max(need, d.total/10)
		}
		if d.free+freed[d.File.Dev] >= need {
			continue
		}
		f := a.held.take(d.ID)
		if f == nil {
			continue // its turn has come
		}
		f.Close()
		freed[d.File.Dev] += d.File.Size
		if err := a.lose(ctx, d.Dump, errNoRoom); err != nil {
			return err
		}
	}
	return nil
}

// pinned is a dump whose file is held though it was deleted, with what its file system has.
type pinned struct {
	*journal.Dump
	room
}

// room is the space of a file system, in bytes.
type room struct{ free, total int64 }

// deleted gives the dumps that are held though they were deleted, those that some target has before those that none has, and
// the oldest first; and tells of each once.
func (a *Agent) deleted() ([]pinned, error) {
	var all []pinned
	for id, space := range a.held.unlinked() {
		d, err := a.journal.ByID(id)
		if err != nil {
			return nil, err
		}
		if d == nil {
			continue
		}
		all = append(all, pinned{d, space})
		if a.held.tell(id) {
			a.Log.Warn("a dump was deleted before every target had it: it is held open for them, and its space is not free until then",
				"dump", d.Path, "bytes", d.File.Size)
		}
	}
	slices.SortFunc(all, func(p, q pinned) int {
		switch safe := delivered(p.Dump); {
		case safe == delivered(q.Dump):
			return cmp.Or(p.Taken.Compare(q.Taken), p.Found.Compare(q.Found))
		case safe:
			return -1
		}
		return 1
	})
	return all, nil
}

// unlinked gives the ids of the files that have no name any more.
func (h *held) unlinked() map[string]room {
	h.mu.Lock()
	defer h.mu.Unlock()
	gone := map[string]room{}
	for id, f := range h.files {
		info, err := f.Stat()
		if err != nil || info.Sys().(*syscall.Stat_t).Nlink > 0 {
			continue
		}
		if space, err := h.space(f); err == nil {
			gone[id] = space
		}
	}
	return gone
}

// tell notes that the deletion of a dump is told, and says whether that is news.
func (h *held) tell(id string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	news := !h.told[id]
	h.told[id] = true
	return news
}

// spaceOf is what the file system of an open file has left for those who are not root, and has in all.
func spaceOf(f *os.File) (room, error) {
	var s syscall.Statfs_t
	if err := syscall.Fstatfs(int(f.Fd()), &s); err != nil {
		return room{}, err
	}
	return room{int64(s.Bavail) * s.Bsize, int64(s.Blocks) * s.Bsize}, nil
}
