package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"offsite/configs"
	"offsite/systemd"
)

const (
	// writtenByInstall is the first line of every file that install writes: what lacks it is somebody else's.
	writtenByInstall = "# Written by `offsite install`; `offsite install --undo` removes it.\n"
	// copiedProgram is a line of the agent's unit if the program was copied for it.
	copiedProgram = "# The program was copied to " + programCopy + " for it.\n"
	// programCopy is where a program goes that lies where the service would not see it, or where others can change it.
	programCopy = "/usr/local/bin/offsite"
	unitDir     = "/etc/systemd/system"
	packageUnit = "/usr/lib/systemd/system/offsite.service"
	dropInName  = "50-offsite-install.conf"
	// replacedSuffix is that of a file that was written anew: systemd reads none with such a name.
	replacedSuffix = ".offsite-old"
	serviceUser    = "offsite"
)

// enabledUnits are enabled and started, in this order: what the agent is given comes before it.
var enabledUnits = []string{"offsite-status.socket", "offsite-page.socket", "offsite-resolv.path", "offsite-drill.timer", "offsite.service"}

// againTimer is started when the agent is given up.
const againTimer = "offsite-again.timer"

// installing is one run of the command.
type installing struct {
	config  string
	root    string // stands for /; empty: this host
	starts  bool   // systemd runs it, so that units are started and stopped there
	program string // this one, which the service is to run
	dry     bool
	std     streams
}

func installCommand(config *string, std streams) *cobra.Command {
	in := installing{std: std}
	var undo bool
	cmd := &cobra.Command{
		Use: "install", Short: "Make the agent a service of systemd; --undo takes that back", Args: usage(cobra.NoArgs),
		Long: `Writes the units of the service, its user and directories, and what the configuration needs in the units' sandbox, starts the service,
and says each thing that it does. After a change of the configuration that names other directories, files or credentials it does what is
missing. With a package of the distribution, which has the units already, only the latter is written.

A secret that the configuration names without a slash (key_file: shore-key) is a credential: it lies in ` + configs.CredentialStore + `,
sealed by systemd-creds as shore-key.cred if you like.

--undo stops the service and removes all that install wrote. Backups, configuration, keys and state stay.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			in.config, in.starts = *config, in.root == ""
			if err := in.possible(); err != nil {
				return err
			}
			if undo {
				return in.undo(cmd.Context())
			}
			program, err := os.Executable()
			if err == nil {
				in.program, err = filepath.EvalSymlinks(program)
			}
			if err != nil {
				return err
			}
			return in.install(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.BoolVar(&undo, "undo", false, "stop the service, and remove what install wrote")
	f.BoolVar(&in.dry, "dry-run", false, "only say what would be done")
	f.StringVar(&in.root, "root", "", "write below this directory instead of /, and start nothing")
	return cmd
}

func (in *installing) path(p string) string { return filepath.Join("/", in.root, p) }

// step says what is done, and does it.
func (in *installing) step(do func() error, format string, args ...any) error {
	fmt.Fprintf(in.std.err, format+"\n", args...)
	if in.dry {
		return nil
	}
	return do()
}

// run runs a program of systemd, whose failure says what it said.
func (in *installing) run(ctx context.Context, argv ...string) error {
	return in.step(func() error {
		out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, bytes.TrimSpace(out))
		}
		return nil
	}, "runs %s", strings.Join(argv, " "))
}

// possible says why nothing can be done here.
func (in *installing) possible() error {
	if !in.starts {
		return nil
	}
	if _, err := os.Stat("/run/systemd/system"); err != nil {
		return errors.New("systemd does not run this host, so that a unit would start nothing. Let whatever starts services here run `offsite agent`, or cron `offsite agent --once`; --root DIR writes the units elsewhere")
	}
	if os.Geteuid() != 0 {
		return errors.New("only root may install a service: sudo offsite install")
	}
	return nil
}

// install does what is missing. What it cannot do safely is found before anything is written.
func (in *installing) install(ctx context.Context) error {
	if in.config != configs.DefaultPath {
		return usageError{fmt.Errorf("the service reads %s, and not %s: move the configuration there", configs.DefaultPath, in.config)}
	}
	c, err := in.load()
	if err != nil {
		return err
	}
	files, err := in.files(c)
	if err != nil {
		return err
	}
	if err := in.write(files); err != nil {
		return err
	}
	if !in.starts {
		fmt.Fprintln(in.std.err, "nothing was started, since --root is given")
		return nil
	}
	if err := in.prepare(ctx); err != nil {
		return err
	}
	given := in.give(c)
	if err := in.start(ctx); err != nil {
		return errors.Join(given, err)
	}
	if given != nil {
		return fmt.Errorf("%w\n%w", errUnprepared, given)
	}
	if !in.dry {
		fmt.Fprintln(in.std.err, "\nThe service runs. `offsite status` says whether everything is safe, `offsite doctor` what is still to be done.")
	}
	return nil
}

// load reads the configuration as the service will: a secret without a slash is a credential.
func (in *installing) load() (*configs.Config, error) {
	if err := os.Setenv("CREDENTIALS_DIRECTORY", configs.CredentialStore); err != nil {
		return nil, err
	}
	if in.root != "" {
		return loadToRead(in.path(in.config))
	}
	return loadConfig(in.config)
}

// packaged says whether a package of the distribution is there, which has the units.
func (in *installing) packaged() bool { return exists(in.path(packageUnit)) }

// prepare makes the user and the directories, by the files of this name that install or the package has written. The package has made them
// once, but what lies in /run may be gone.
func (in *installing) prepare(ctx context.Context) error {
	return errors.Join(in.run(ctx, "systemd-sysusers", "offsite.conf"), in.run(ctx, "systemd-tmpfiles", "--create", "offsite.conf"))
}

// installed is a file that install writes.
type installed struct {
	path string
	text []byte
	mode fs.FileMode
	from string // set for the program: it is copied from there
}

// files are all that belong on the host, by the configuration of now.
func (in *installing) files(c *configs.Config) (all []installed, err error) {
	if !in.packaged() {
		if all, err = in.units(); err != nil {
			return nil, err
		}
	}
	for unit, v := range map[string]view{"offsite.service": agentView(c, in.root), "offsite-drill.service": drillView(c, in.root), "offsite-alarm@.service": alarmView(c)} {
		for _, name := range v.credentials {
			if strings.Contains(name, "/") {
				return nil, usageError{fmt.Errorf("the service does not see %s: put that file into %s itself, and write its name alone, %s", filepath.Join(configs.CredentialStore, name), configs.CredentialStore, filepath.Base(name))}
			}
		}
		text, err := v.dropIn(in.path("/"))
		if err != nil {
			return nil, err
		}
		all = append(all, installed{path: filepath.Join(unitDir, unit+".d", dropInName), text: []byte(text), mode: 0o644})
	}
	slices.SortFunc(all, func(a, b installed) int { return strings.Compare(a.path, b.path) })
	for _, f := range all {
		if err := in.ours(f); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// units are the files of package systemd, and the program if it has to be copied for them.
func (in *installing) units() (all []installed, err error) {
	program, header := in.program, writtenByInstall
	switch copy := in.path(programCopy); {
	case sameFile(program, copy):
		if program = programCopy; in.copied() {
			header += copiedProgram
		}
	case !servable(program):
		all = append(all, installed{path: programCopy, mode: 0o755, from: program})
		program, header = programCopy, header+copiedProgram
	}
	if program == programCopy {
		if err := in.guarded(programCopy); err != nil {
			return nil, err
		}
	}
	err = fs.WalkDir(systemd.Files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := systemd.Files.ReadFile(name)
		to := filepath.Join(unitDir, name)
		if strings.Contains(name, "/") {
			to = filepath.Join("/etc", name)
		}
		text = bytes.ReplaceAll(text, []byte("="+systemd.Program+" "), []byte("="+program+" "))
		all = append(all, installed{path: to, text: append([]byte(header), text...), mode: 0o644})
		return err
	})
	return all, err
}

// servable says whether the service would see the program where it is, and only root can change it.
func servable(program string) bool {
	if !below(program, []string{"/usr"}) {
		return false
	}
	for p := program; p != "/"; p = filepath.Dir(p) {
		info, err := os.Lstat(p)
		if err != nil || info.Mode().Perm()&0o022 != 0 || info.Sys().(*syscall.Stat_t).Uid != 0 {
			return false
		}
	}
	return true
}

// guarded refuses a place for the program where anybody may put another one, and says so if a group may: Debian's staff, which is made for
// that and is empty unless somebody adds to it, may write to /usr/local/bin.
func (in *installing) guarded(program string) error {
	for p := program; p != "/"; p = filepath.Dir(p) {
		info, err := os.Lstat(in.path(p))
		if errors.Is(err, fs.ErrNotExist) {
			continue // and is made by root
		}
		if err != nil {
			return err
		}
		owner := info.Sys().(*syscall.Stat_t)
		switch mode := info.Mode().Perm(); {
		case info.Mode()&fs.ModeSymlink != 0: // its mode says nothing
		case mode&0o002 != 0:
			return usageError{fmt.Errorf("everybody may write to %s, and so change the program that the service runs: chmod o-w %[1]s", in.path(p))}
		case int(owner.Uid) != 0 && int(owner.Uid) != os.Geteuid():
			return usageError{fmt.Errorf("%s belongs to %s, who may so change the program that the service runs: chown root %[1]s", in.path(p), userName(owner.Uid))}
		case mode&0o020 != 0 && owner.Gid != 0:
			fmt.Fprintf(in.std.err, "warning: the group %s may write to %s, and so change the program that the service runs; if that is not meant to be so: chmod g-w %[2]s\n", groupName(owner.Gid), in.path(p))
		}
	}
	return nil
}

func userName(id uint32) string {
	if u, err := user.LookupId(fmt.Sprint(id)); err == nil {
		return u.Username
	}
	return fmt.Sprint("the user ", id)
}

func groupName(id uint32) string {
	if g, err := user.LookupGroupId(fmt.Sprint(id)); err == nil {
		return g.Name
	}
	return fmt.Sprint(id)
}

// sameFile says whether both names are those of one file that is there.
func sameFile(a, b string) bool {
	one, err1 := os.Stat(a)
	other, err2 := os.Stat(b)
	return err1 == nil && err2 == nil && os.SameFile(one, other)
}

// ours refuses a file that is there and that install did not write.
func (in *installing) ours(f installed) error {
	there, err := os.ReadFile(in.path(f.path))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case f.from != "":
		if in.copied() {
			return nil
		}
		return usageError{fmt.Errorf("%s is another program, which `offsite install` did not put there: run that one, or move it away", in.path(f.path))}
	case bytes.HasPrefix(there, []byte(writtenByInstall)):
		return nil
	}
	return usageError{fmt.Errorf("%s is there, and `offsite install` did not write it: move it away first (what you want to change in a unit belongs into a drop-in of your own: systemctl edit)", in.path(f.path))}
}

// copied says whether an earlier install has copied the program.
func (in *installing) copied() bool {
	unit, err := os.ReadFile(in.path(filepath.Join(unitDir, agentUnit)))
	return err == nil && bytes.HasPrefix(unit, []byte(writtenByInstall+copiedProgram))
}

// write writes the files that are not as they should be.
func (in *installing) write(files []installed) error {
	for _, f := range files {
		to := in.path(f.path)
		if there, err := os.ReadFile(to); err == nil && f.from == "" && bytes.Equal(there, f.text) {
			continue
		}
		kept, what := "", "writes "+to
		if f.from == "" && exists(to) {
			kept = to + replacedSuffix
			what = fmt.Sprintf("writes %s anew, and keeps what was there as %s (changes of your own belong into a drop-in: systemctl edit)", to, kept)
		}
		if f.from != "" {
			what = fmt.Sprintf("copies this program, %s, to %s, where the service sees it and only root can change it", f.from, to)
		}
		err := in.step(func() error {
			if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
				return err
			}
			if kept != "" {
				if err := os.Rename(to, kept); err != nil {
					return err
				}
			}
			return writeFile(to, true, func(w *os.File) error { return f.fill(w) })
		}, "%s", what)
		if err != nil {
			return err
		}
	}
	return nil
}

func (f installed) fill(w *os.File) (err error) {
	if f.from == "" {
		_, err = w.Write(f.text)
	} else {
		var r *os.File
		if r, err = os.Open(f.from); err != nil {
			return err
		}
		defer r.Close()
		_, err = io.Copy(w, r)
	}
	return errors.Join(err, w.Chmod(f.mode))
}

// start starts all units, with what was written.
func (in *installing) start(ctx context.Context) error {
	if err := in.run(ctx, "systemctl", "daemon-reload"); err != nil {
		return err
	}
	if err := in.run(ctx, "systemctl", "stop", agentUnit); err != nil {
		return err
	}
	for _, unit := range enabledUnits {
		if err := in.run(ctx, "systemctl", "enable", "--now", unit); err != nil {
			return fmt.Errorf("%w\nThe units are written, but the agent may not run: then no dump is shipped. What it says: journalctl -u %s\n"+
				"Mend that, or put the configuration of before back, and run `offsite install` again; `offsite install --undo` removes the service", err, unit)
		}
	}
	return nil
}
