package multipart

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"time"
)

// Upload is one that has not been completed.
type Upload struct {
	Key, ID string
	Begun   time.Time
}

// Sweep aborts the unfinished uploads of keys that start with prefix, were begun before the given time and got no part since,
// but for those of the keys in spare, and gives how many there were. Credentials that may not look or abort leave it at that.
func Sweep(ctx context.Context, s Store, prefix string, before time.Time, spare []string) (removed int, err error) {
	var old []Upload
	for u, err := range s.Unfinished(ctx, "") {
		if errors.Is(err, fs.ErrPermission) {
			return 0, nil
		}
		if err != nil {
			return 0, err
		}
		if strings.HasPrefix(u.Key, prefix) && !u.Begun.IsZero() && u.Begun.Before(before) && !slices.Contains(spare, u.Key) {
			old = append(old, u)
		}
	}
	for _, u := range old {
		if on, err := goesOn(ctx, s, u, before); err != nil {
			return removed, err
		} else if on {
			continue
		}
		err := s.Abort(ctx, u.Key, u.ID)
		switch {
		case err == nil:
			removed++
		case errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission):
		default:
			return removed, err
		}
	}
	return removed, nil
}

// goesOn says whether a part has come since: a large dump on a slow line takes weeks.
func goesOn(ctx context.Context, s Store, u Upload, since time.Time) (bool, error) {
	parts, err := s.Parts(ctx, u.Key, u.ID)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return false, nil
	}
	return slices.ContainsFunc(parts, func(p Part) bool { return p.Stored.After(since) }), err
}
