package disasters_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"offsite/test/servers"
)

// The container is stopped: the volume has everything. The script that cron calls leaves an empty dump meanwhile, which is told.
func containerStopped(h *host) outcome {
	h.lastNight(allTargets...)
	h.start()
	h.hook.silent("before anything happened")
	before := look(h.t, h.db, database)
	h.db.Stop(syscall.SIGINT)
	began := time.Now()
	if info, err := os.Stat(filepath.Join(h.dumps, h.cron(began))); err != nil || info.Size() != 20 {
		h.t.Fatalf("%v, %v: not the empty dump that gzip makes", info, err)
	}
	told := h.hook.wait("suspect/"+database, began)
	started := time.Now()
	h.db.Start()
	took := time.Since(started)
	h.same("started again", look(h.t, h.db, database), before)
	return outcome{happened: "`docker stop`; the next cron run left an empty dump", back: "its volume", rows: before.rows, took: took, alarm: "suspect", told: told.came.Sub(began)}
}

// The container is killed and removed: a new one takes its volume.
func containerRemoved(h *host) outcome {
	h.lastNight(allTargets...)
	before := look(h.t, h.db, database)
	h.db.Kill()
	h.must(os.RemoveAll(h.db.Socket))
	started := time.Now()
	again := servers.StartContainer(h.t, h.volume)
	took := time.Since(started)
	h.same("a new container", look(h.t, again, database), before)
	return outcome{happened: "`docker rm -f`", back: "its volume, in a new container", rows: before.rows, took: took}
}

// The volume goes, too: the last dump is all that there is.
func volumeRemoved(h *host) outcome {
	h.lastNight(allTargets...)
	h.db.Kill()
	h.must(os.RemoveAll(h.volume))
	struck := time.Now()
	again := servers.StartContainer(h.t, h.volume)
	got := h.back(again, database, "--kit", h.kit)
	took := time.Since(struck)
	h.same("restored", got, h.w.was)
	return outcome{happened: "`docker rm -fv`: database and volume gone", back: "offsite, newest dump", rows: got.rows, lost: struck.Sub(got.newest), took: took}
}

// The disk of the host dies, with everything on it. A new host has PostgreSQL, the program and the recovery kit, and restores from each
// target in turn.
func hostDiskDead(h *host) outcome {
	h.lastNight(allTargets...)
	h.start()
	h.kill()
	h.db.Kill()
	h.must(os.RemoveAll(h.disk))
	o := outcome{happened: "database, volume, dumps, configuration, state and keys gone", back: "the recovery kit alone on a new host, from each of " + strings.Join(allTargets, ", ")}
	struck := time.Now()
	fresh := servers.StartContainer(h.t, filepath.Join(h.disk, "volumes/pgdata"))
	started := time.Since(struck)
	for _, target := range allTargets {
		began := time.Now()
		got := h.back(fresh, "from-"+target, "--kit", h.kit, "--target", target)
		o.took = max(o.took, started+time.Since(began)) // as if it were the only one
		h.same(target, got, h.w.was)
		o.rows, o.lost = got.rows, struck.Sub(got.newest)
	}
	return o
}

// A bucket is lost, with all that was in it; there is a new and empty one in its place, and the host has rotated all dumps but the last
// away. The other targets have everything: the agent ships what is still on the host, and repair brings the rest.
func bucketLost(h *host) outcome {
	targets := []string{"nas", "shore", "lost"}
	h.setUp(targets...)
	h.settleSoon()
	var names []string
	for n := range 3 {
		night := h.w.was.newest.AddDate(0, 0, n-2)
		names = append(names, h.cron(night))
		h.at(night.Add(10*time.Minute), 0)
	}
	for _, name := range names {
		h.holds(name, targets...)
	}
	for _, name := range names[:2] {
		h.must(os.Remove(filepath.Join(h.dumps, name)))
	}
	work(h.t, h.db, h.w.was.newest, time.Now())
	emptyBelow(h.t, h.w.versity, "lost", h.place)
	h.db.Kill()
	h.must(os.RemoveAll(h.volume))
	struck := time.Now()
	fresh := servers.StartContainer(h.t, h.volume)
	got := h.back(fresh, database, "--kit", h.kit)
	took := time.Since(struck)
	h.same("from the other targets", got, h.w.was)
	looked := time.Now()
	h.offsite(3, "agent", "--once")
	told := h.hook.wait("repair/deleted/lost", looked)
	h.offsite(0, "repair")
	for _, name := range names {
		h.holds(name, targets...)
	}
	h.same("from the bucket that was filled again", h.back(fresh, "refilled", "--kit", h.kit, "--target", "lost", "--at", h.w.was.newest.AddDate(0, 0, -1).Format(time.RFC3339)), h.w.was)
	return outcome{
		happened: "a bucket emptied by somebody, and the volume removed", back: "the other targets; and the bucket, which the agent and `offsite repair` filled again", rows: got.rows,
		lost: struck.Sub(got.newest), took: took, alarm: "backups gone, from the look that found it,", told: told.came.Sub(looked),
	}
}

// emptyBelow removes all that is in a bucket below a directory.
func emptyBelow(t *testing.T, s *servers.S3, bucket, dir string) {
	t.Helper()
	owner, n := s.Owner(t), 0
	for o := range owner.ListObjectsIter(t.Context(), bucket, minio.ListObjectsOptions{Prefix: dir + "/", Recursive: true}) {
		if o.Err != nil {
			t.Fatal(o.Err)
		}
		if err := owner.RemoveObject(t.Context(), bucket, o.Key, minio.RemoveObjectOptions{}); err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n == 0 {
		t.Fatalf("nothing was in bucket %s below %s", bucket, dir)
	}
}
