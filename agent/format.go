package agent

import (
	"fmt"

	"offsite/agent/dump"
	"offsite/agent/journal"
	"offsite/agent/vault"
)

// strangeFormat says why a dump that nobody can read makes it suspect: the newest healthy one of its series could be read. Ransomware
// leaves files like that, and they must not push out what was there before. Empty: it does not, also where a person has accepted the newest
// one: the format is another now.
func (a *Agent) strangeFormat(d *journal.Dump, r dump.Report) (string, error) {
	unknown := r.Health == dump.Unchecked && r.Kind == "" && (r.Packing == "" || r.Unpacked > 0) // else it was too large to be unpacked
	if !unknown {
		return "", nil
	}
	name, err := vault.Parse(d.Object)
	if err != nil {
		return "", err
	}
	last, err := a.newestHealthy(name)
	if err != nil || last == nil || !last.Whole {
		return "", err
	}
	read, err := vault.Parse(last.Object)
	return fmt.Sprintf("%s, and the newest healthy dump of its series, of %s, could be read: was this one encrypted, or written over?",
		r.Reason, stampText(read.Taken)), err
}

// newestHealthy is the newest healthy dump of a series and shape, whatever its time, on any target; nil: there is none.
func (a *Agent) newestHealthy(of vault.Name) (newest *journal.Sized, err error) {
	alike := func(object string) bool {
		other, err := vault.Parse(object)
		return err == nil && dump.Shape(other.File) == dump.Shape(of.File)
	}
	dir := vault.SeriesDir(of.Host, of.Series)
	for _, w := range a.workers {
		last, err := a.journal.Healthy(w.target.Name, dir, dir+"0", 1, alike) // 0 comes after the slash: from the last of all
		if err != nil {
			return nil, err
		}
		if len(last) > 0 && (newest == nil || last[0].Object > newest.Object) {
			newest = &last[0]
		}
	}
	return newest, nil
}
