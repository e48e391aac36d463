package agent

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"offsite/agent/dump"
	"offsite/agent/journal"
	"offsite/agent/retention"
	"offsite/agent/vault"
)

// reading is how many manifests are read at once.
const reading = 8

// lookups is how many verdicts are looked up in the journal at once.
const lookups = 1000

// history is what the target holds of this host, as retention sees it: by series, and data that has no manifest.
type history struct {
	series  map[string][]retention.Backup
	without []vault.Entry
	// machines wrote the backups, by object, as far as that is known.
	machines map[string]string
	// dumps that are there, by identity.
	dumps map[string]bool
	// troubles are what the listing says is not as its manifest has it, by object.
	troubles map[string]string
	// unread are why manifests could not be read; their backups count as unsound.
	unread []error
	// broken are the sizes that signed manifests give of data that is missing or damaged, by object.
	broken map[string]int64
}

// Identity tells the dump of a backup from every other one, whatever object it is in; empty: that is not known.
func Identity(n vault.Name, m *vault.Manifest) string {
	return identity(n, journal.Verdict{Print: printOf(m.Fingerprint)})
}

// printOf is the part of a fingerprint that is remembered; empty for none.
func printOf(fingerprint vault.Sum) string {
	if fingerprint == (vault.Sum{}) {
		return ""
	}
	return hex.EncodeToString(fingerprint[:8])
}

// identity is Identity by what was remembered.
func identity(n vault.Name, v journal.Verdict) string {
	if v.Print == "" {
		return ""
	}
	return strings.Join([]string{n.Series, n.Taken.UTC().String(), n.File, v.Print}, "/")
}

// history lists one series of the target, or all of them. Manifests are read once; what they said is in the journal.
// That a manifest cannot be read is an error: a plan must not rest on half of the facts.
func (w *worker) history(ctx context.Context, series string) (*history, error) {
	h, err := w.partialHistory(ctx, series)
	if err == nil {
		err = errors.Join(h.unread...)
	}
	if err != nil {
		return nil, err
	}
	return h, nil
}

// partialHistory is history for whoever removes nothing: one manifest that cannot be read does not keep it from looking at the others.
func (w *worker) partialHistory(ctx context.Context, series string) (*history, error) {
	entries := w.vault.List(ctx, w.agent.Host)
	if series != "" {
		entries = w.vault.ListSeries(ctx, w.agent.Host, series)
	}
	h := &history{
		series: map[string][]retention.Backup{}, machines: map[string]string{}, dumps: map[string]bool{}, troubles: map[string]string{},
		broken: map[string]int64{},
	}
	unread := map[string]vault.Entry{}
	verdicts := map[string]journal.Verdict{}
	some := make([]vault.Entry, 0, lookups)
	for e, err := range entries {
		if err != nil {
			return nil, err
		}
		if !e.Manifest {
			h.without = append(h.without, e)
			continue
		}
		if some = append(some, e); len(some) == lookups {
			if err := w.recall(h, some, unread); err != nil {
				return nil, err
			}
			some = some[:0]
		}
	}
	if err := w.recall(h, some, unread); err != nil {
		return nil, err
	}
	if err := w.judge(ctx, h, maps.Values(unread), verdicts); err != nil {
		return nil, err
	}
	for _, object := range slices.Sorted(maps.Keys(verdicts)) {
		h.add(unread[object], verdicts[object])
	}
	w.disown(h, series == "")
	return h, w.agent.journal.SetVerdicts(w.target.Name, verdicts)
}

// recall adds what the journal knows of the entries; the others are to be read.
func (w *worker) recall(h *history, entries []vault.Entry, unread map[string]vault.Entry) error {
	objects := make([]string, len(entries))
	for i, e := range entries {
		objects[i] = e.Object
	}
	known, err := w.agent.journal.Verdicts(w.target.Name, objects)
	if err != nil {
		return err
	}
	for i, e := range entries {
		if v := known[i]; v != nil && v.Version == w.version(e) {
			h.add(e, *v)
		} else {
			unread[e.Object] = e
		}
	}
	return nil
}

// version is that of a manifest and of the keys that it was verified with.
func (w *worker) version(e vault.Entry) string { return e.Version + " " + w.agent.Trusted.ID() }

// add judges the data by what the listing says of it now.
func (h *history) add(e vault.Entry, v journal.Verdict) {
	b := retention.Backup{
		Object: e.Object, Dump: identity(e.Name, v), Shape: dump.Shape(e.File), Taken: e.Taken, Found: v.Found, Stored: max(0, e.Stored),
		Modified: e.Modified, Suspect: v.Suspect, Unsound: v.Unsound, Locked: v.Locked,
	}
	switch {
	case v.Unsound != "":
	case e.Stored < 0:
		b.Unsound = "its data is missing"
		h.troubles[e.Object] = b.Unsound
	case e.Stored != v.Stored:
		b.Unsound = fmt.Sprintf("its data has %d bytes, its manifest says %d", e.Stored, v.Stored)
		h.troubles[e.Object] = b.Unsound
	case v.Damage != "":
		b.Unsound = "its data is damaged"
	}
	if v.Unsound == "" && b.Unsound != "" {
		h.broken[e.Object] = v.Stored
	}
	if v.Machine != "" {
		h.machines[e.Object] = v.Machine
	}
	if b.Unsound == "" {
		h.dumps[identity(e.Name, v)] = true
	}
	h.series[e.Series] = append(h.series[e.Series], b)
}

// mostUnread is how many manifests may fail to be read before the target is to blame.
const mostUnread = 20

// judge reads manifests, several at once.
func (w *worker) judge(ctx context.Context, h *history, entries iter.Seq[vault.Entry], verdicts map[string]journal.Verdict) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(reading)
	var mu sync.Mutex
	for e := range entries {
		group.Go(func() error {
			v, err := w.verdict(ctx, e)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				verdicts[e.Object] = v
			case isMissing(err): // removed since it was listed
			case ctx.Err() != nil || len(h.unread) == mostUnread:
				return err
			default:
				h.unread = append(h.unread, err)
				h.series[e.Series] = append(h.series[e.Series], retention.Backup{
					Object: e.Object, Shape: dump.Shape(e.File), Taken: e.Taken, Unsound: fmt.Sprintf("its manifest cannot be read: %v", err),
				})
			}
			return nil
		})
	}
	return group.Wait()
}

// unsoundStranger is the journal.Verdict.Unsound of what somebody else has signed.
const unsoundStranger = "signed by a key that is not trusted here"

// verdict reads one manifest. That it is damaged or of a stranger is a verdict, not an error.
func (w *worker) verdict(ctx context.Context, e vault.Entry) (journal.Verdict, error) {
	m, _, err := w.vault.Manifest(ctx, e.Name)
	switch {
	case errors.Is(err, vault.ErrUntrusted):
		return journal.Verdict{Version: w.version(e), Unsound: unsoundStranger}, nil
	case errors.Is(err, vault.ErrIntegrity):
		return journal.Verdict{Version: w.version(e), Unsound: "its manifest is damaged or forged"}, nil
	case err != nil:
		return journal.Verdict{}, err
	}
	return verdictOf(m, w.version(e)), w.agent.HearAccepted(m.Object, m.Health)
}

// suspectPending is the journal.Verdict.Suspect of what is still being looked at.
const suspectPending = "nobody has looked at it to its end yet"

// verdictOf is what a manifest says of a backup. What has no verdict on its health yet takes no place either.
func verdictOf(m *vault.Manifest, version string) journal.Verdict {
	v := journal.Verdict{
		Version: version, Stored: m.Stored, Found: m.Found, Size: m.Size, Machine: m.Machine, Print: printOf(m.Fingerprint),
		Accepted: !m.Health.Accepted.IsZero(),
	}
	v.Whole = m.Health.State == dump.OK && !v.Accepted
	switch {
	case m.Health.State == dump.Pending:
		v.Suspect = suspectPending
	case m.Health.State == dump.Suspect && m.Health.Reason != "":
		v.Suspect = m.Health.Reason
	case m.Health.State == dump.Suspect:
		v.Suspect = "no reason given"
	}
	return v
}
