package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"time"

	"offsite/agent/journal"
	"offsite/agent/status"
	"offsite/agent/vault"
)

// surveyed makes sure that the journal knows what lies on the target, before anything is shipped there: after the
// state was lost, or for a target that is new or has moved. It tries until it succeeds; with tries > 0 that often.
func (w *worker) surveyed(ctx context.Context, tries int) error {
	for try := 1; ; try++ {
		place, err := w.agent.journal.Place(w.target.Name)
		if err != nil || !place.Surveyed.IsZero() {
			return err
		}
		if err = w.survey(ctx); err == nil {
			w.tally.succeeded()
			continue
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		pause, level := w.pause(err)
		w.log.Log(ctx, level, "cannot see what the target holds", "err", err, "retry_in", pause.Round(time.Second))
		w.tally.failed(w.agent.Now(), err)
		w.mu.Lock()
		w.result.Err = err
		w.mu.Unlock()
		if tries > 0 && (try >= tries || isPermanent(err)) {
			return errGivenUp
		}
		if err := sleep(ctx, pause, nil); err != nil {
			return err
		}
	}
}

// survey lists the target once. Manifests are read later, and only for dumps that are still on this host.
func (w *worker) survey(ctx context.Context) error {
	found := map[journal.RemoteKey][]string{}
	for e, err := range w.vault.List(ctx, w.agent.Host) {
		if errors.Is(err, fs.ErrPermission) {
			w.log.Warn("may not list the target: a dump that it has already may be sent again", "err", err)
			break
		}
		if err != nil {
			return err
		}
		if e.Manifest && e.Stored >= 0 {
			key := remoteKey(e.Name)
			found[key] = append(found[key], e.Name.String())
		}
	}
	if len(found) > 0 {
		w.log.Info("the target holds backups that the journal did not know", "dumps", len(found))
		w.agent.event(status.Alarm{
			Key: "journal/" + w.target.Name, Kind: status.KindJournal, Level: status.Warning, Target: w.target.Name,
			Text: fmt.Sprintf("%s held %s of this host that its journal did not know: the state was lost, or the host or the target is a new one; "+
				"the journal has learnt them", w.target.Name, plural(len(found), "dump")),
			Remedy: "nothing is lost; if the state was not meant to go, look at its disk",
		})
	}
	return w.agent.journal.Survey(w.target.Name, w.target.Location, w.agent.Now(), found)
}

func remoteKey(n vault.Name) journal.RemoteKey {
	return journal.RemoteKey{Series: n.Series, Taken: n.Taken.Unix(), File: n.File}
}

// foundThere says whether this very dump is on the target: the survey saw a trusted manifest of the same series, time and
// file name, or one that was begun for this file before it was lost has got there after all, and its fingerprint is that of
// the file. Then the journal has it as delivered.
func (w *worker) foundThere(ctx context.Context, d *journal.Dump) (bool, error) {
	objects, err := w.perhapsThere(d)
	if err != nil {
		return false, err
	}
	for _, object := range objects {
		m, err := w.isThere(ctx, d, object)
		if err != nil {
			return false, err
		}
		if m != nil {
			w.log.Info("is there already", "dump", d.Path, "object", object)
			return true, w.record(d, m)
		}
	}
	return false, nil
}

// perhapsThere are the objects in which the target may have this dump.
func (w *worker) perhapsThere(d *journal.Dump) ([]string, error) {
	name, err := vault.Parse(d.Object)
	if err != nil {
		return nil, err
	}
	objects, err := w.agent.journal.Remote(w.target.Name, remoteKey(name))
	if err != nil {
		return nil, err
	}
	for id := d.Former; id != ""; {
		former, err := w.agent.journal.ByID(id)
		if err != nil {
			return nil, err
		}
		if former == nil {
			break
		}
		objects = append(objects, former.Object)
		id = former.Former
	}
	return slices.DeleteFunc(objects, func(object string) bool { return w.spoilt[object] }), nil
}

// isThere gives the manifest of an object of the target that holds this very dump, whole; nil: it does not, or that cannot be told, and
// then the dump is sent. The dump's fingerprint is known after that if it was needed.
func (w *worker) isThere(ctx context.Context, d *journal.Dump, object string) (*vault.Manifest, error) {
	name, err := vault.Parse(object)
	if err != nil {
		return nil, err
	}
	m, _, err := w.vault.Manifest(ctx, name)
	if isMissing(err) || errors.Is(err, vault.ErrIntegrity) || mayNotLook(err) {
		return nil, nil // it proves nothing
	}
	if err != nil || m.Size != d.File.Size {
		return nil, err
	}
	if d.Fingerprint == ([32]byte{}) {
		if d.Fingerprint, err = w.agent.fingerprintDump(ctx, d); err != nil {
			return nil, err
		}
	}
	if [32]byte(m.Fingerprint) != d.Fingerprint {
		return nil, nil
	}
	whole, err := w.vault.HasData(ctx, name, m.Stored)
	if err != nil || !whole { // a manifest alone is no backup
		return nil, err
	}
	return m, nil
}

// fingerprintDump reads the version of the file that the journal has.
func (a *Agent) fingerprintDump(ctx context.Context, d *journal.Dump) (sum [32]byte, err error) {
	s, err := a.board(d)
	if err != nil {
		return sum, err
	}
	defer a.leave(s)
	return a.fingerprint(ctx, io.NewSectionReader(s.file, 0, d.File.Size))
}

func isMissing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
