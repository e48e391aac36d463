package doctor

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"syscall"
	"time"

	"offsite/agent/vault"
)

// What is worth a word about clocks and certificates. S3 refuses a host that is 15 minutes off.
const (
	skewWarning = time.Minute
	skewProblem = 5 * time.Minute
	renewSoon   = 21 * 24 * time.Hour
)

// place says what the place has told of itself.
func (v *visit) place() {
	f := v.facts
	if f.Ahead != nil {
		switch off := f.Ahead.Abs(); {
		case off >= skewProblem:
			v.problem("clock", "set this host's clock (timedatectl set-ntp true), or the server's", "this host's clock is %s %s that of the server", off, side(*f.Ahead))
		case off >= skewWarning:
			v.warning("clock", "set this host's clock (timedatectl set-ntp true), or the server's", "this host's clock is %s %s that of the server", off, side(*f.Ahead))
		default:
			v.ok("clock", "the clocks here and there agree, within %s", max(off, time.Second))
		}
	}
	if !f.Certificate.IsZero() {
		if left := f.Certificate.Sub(v.p.Now()); left < renewSoon {
			v.warning("certificate", "renew it, and see why nobody did", "the server's certificate expires in %s, on %s", days(left), f.Certificate.UTC().Format(time.DateOnly))
		} else {
			v.ok("certificate", "the server's certificate is good for %s", days(left))
		}
	}
	v.hostKey()
	v.disk()
	v.bucket()
}

func side(ahead time.Duration) string {
	if ahead > 0 {
		return "behind"
	}
	return "ahead of"
}

func (v *visit) hostKey() {
	c := v.t.SFTP
	if c == nil || v.facts.HostKey == "" {
		return
	}
	how := "which known_hosts has"
	if len(c.HostKey) > 0 {
		how = "which is pinned"
	}
	v.ok("host-key", "the server shows the host key %s, %s", v.facts.HostKey, how)
	if len(c.HostKey) == 0 && c.KnownHosts == "" {
		v.warning("host-key-pinned", "write its key as host_key: `offsite init` of a new configuration prints it", "the host key is looked up in ~/.ssh/known_hosts of whoever runs offsite: the agent may have another one, or none")
	}
	if !slices.Contains(v.facts.Extensions, "fsync@openssh.com") {
		v.ok("fsync", "the server cannot make files durable when asked (no fsync@openssh.com): an upload that is resumed is read back first")
	}
}

// disk says how much room there is, and whether a directory really is somewhere else.
func (v *visit) disk() {
	if f := v.facts.Free; f != nil {
		need := v.p.Need
		switch {
		case *f < need:
			v.problem("free", "make room there, or let its retention keep less", "%s are free there, and the newest dumps take %s: the next ones do not fit", bytesOf(*f), bytesOf(need))
		case *f < 3*need:
			v.warning("free", "make room there, or let its retention keep less", "%s are free there, and the newest dumps take %s", bytesOf(*f), bytesOf(need))
		default:
			v.ok("free", "%s are free there", bytesOf(*f))
		}
	}
	device := v.facts.Device
	if v.t.Dir == nil || device == nil {
		return
	}
	for _, w := range v.p.Config.Watch {
		if d, ok := deviceOf(w.Path); ok && d == *device {
			v.warning("same-disk", "mount another disk or a NAS at "+v.t.Dir.Path+", or add a target off this host", "it is on the same file system as the dumps in %s: what takes one takes both", w.Path)
			return
		}
	}
	if d, ok := deviceOf("/"); ok && d == *device {
		v.warning("root-disk", "mount a disk or a NAS at "+v.t.Dir.Path+"; if that is what should be there, it was marked by `offsite init` while it was not mounted", "it is on the host's root file system, and no disk or NAS is mounted there")
		return
	}
	v.ok("mounted", "it is a file system of its own, and marked as a target")
}

func deviceOf(path string) (uint64, bool) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return uint64(st.Dev), true
}

// bucket says what the bucket does by itself.
func (v *visit) bucket() {
	f, c := v.facts, v.facts.Lifecycle
	if c != nil && c.Objects > 0 {
		v.problem("lifecycle", "take that rule away below our prefix: retention here decides what goes", "a lifecycle rule of the bucket removes objects after %s, backups among them, whatever `keep` says", count(c.Objects, "day", "days"))
	}
	hides := v.t.S3 != nil && v.t.S3.Versions != "delete" || v.t.MinIO != nil && v.t.MinIO.Versions != "delete"
	switch {
	case f.Versions == nil:
	case !*f.Versions:
		v.ok("versions", "the bucket keeps no versions: what is removed is gone")
	case !hides:
		v.ok("versions", "the bucket keeps versions, and retention removes them too")
	case c != nil && c.Versions == 0 && !v.t.Locks():
		v.warning("versions", "add a lifecycle rule that removes noncurrent versions after some days, or write `versions: delete`", "the bucket keeps versions of all that retention removes, unseen and billed, for ever")
	default:
		v.ok("versions", "the bucket keeps versions of what is removed%s", after(c != nil && c.Versions > 0, func() string { return " for " + count(c.Versions, "day", "days") }))
	}
	if f.Lock != nil && f.Lock.Enabled && !v.t.Locks() {
		v.ok("object-lock", "the bucket has Object Lock%s; `lock:` would keep backups from being removed", after(f.Lock.Days > 0, func() string {
			return ", and locks what is new for " + count(f.Lock.Days, "day", "days") + " (" + f.Lock.Mode + ")"
		}))
	}
	switch {
	case c == nil:
	case c.Uploads > 0:
		v.ok("uploads", "the bucket removes unfinished uploads after %s", count(c.Uploads, "day", "days"))
	case v.prunes():
		v.ok("uploads", "the bucket has no rule against unfinished uploads (AbortIncompleteMultipartUpload); the agent removes its own after 7 days")
	default:
		v.warning("uploads", "add a lifecycle rule AbortIncompleteMultipartUpload after 7 days", "nothing removes uploads that were not finished, which are billed and unseen: the bucket has no rule, and `retention` is %s", v.t.Retention)
	}
}

func after(when bool, text func() string) string {
	if !when {
		return ""
	}
	return text()
}

// manifest verifies the newest backup's manifest with the keys that count here.
func (v *visit) manifest(ctx context.Context) {
	if v.p.Keys == nil {
		return // the signing key's finding says why
	}
	here := vault.New(v.target, v.p.Keys)
	var newest vault.Entry
	for e, err := range here.List(ctx, v.p.Config.Host) {
		if err != nil {
			return // that nothing can be listed is said
		}
		if e.Manifest && e.Taken.After(newest.Taken) {
			newest = e
		}
	}
	if newest.ID == "" {
		v.ok("manifest", "no backup of %s lies there yet", v.p.Config.Host)
		return
	}
	_, signer, err := here.Manifest(ctx, newest.Name)
	switch {
	case ctx.Err() != nil:
	case err == nil:
		v.ok("manifest", "the newest backup, %s of %s, is signed by %s", newest.Series, newest.Taken.Format(time.RFC3339), signer)
	case errors.Is(err, vault.ErrUntrusted):
		v.problem("manifest", "if this host had another signing key, put its verifier key, which the recovery kit has, under trust:; if not, somebody else writes under the name "+v.p.Config.Host,
			"the newest backup, %s of %s, is signed by a key that is not trusted here, %s", newest.Series, newest.Taken.Format(time.RFC3339), signer)
	case errors.Is(err, vault.ErrIntegrity):
		v.problem("manifest", "`offsite repair` brings it back from another target, or the dump", "the manifest of the newest backup is damaged: %v", said(err))
	case errors.Is(err, fs.ErrPermission): // that nothing can be read is said
	default:
		v.problem("manifest", v.remedy(err), "the manifest of the newest backup cannot be read: %v", said(err))
	}
}
