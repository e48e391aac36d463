package doctor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"offsite/agent/watch"
)

// LookCommand is the hidden command by which the program runs itself as the agent's user: Look from standard input to output.
const LookCommand = "doctor-look"

// question is what to look at, and answer what was seen, by whoever looks.
type question struct {
	Dirs  []watch.Dir
	State string
	// Write are the directories of targets, or this host's part of them.
	Write []string
	// Must are files that the agent has to read, and MustNot those that it should not be able to.
	Must, MustNot []string
}

type answer struct {
	Dirs       []dirAnswer
	State      string            // why nothing can be written there; empty: it can
	Unreadable map[string]string // those of Must, and why
	Unwritable map[string]string // those of Write, and why
	Readable   []string          // those of MustNot
}

type dirAnswer struct {
	// Directories and Files were seen; Unreadable of them could not be read, the first for this reason.
	Directories, Files, Unreadable int
	Why                            string
	// NoLease says why the kernel does not tell when a file is finished; empty: it does, or there is no file.
	NoLease string
	Remote  bool
}

// Look reads a question, looks, and writes the answer.
func Look(ctx context.Context, in io.Reader, out io.Writer) error {
	var q question
	if err := json.NewDecoder(in).Decode(&q); err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(look(ctx, q))
}

func look(ctx context.Context, q question) answer {
	a := answer{Unreadable: map[string]string{}, Unwritable: map[string]string{}}
	for _, d := range q.Dirs {
		a.Dirs = append(a.Dirs, lookAt(ctx, d))
	}
	if err := unix.Access(q.State, unix.W_OK|unix.X_OK|unix.R_OK); err != nil {
		a.State = err.Error()
	}
	for _, path := range q.Write {
		if err := unix.Access(path, unix.W_OK|unix.X_OK|unix.R_OK); err != nil && !errors.Is(err, fs.ErrNotExist) {
			a.Unwritable[path] = err.Error()
		}
	}
	for _, path := range q.Must {
		if err := readable(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			a.Unreadable[path] = cause(err)
		}
	}
	for _, path := range q.MustNot {
		if readable(path) == nil {
			a.Readable = append(a.Readable, path)
		}
	}
	return a
}

// mostOpened bounds how many files of a directory are opened.
const mostOpened = 5000

func lookAt(ctx context.Context, d watch.Dir) (a dirAnswer) {
	a.Remote = watch.Remote(d.Path)
	unreadable := func(path string, err error) {
		if a.Unreadable++; a.Unreadable == 1 {
			a.Why = path + ": " + cause(err)
		}
	}
	leased := false
	for f, err := range d.List(ctx) {
		switch {
		case err != nil:
			unreadable(f.Path, err)
		case f.IsDir:
			a.Directories++
		default:
			if a.Files++; a.Files > mostOpened {
				continue
			}
			if err := readable(f.Path); err != nil {
				unreadable(f.Path, err)
				continue
			}
			if !leased && f.ID.Size > 0 {
				leased = true
				if err := watch.Leases(f.Path); errors.Is(err, watch.ErrNoLease) {
					a.NoLease = cause(err)
				}
			}
		}
	}
	return a
}

// readable opens a file for reading, without waiting for whatever it may be.
func readable(path string) error {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	return f.Close()
}

// cause is an error without the path, which is said beside it.
func cause(err error) string {
	if p := new(fs.PathError); errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}

// account is whom the agent runs as.
type account struct {
	name   string
	uid    int
	gid    int
	groups []uint32
	caps   []uintptr // ambient capabilities that the service gives it
	other  bool      // it is not who asks
	err    error     // it cannot be found
}

// String is how people call it.
func (a account) String() string {
	if a.name != "" {
		return a.name
	}
	return "the user " + itoa(a.uid)
}

// agentUser is that of the flag, of the service, or whoever asks.
func (p *Patient) agentUser(u unit) account {
	name := p.User
	if name == "" {
		name = u.get("User")
	}
	if name == "" && !u.installed() {
		return self()
	}
	if name == "" {
		name = "root"
	}
	found, err := user.Lookup(name)
	if err != nil {
		return account{name: name, other: true, err: err}
	}
	a := account{name: name, caps: capabilities(u.get("AmbientCapabilities"))}
	a.uid, _ = strconv.Atoi(found.Uid)
	a.gid, _ = strconv.Atoi(found.Gid)
	ids, _ := found.GroupIds()
	for _, id := range ids {
		if n, err := strconv.ParseUint(id, 10, 32); err == nil {
			a.groups = append(a.groups, uint32(n))
		}
	}
	a.other = a.uid != os.Geteuid()
	return a
}

func self() account {
	a := account{uid: os.Geteuid(), gid: os.Getegid()}
	if found, err := user.Current(); err == nil {
		a.name = found.Username
	}
	return a
}

// capabilities are those that let a user read what is not its own, and ask for leases.
func capabilities(names string) (caps []uintptr) {
	for _, c := range []struct {
		name   string
		number uintptr
	}{{"cap_dac_override", unix.CAP_DAC_OVERRIDE}, {"cap_dac_read_search", unix.CAP_DAC_READ_SEARCH}, {"cap_lease", unix.CAP_LEASE}} {
		for _, name := range strings.Fields(strings.ToLower(names)) {
			if name == c.name {
				caps = append(caps, c.number)
			}
		}
	}
	return caps
}

// reach is what the agent can get at. Its error is that nobody can tell.
func (p *Patient) reach(ctx context.Context, as account) (a answer, err error) {
	q := question{State: p.Config.State, Must: []string{p.Path, p.Config.SigningKey}}
	for _, w := range p.Config.Watch {
		path := w.Path
		if real, err := filepath.EvalSymlinks(path); err == nil {
			path = real // below it, links are not followed
		}
		q.Dirs = append(q.Dirs, watch.Dir{Path: path, Include: w.Include, Exclude: w.Exclude})
	}
	for _, t := range p.Config.Targets {
		q.Must = append(q.Must, t.Files()...)
		if t.Dir != nil {
			q.Write = append(q.Write, p.writes(t.Dir.Path))
		}
	}
	for _, d := range p.Config.Drills {
		if d.IdentityFile != "" {
			q.MustNot = append(q.MustNot, d.IdentityFile)
		}
	}
	switch {
	case as.err != nil:
		return look(ctx, q), as.err
	case !as.other:
		return look(ctx, q), nil
	case os.Geteuid() != 0:
		return look(ctx, q), errors.New("only root can look as somebody else")
	}
	if a, err = lookAs(ctx, as, q); err != nil {
		return look(ctx, q), err
	}
	return a, nil
}

// writes is what the agent writes to of a target that is a directory: its host's part, or all of it to make that. Others may have theirs there.
func (p *Patient) writes(target string) string {
	if own := filepath.Join(target, p.Config.Host); !missing(own) {
		return own
	}
	return target
}

// lookAs lets this program look as that user, by the kernel's rules: groups, access lists and capabilities count.
func lookAs(ctx context.Context, as account, q question) (a answer, err error) {
	text, err := json.Marshal(q)
	if err != nil {
		return a, err
	}
	cmd := exec.CommandContext(ctx, "/proc/self/exe", LookCommand)
	cmd.Args[0] = "offsite"
	cmd.Dir, cmd.Env = "/", []string{}
	cmd.Stdin = bytes.NewReader(text)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Credential:  &syscall.Credential{Uid: uint32(as.uid), Gid: uint32(as.gid), Groups: as.groups},
		AmbientCaps: as.caps,
	}
	out, err := cmd.Output()
	if err != nil {
		return a, fmt.Errorf("this program cannot run as %s: %w", as, err)
	}
	return a, json.Unmarshal(out, &a)
}
