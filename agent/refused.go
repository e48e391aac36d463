package agent

import (
	"errors"
	"io/fs"
	"maps"
	"slices"

	"offsite/agent/watch"
)

// refused are the files that discover could not take, and why, by path: a name that fits no pattern, say. The watcher has given each out
// and would not do so again. Whoever adds files is the only one to use it.
type refused map[string]string

// refuse tells that a file cannot be taken, and logs it if it is news.
func (a *Agent) refuse(path string, err error) {
	if a.refused[path] != err.Error() {
		a.Log.Error("cannot ship this file", "dump", path, "err", err)
	}
	if a.refused == nil {
		a.refused = refused{}
	}
	a.refused[path] = err.Error()
	a.stuck(path, err.Error())
}

// take tells no more of a file that was refused, and could be taken now.
func (a *Agent) take(path string) {
	if _, was := a.refused[path]; was {
		delete(a.refused, path)
		a.unsents.shipped(path)
	}
}

// retryRefused has the refused files looked at once more: what kept one from being taken may be over. Those that are gone are told no more.
func (a *Agent) retryRefused() {
	for path, why := range a.refused {
		if _, _, err := watch.Stat(path); errors.Is(err, fs.ErrNotExist) {
			a.take(path)
			continue
		}
		a.stuck(path, why)
		a.watcher.Requeue(path)
	}
}

// texts are the refused files with the reason, for people.
func (r refused) texts() (all []string) {
	for _, path := range slices.Sorted(maps.Keys(r)) {
		all = append(all, path+": "+r[path])
	}
	return all
}
