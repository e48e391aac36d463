package disasters_test

import (
	"bytes"
	"crypto/rand"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/minio/minio-go/v7"

	"offsite/test/servers"
)

// Ransomware writes over the dumps and the volume, as the names are. The service ships what became of the dumps, and finds that nobody can
// read it: the good ones stay on every target, also when somebody makes retention shorter now.
func dumpsEncrypted(h *host) outcome {
	targets := []string{"nas", "minio", "shore"}
	h.setUp(targets...)
	var names []string
	for n := range 4 {
		names = append(names, h.cron(h.w.was.newest.AddDate(0, 0, n-3)))
	}
	h.offsite(0, "agent", "--once")
	work(h.t, h.db, h.w.was.newest, time.Now())
	h.start()

	struck := time.Now()
	for _, name := range names {
		encrypt(h, filepath.Join(h.dumps, name))
	}
	locked := filepath.Join(h.dumps, names[0])
	h.must(os.Rename(locked, locked+".locked")) // some of it does that, too: another series, which pushes nothing out
	h.db.Kill()
	h.must(os.RemoveAll(h.volume))
	told := h.hook.wait("suspect/"+database, struck)
	if !strings.Contains(told.Text, "encrypted") {
		h.t.Errorf("told: %s", told.Text)
	}
	h.until("what became of all dumps is on every target", func() bool { return count(h.list(), "suspect") == (len(names)-1)*len(targets) })
	h.kill()
	h.configure(func(text string) string {
		return regexp.MustCompile(`(?m)^keep:.*$`).ReplaceAllString(text, "keep: {last: 1, min_keep: 1}")
	})
	h.offsite(0, "agent", "--once")
	for _, target := range targets {
		h.hook.wait("held/"+target+"/"+database, struck)
	}
	for _, name := range names {
		h.holds(name, targets...)
	}
	h.offsite(0, "verify")

	began := time.Now()
	fresh := servers.StartContainer(h.t, h.volume)
	got := h.back(fresh, database, "--kit", h.kit)
	took := time.Since(began)
	h.same("restored", got, h.w.was)
	return outcome{
		happened: "volume and all dumps overwritten; retention made shorter afterwards", back: "offsite: the newest healthy dump; all good ones stayed, retention was held", rows: got.rows,
		lost: struck.Sub(got.newest), took: took, alarm: "suspect", told: told.came.Sub(struck),
	}
}

// encrypt writes over a file what nobody can tell from noise.
func encrypt(h *host, path string) {
	h.t.Helper()
	info, err := os.Stat(path)
	h.must(err)
	noise := make([]byte, info.Size())
	rand.Read(noise)
	h.must(os.WriteFile(path, noise, 0o600))
}

func count(all []backup, health string) (n int) {
	for _, b := range all {
		if b.Health == health {
			n++
		}
	}
	return n
}

// Somebody has everything that the host has, its keys too: he removes what he can from every target, lays noise over what a compliance lock
// keeps, locks that, and wipes the host. What was there before is restored from the versions that the bucket keeps.
func attackerWithCredentials(h *host) outcome {
	h.lastNight("nas", "minio", "locked")
	prefix := h.place + "/db-server/"
	owner := h.w.minio.Owner(h.t)
	time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(time.Second))) // the store counts in seconds
	struck := time.Now()
	h.must(os.RemoveAll(h.nas))
	emptyBelow(h.t, h.w.minio, "backups", h.place)
	ctx := h.t.Context()
	for _, o := range versions(h, prefix) {
		if err := owner.RemoveObject(ctx, "locked", o.Key, minio.RemoveObjectOptions{VersionID: o.VersionID, GovernanceBypass: true}); err == nil && !o.IsDeleteMarker && o.IsLatest {
			h.t.Errorf("he could remove %s", o.Key)
		}
		mode, soon := minio.Compliance, time.Now().Add(time.Minute)
		if err := owner.PutObjectRetention(ctx, "locked", o.Key, minio.PutObjectRetentionOptions{VersionID: o.VersionID, Mode: &mode, RetainUntilDate: &soon, GovernanceBypass: true}); err == nil && o.IsLatest {
			h.t.Errorf("he could shorten the lock of %s", o.Key)
		}
		if o.IsLatest {
			noise := make([]byte, o.Size)
			rand.Read(noise)
			_, err := owner.PutObject(ctx, "locked", o.Key, bytes.NewReader(noise), o.Size, minio.PutObjectOptions{Mode: minio.Compliance, RetainUntilDate: time.Now().AddDate(0, 0, 1)})
			h.must(err)
			h.must(owner.RemoveObject(ctx, "locked", o.Key, minio.RemoveObjectOptions{}))
		}
	}
	h.db.Stop(syscall.SIGKILL)
	h.must(os.RemoveAll(h.disk))

	began := time.Now()
	fresh := servers.StartContainer(h.t, filepath.Join(h.disk, "new", "pgdata"))
	got := h.back(fresh, database, "--kit", h.kit, "--as-of", struck.Format(time.RFC3339))
	took := time.Since(began)
	h.same("restored", got, h.w.was)
	return outcome{
		happened: "backups deleted wherever the host's keys may, noise laid over the locked bucket, host wiped", back: "the bucket with Object Lock (compliance), by `--as-of`: the versions from before", rows: got.rows,
		lost: struck.Sub(got.newest), took: took,
	}
}

// versions are all in the locked bucket.
func versions(h *host, prefix string) (all []minio.ObjectInfo) {
	h.t.Helper()
	for o := range h.w.minio.Owner(h.t).ListObjectsIter(h.t.Context(), "locked", minio.ListObjectsOptions{Prefix: prefix, Recursive: true, WithVersions: true}) {
		h.must(o.Err)
		all = append(all, o)
	}
	return all
}

// The secret key may have been seen: a new pair is made, and the configuration gets its public key instead of the old one. What was
// sealed before opens with the old one only, and what comes after with the new one only.
func identityRotated(h *host) outcome {
	h.lastNight("nas", "shore")
	fresh := filepath.Join(h.elsewhere, "new-identity.txt")
	pair, _ := h.offsite(0, "keygen")
	h.write(fresh, pair, 0o600)
	public := regexp.MustCompile(`age1[0-9a-z]{50,}`)
	recipient := public.FindString(pair)
	h.configure(func(text string) string { return public.ReplaceAllString(text, recipient) })
	began := time.Now()
	now := look(h.t, h.db, database)
	h.cron(began)
	h.offsite(0, "agent", "--once")

	started := time.Now()
	old := h.back(h.db, "old", "--config", h.config, "--identity", h.kit, "--at", h.w.was.newest.Add(time.Minute).Format(time.RFC3339))
	took := time.Since(started)
	h.same("sealed before, with the old key", old, h.w.was)
	h.same("sealed after, with the new key", h.back(h.db, "new", "--config", h.config, "--identity", fresh), now)
	for _, wrong := range [][]string{{h.kit, began.Format(time.RFC3339)}, {fresh, h.w.was.newest.Add(time.Minute).Format(time.RFC3339)}} {
		h.offsite(5, "restore", "--identity", wrong[0], "--at", wrong[1], "-o", "-", database)
	}
	return outcome{happened: "a new key pair, the old recipient taken out", back: "offsite: old dumps by the old key, new ones by the new key, and not the other way round", rows: old.rows + now.rows, took: took}
}
