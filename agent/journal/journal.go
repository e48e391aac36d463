// Package journal is the agent's durable memory: which dump it found, under which sealing, and which target has it.
//
// It is a bbolt file, mode 0600, with these buckets:
//
//	meta      "version": the version of this layout; "run" -> Run, JSON
//	dumps     id of the dump's sealing, 8 hex digits -> Dump, JSON
//	digests   id -> bucket: block number, 8 bytes big-endian -> 64 bytes, crypto.Digest
//	files     device, inode, size, mtime, 32 bytes -> id of the newest dump with them, and 16 bytes
//	          more for Settled
//	paths     path -> id of the newest dump there
//	open      id -> nothing: dumps that are Unsettled
//	targets   name -> Place, JSON: where the target was when the journal last knew
//	verdicts  name -> bucket: object -> Verdict, JSON: what its manifest said when it was read
//	doomed    name -> bucket: object -> nothing: backups whose removal has begun
//	met       series, 0, taken, id -> found, size, health: the dumps in order, in short
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
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"offsite/agent/statefile"
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

	bucketMet      = []byte("met")
	bucketVerdicts = []byte("verdicts")
	bucketDoomed   = []byte("doomed")

	buckets = [][]byte{bucketMeta, bucketDumps, bucketDigests, bucketFiles, bucketPaths, bucketOpen, bucketTargets, bucketRemote, bucketVerdicts, bucketDoomed}
)

// ErrLocked can occur in Open: another process has the journal open.
var ErrLocked = errors.New("another offsite is using it")

// ErrUnusable can occur in Open: the journal is damaged, or of another version of this program. It is disposable: without it
// the agent asks the targets what they hold.
var ErrUnusable = errors.New("the journal cannot be used")

// Journal is one open journal. It may be used concurrently.
type Journal struct {
	db       *bolt.DB
	path     string
	recalled *recalled
}

// Open opens the journal file, or makes an empty one, in a directory that exists. It waits for nobody: a journal in
// use is ErrLocked. Close it.
//
// A journal that was not closed is read as a whole and written anew: damage is met here, where it can be caught, and not as a
// crash in the middle of a delivery, for bbolt trusts its pages; and a crash by such damage is mended by the next start.
func Open(path string) (*Journal, error) {
	closed, err := wasClosed(path)
	if err == nil && !closed {
		err = rewrite(path)
	}
	if err != nil {
		return nil, err
	}
	var db *bolt.DB
	err = guarded(func() (err error) {
		db, err = bolt.Open(path, 0o600, options(false))
		return err
	})
	if err != nil {
		return nil, opening(path, err)
	}
	db.MaxBatchDelay = 2 * time.Millisecond
	if err := db.Update(prepare); err != nil {
		return nil, errors.Join(fmt.Errorf("journal %s: %w", path, err), db.Close())
	}
	return &Journal{db, path, &recalled{dumps: map[string]decoded{}}}, syncDir(filepath.Dir(path))
}

func options(readOnly bool) *bolt.Options {
	return &bolt.Options{Timeout: 50 * time.Millisecond, FreelistType: bolt.FreelistMapType, ReadOnly: readOnly, OpenFile: statefile.Open}
}

func opening(path string, err error) error {
	if errors.Is(err, bolterrors.ErrTimeout) {
		return fmt.Errorf("journal %s: %w", path, ErrLocked)
	}
	if errors.As(err, new(*fs.PathError)) || errors.As(err, new(syscall.Errno)) || errors.Is(err, ErrUnusable) {
		return fmt.Errorf("journal %s: %w", path, err)
	}
	return fmt.Errorf("journal %s: %w: %w", path, ErrUnusable, err) // what is in the file is not what bbolt writes
}

// SetAside moves a journal that is ErrUnusable away, for whoever wants to look at it, and over what was moved so before. It
// gives the new path.
func SetAside(path string) (string, error) {
	away := path + ".unusable"
	if err := os.Rename(path, away); err != nil {
		return "", err
	}
	return away, syncDir(filepath.Dir(path))
}

func prepare(tx *bolt.Tx) error {
	for _, name := range buckets {
		if _, err := tx.CreateBucketIfNotExists(name); err != nil {
			return err
		}
	}
	if tx.Bucket(bucketMet) == nil {
		if err := fillMet(tx); err != nil {
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
		return fmt.Errorf("%w: it has version %s, this program writes %s", ErrUnusable, v, version)
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
func (j *Journal) Close() error {
	if err := j.db.Close(); err != nil {
		return err
	}
	markClosed(j.path)
	return nil
}

// Rest gives back the memory through which the journal was read, all of its file after a while: it stays in the system's cache, from
// where it comes again when it is asked for.
func (j *Journal) Rest() error {
	return j.db.View(func(tx *bolt.Tx) error { // under which the file stays where it is mapped
		_, _, errno := syscall.Syscall(syscall.SYS_MADVISE, tx.DB().Info().Data, uintptr(tx.Size()), syscall.MADV_DONTNEED)
		if errno != 0 {
			return errno
		}
		return nil
	})
}

// Run is when an agent used the journal last.
type Run struct {
	// First is when the first one began.
	First time.Time `json:"first"`
	Began time.Time `json:"began"`
	// Ended is when it stopped; zero: it has not, or it was killed.
	Ended time.Time `json:"ended,omitzero"`
	// Killed counts the runs before it, in a row, that have not ended.
	Killed int `json:"killed,omitempty"`
	// Once says that it was to ship what was due, and then to stop.
	Once bool `json:"once,omitempty"`
}

// LastRun is the last one; the zero Run: there was none.
func (j *Journal) LastRun() (r Run, err error) {
	err = j.db.View(func(tx *bolt.Tx) error {
		_, err := get(tx.Bucket(bucketMeta), []byte("run"), &r)
		return err
	})
	return r, err
}

// SetRun records a run, when it begins and when it ends.
func (j *Journal) SetRun(r Run) error {
	return j.db.Update(func(tx *bolt.Tx) error { return put(tx.Bucket(bucketMeta), []byte("run"), r) })
}

// Revision is another number after each change.
func (j *Journal) Revision() (n int) {
	j.db.View(func(tx *bolt.Tx) error { n = tx.ID(); return nil })
	return n
}

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
	read := func(text []byte) error { return json.Unmarshal(text, v) }
	if d, ok := v.(*Dump); ok {
		read = d.UnmarshalJSON
	}
	if err := read(text); err != nil {
		return false, fmt.Errorf("journal entry %q is damaged: %w", key, err)
	}
	return true, nil
}
