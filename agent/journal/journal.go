// Package journal is the agent's durable memory: which dump it found, under which sealing, and which target has it.
//
// It is a bbolt file, mode 0600, with these buckets:
//
//	meta      "version": the version of this layout
//	dumps     id of the dump's sealing, 8 hex digits -> Dump, JSON
//	digests   id -> bucket: block number, 8 bytes big-endian -> 64 bytes, crypto.Digest
//	files     device, inode, size, mtime, 32 bytes -> id of the newest dump with them
//	paths     path -> id of the newest dump there
//	open      id -> nothing: dumps that some target still lacks
//	targets   name -> Place, JSON: where the target was when the journal last knew
//	verdicts  name -> bucket: object -> Verdict, JSON: what its manifest said when it was read
//	doomed    name -> bucket: object -> nothing: backups whose removal has begun
//	remote    name -> bucket: series, taken, file name -> object names, JSON: what lay there when it was surveyed
//
// The crash contract: every method that changes something has written it durably (fdatasync) when it returns, all of
// it or nothing. The journal lags behind the targets and never leads: Delivered is called after the target has
// confirmed. All of it is disposable: without it, the agent asks the targets what they hold.
//
// A sealing's state holds its file key. It is kept while some target lacks the dump, whose plaintext lies on the same
// disk meanwhile, and erased with the last delivery. (bbolt leaves old pages in the file until it reuses them.)
package journal

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// version of the layout. A journal of another version is refused.
const version = "1"

var (
	bucketMeta    = []byte("meta")
	bucketDumps   = []byte("dumps")
	bucketDigests = []byte("digests")
	bucketFiles   = []byte("files")
	bucketPaths   = []byte("paths")
	bucketOpen    = []byte("open")
	bucketTargets = []byte("targets")
	bucketRemote  = []byte("remote")

	bucketVerdicts = []byte("verdicts")
	bucketDoomed   = []byte("doomed")

	buckets = [][]byte{bucketMeta, bucketDumps, bucketDigests, bucketFiles, bucketPaths, bucketOpen, bucketTargets, bucketRemote, bucketVerdicts, bucketDoomed}
)

// ErrLocked can occur in Open: another process has the journal open.
var ErrLocked = errors.New("another offsite is using it")

// Journal is one open journal. It may be used concurrently.
type Journal struct {
	db *bolt.DB
}

// Open opens the journal file, or makes an empty one, in a directory that exists. It waits for nobody: a journal in
// use is ErrLocked. Close it.
func Open(path string) (j *Journal, err error) {
	// bbolt trusts its pages, and maps the file: a torn one is a panic, or a fault beyond its end.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if damage := recover(); damage != nil {
			j, err = nil, fmt.Errorf("journal %s is damaged (%v); it is disposable: move it away, and offsite asks the targets what they hold", path, damage)
		}
	}()
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: 50 * time.Millisecond, FreelistType: bolt.FreelistMapType})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("journal %s: %w", path, ErrLocked)
	}
	if err != nil {
		return nil, fmt.Errorf("journal %s: %w; it is disposable: move it away, and offsite asks the targets what they hold", path, err)
	}
	db.MaxBatchDelay = 2 * time.Millisecond
	if err := db.Update(prepare); err != nil {
		db.Close()
		return nil, fmt.Errorf("journal %s: %w", path, err)
	}
	if err := db.View(sound); err != nil {
		db.Close()
		return nil, fmt.Errorf("journal %s is damaged (%w); it is disposable: move it away, and offsite asks the targets what they hold", path, err)
	}
	return &Journal{db}, syncDir(filepath.Dir(path))
}

// sound reads everything once: damage is better met here than in the middle of a delivery. (bbolt's own check runs in a
// goroutine of its own, whose faults nobody can catch.)
func sound(tx *bolt.Tx) error {
	return tx.ForEach(func(_ []byte, b *bolt.Bucket) error { return readAll(b) })
}

func readAll(b *bolt.Bucket) error {
	return b.ForEach(func(k, v []byte) error {
		if v == nil && b.Bucket(k) != nil {
			return readAll(b.Bucket(k))
		}
		return nil
	})
}

func prepare(tx *bolt.Tx) error {
	for _, name := range buckets {
		if _, err := tx.CreateBucketIfNotExists(name); err != nil {
			return err
		}
	}
	meta := tx.Bucket(bucketMeta)
	switch v := string(meta.Get([]byte("version"))); v {
	case version:
		return nil
	case "":
		return meta.Put([]byte("version"), []byte(version))
	default:
		return fmt.Errorf("it has version %s, this program writes %s; move it away, and offsite asks the targets what they hold", v, version)
	}
}

// syncDir makes a file that was just created survive a power cut.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// Close ends all use. Calls under way finish first.
func (j *Journal) Close() error { return j.db.Close() }

// File is what the system says of a file, as far as it tells one version of a dump from another.
type File struct {
	Dev, Ino uint64
	Size     int64
	// MTime and CTime in nanoseconds since 1970.
	MTime, CTime int64
}

// key leaves out ctime, which a rename, a chmod or another hard link changes without changing the dump.
func (f File) key() []byte {
	b := make([]byte, 0, 32)
	for _, v := range []uint64{f.Dev, f.Ino, uint64(f.Size), uint64(f.MTime)} {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	return b
}

func put(b *bolt.Bucket, key []byte, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return b.Put(key, text)
}

func get(b *bolt.Bucket, key []byte, v any) (bool, error) {
	text := b.Get(key)
	if text == nil {
		return false, nil
	}
	if err := json.Unmarshal(text, v); err != nil {
		return false, fmt.Errorf("journal entry %q is damaged: %w", key, err)
	}
	return true, nil
}
