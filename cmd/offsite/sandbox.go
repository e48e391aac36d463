package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"offsite/configs"
)

// usualState is the state directory that the units have.
const usualState = "/var/lib/offsite"

// view is what a unit must see of the host beside what our units have bound already.
type view struct {
	read, write []string // directories and files
	credentials []string // names in the credential store
	// sealedIdentity says that drillIdentity is among them, in the place of the unit's own.
	sealedIdentity bool
}

// seesAlready are what every unit of ours sees.
var seesAlready = []string{"/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc/offsite", "/etc/ssl/certs", "/etc/ssh/ssh_known_hosts", usualState, "/run/offsite"}

// reads adds a file: a credential if it lies in the store, and else a path to bind.
func (v *view) reads(files ...string) {
	for _, f := range files {
		switch name, in := strings.CutPrefix(f, configs.CredentialStore+"/"); {
		case f == "":
		case in:
			if !slices.Contains(v.credentials, name) {
				v.credentials = append(v.credentials, name)
			}
		case !below(f, seesAlready) && !slices.Contains(v.read, f):
			v.read = append(v.read, f)
		}
	}
}

func (v *view) writes(dir string) {
	if !below(dir, seesAlready) && !slices.Contains(v.write, dir) {
		v.write = append(v.write, dir)
	}
}

// below says whether path is one of dirs or lies below one.
func below(path string, dirs []string) bool {
	return slices.ContainsFunc(dirs, func(dir string) bool {
		rel, err := filepath.Rel(dir, path)
		return err == nil && filepath.IsLocal(rel)
	})
}

// tells adds what it takes to tell of alarms.
func (v *view) tells(c *configs.Config) {
	for _, w := range c.Alarms.Ways {
		v.reads(w.URLFile)
		if w.Webhook != nil {
			v.reads(w.Webhook.URLFile, w.Webhook.SecretFile)
		}
		if len(w.Command) > 0 && filepath.IsAbs(w.Command[0]) {
			v.reads(w.Command[0])
		}
	}
}

// alarmView is what the unit needs that tells of the others' failure, and nothing of what may be that failure's cause: a target's key that
// is gone, say, for without a credential that it names no unit starts.
func alarmView(c *configs.Config) (v view) {
	v.tells(c)
	return v
}

// commonView is what the agent and the drills need by the configuration: targets, alarms, and the state.
func commonView(c *configs.Config, root string) (v view) {
	v.writes(c.State)
	v.reads(c.SigningKey)
	for _, t := range c.Targets {
		v.reads(t.Files()...)
		if t.Dir != nil {
			v.writes(boundFor(root, t.Dir.Path, c))
		}
	}
	v.tells(c)
	for _, p := range c.Alarms.Pings {
		v.reads(p.URLFile)
	}
	return v
}

// agentView is what the agent needs beside that.
func agentView(c *configs.Config, root string) view {
	v := commonView(c, root)
	for _, w := range c.Watch {
		v.reads(w.Path)
	}
	for _, l := range c.Listen {
		v.reads(l.TLSCertFile, l.TLSKeyFile)
		if path, unix := l.Unix(); unix {
			v.writes(filepath.Dir(path))
		}
	}
	if c.Socket != "" {
		v.writes(filepath.Dir(c.Socket))
	}
	return v
}

// drillIdentity is the credential that the unit of drills has by itself, unsealed.
const drillIdentity = "drill-identity"

// drillView is what drills need beside it.
func drillView(c *configs.Config, root string) view {
	v := commonView(c, root)
	for _, d := range c.Drills {
		v.reads(d.IdentityFile)
		if d.Postgres != nil {
			v.reads(d.Postgres.DSNFile)
		}
		if len(d.Command) > 0 && filepath.IsAbs(d.Command[0]) {
			v.reads(d.Command[0])
		}
	}
	v.credentials = slices.DeleteFunc(v.credentials, func(name string) bool { return name == drillIdentity })
	if exists(filepath.Join(root, configs.CredentialStore, drillIdentity+".cred")) {
		v.credentials, v.sealedIdentity = append(v.credentials, drillIdentity), true
	}
	return v
}

// boundFor is what is bound for a target that is a directory: its mount point, so that what is mounted there later is seen, too; or the
// directory itself where the mount point is more than a place for backups.
func boundFor(root, dir string, c *configs.Config) string {
	mount := mountPoint(root, dir)
	if below(mount, []string{"/mnt", "/media", "/run/media"}) && mount != "/mnt" && mount != "/media" {
		if !slices.ContainsFunc(c.Watch, func(w configs.Watch) bool { return below(w.Path, []string{mount}) }) {
			return mount
		}
	}
	return dir
}

// mountPoint is where the file system of dir is mounted. What is not there has the one of what would hold it.
func mountPoint(root, dir string) string {
	var last uint64
	point := dir
	for p := dir; ; p = filepath.Dir(p) {
		var st syscall.Stat_t
		if err := syscall.Stat(filepath.Join(root, p), &st); err == nil {
			if last != 0 && uint64(st.Dev) != last {
				return point
			}
			last, point = uint64(st.Dev), p
		}
		if p == "/" || p == "." {
			return p
		}
	}
}

// dropIn is a drop-in for a unit that adds the view.
func (v view) dropIn(root string) (string, error) {
	var b strings.Builder
	b.WriteString(writtenByInstall + "# What the configuration names; after a change there, run it again.\n")
	if v.sealedIdentity {
		fmt.Fprintf(&b, "[Unit]\n# The key that opens backups is sealed.\nConditionPathExists=\nConditionPathExists=%s\n", filepath.Join(configs.CredentialStore, drillIdentity+".cred"))
	}
	b.WriteString("[Service]\n")
	for _, path := range append(slices.Clone(v.read), v.write...) {
		if strings.ContainsAny(path, "\n\":%\\") {
			return "", fmt.Errorf("%q cannot be written into a unit: rename it", path)
		}
	}
	if slices.ContainsFunc(append(slices.Clone(v.read), v.write...), func(p string) bool { return below(p, []string{"/home", "/root", "/run/user"}) }) {
		b.WriteString("# All but what is bound stays hidden.\nProtectHome=tmpfs\n")
	}
	for _, path := range v.read {
		fmt.Fprintf(&b, "BindReadOnlyPaths=\"-%s\"\n", path)
	}
	for _, path := range v.write {
		fmt.Fprintf(&b, "BindPaths=\"-%s\"\n", path)
	}
	if v.sealedIdentity {
		b.WriteString("LoadCredential=\n")
	}
	for _, name := range v.credentials {
		file, key := filepath.Join(configs.CredentialStore, name), "LoadCredential"
		if _, err := os.Stat(filepath.Join(root, file+".cred")); err == nil {
			file, key = file+".cred", "LoadCredentialEncrypted"
		} else if _, err := os.Stat(filepath.Join(root, file)); err != nil {
			return "", usageError{fmt.Errorf("the configuration names the credential %s: put it into %s (mode 0600), or sealed into %s.cred by `systemd-creds encrypt --name=%s - %s.cred`", name, file, file, name, file)}
		}
		fmt.Fprintf(&b, "%s=%s:%s\n", key, name, file)
	}
	return b.String(), nil
}
