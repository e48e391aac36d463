package doctor

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"offsite/configs"
	"offsite/providers"
)

// ProbeName is the object by which a host tries what it may do; what an earlier run had to leave is written over.
func ProbeName(host string) string { return "offsite-probe-" + host }

const probeText = "offsite was here"

// visit is the look at one target.
type visit struct {
	Group
	p      *Patient
	t      configs.Target
	target providers.Target
	facts  providers.Facts
	probe  string
	// wrote says that the probe lies there.
	wrote bool
}

// examineTargets looks at all targets at once, and gives a channel for each, in their order.
func (p *Patient) examineTargets(ctx context.Context) (groups []chan Group) {
	for _, t := range p.targets() {
		group := make(chan Group, 1)
		groups = append(groups, group)
		go func() { group <- p.examineTarget(ctx, t) }()
	}
	return groups
}

func (p *Patient) examineTarget(ctx context.Context, t configs.Target) Group {
	v := &visit{Group: Group{Title: "target " + t.Name}, p: p, t: t, probe: ProbeName(p.Config.Host)}
	target, err := p.Open(t)
	if err != nil {
		v.problem("open", v.remedy(err), "it cannot be opened: %v", said(err))
		return v.Group
	}
	v.target, v.About = target, p.Place(t)
	ctx, cancel := context.WithTimeout(ctx, p.Timeout)
	defer cancel()
	if v.inspect(ctx) && v.rights(ctx) {
		v.manifest(ctx)
	}
	if ctx.Err() == context.DeadlineExceeded {
		v.problem("time", "look at the network and the server; --timeout gives it longer", "it did not answer all questions within %s", p.Timeout)
	}
	if err := target.Close(); err != nil {
		v.warning("close", "", "%v", said(err))
	}
	return v.Group
}

// inspect asks the place what it is. It is false if nothing else can be asked.
func (v *visit) inspect(ctx context.Context) bool {
	inspector, ok := v.target.(providers.Inspector)
	if !ok {
		return true
	}
	facts, err := inspector.Inspect(ctx)
	if err != nil {
		v.unusable(ctx, err)
		return false
	}
	v.facts = facts
	return true
}

// unusable says that nothing works there.
func (v *visit) unusable(ctx context.Context, err error) {
	if ctx.Err() == nil {
		v.problem("reach", v.remedy(err), "it cannot be used: %v", said(err))
	}
}

// rights tries what the agent must be able to do, one thing after the other. It is false if there is nothing more to ask.
func (v *visit) rights(ctx context.Context) bool {
	listErr := v.list(ctx)
	putErr := v.target.Put(ctx, v.probe, providers.Bytes([]byte(probeText)))
	if ctx.Err() != nil {
		v.forget()
		return false
	}
	if putErr != nil && listErr != nil && errors.Is(putErr, fs.ErrPermission) == errors.Is(listErr, fs.ErrPermission) {
		v.unusable(ctx, putErr) // one trouble is told once
		return false
	}
	v.right("put", "write", putErr, true)
	v.wrote = putErr == nil
	if v.wrote {
		_, err := v.target.Stat(ctx, v.probe)
		v.right("stat", "look at what is there", err, v.prunes())
		v.right("get", "read", v.get(ctx), v.prunes())
	}
	v.right("list", "list", listErr, v.prunes())
	v.place()
	if v.wrote {
		v.remove(ctx, v.lock(ctx))
	}
	return ctx.Err() == nil
}

// prunes says whether the agent needs more than to write: what it does not remove, it need not look at.
func (v *visit) prunes() bool { return v.t.Retention == "enforce" }

func (v *visit) list(ctx context.Context) error {
	for _, err := range v.target.List(ctx, v.probe) {
		return err
	}
	return nil
}

func (v *visit) get(ctx context.Context) error {
	r, err := v.target.Get(ctx, v.probe, 0, -1)
	if err != nil {
		return err
	}
	b, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		return err
	}
	if string(b) != probeText {
		return fmt.Errorf("what was read is not what was written: %w", providers.ErrCorrupt)
	}
	return nil
}

// right says whether something worked that the agent needs, or can do without.
func (v *visit) right(name, verb string, err error, needed bool) {
	switch {
	case err == nil:
		v.ok(name, "may %s", verb)
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled): // that the time was over is said
	case !needed && errors.Is(err, fs.ErrPermission):
		v.warning(name, v.remedy(err), "may not %s: nothing can be verified, restored or repaired from here, and after a crash dumps are sent again (%v)", verb, said(err))
	default:
		v.problem(name, v.missingRight(name, err), "may not %s: %v", verb, said(err))
	}
}

// lock tries to keep the probe from being removed for a moment, where backups are to be locked; until is when that ends.
func (v *visit) lock(ctx context.Context) (until time.Time) {
	locker, ok := v.target.(providers.Locker)
	if !ok || !v.t.Locks() {
		return until
	}
	if err := locker.CheckLock(ctx); err != nil {
		v.problem("lock", "make a bucket with Object Lock, and name that; or take lock: out", "%v", said(err))
		return until
	}
	if d := v.facts.Lock; d != nil && d.Days > 0 {
		v.ok("lock", "may lock: the bucket itself locks what is new for %s (%s)", count(d.Days, "day", "days"), d.Mode)
		return until
	}
	now, err := locker.Now(ctx)
	if err == nil {
		until = now.Add(lockFor)
		err = locker.Lock(ctx, v.probe, until)
	}
	if err != nil {
		v.problem("lock", v.missingRight("lock", err), "may not lock: %v", said(err))
		return time.Time{}
	}
	if why, err := locker.Locked(ctx, v.probe); why == nil && err == nil {
		v.warning("lock", v.permission("s3:GetObjectRetention"), "may lock, and may not see how long something is locked")
	} else {
		v.ok("lock", "may lock")
	}
	return until
}

// lockFor is how long the probe is locked: stores tell time to the second.
const lockFor = 3 * time.Second

// remove removes the probe, whatever has happened to ctx.
func (v *visit) remove(ctx context.Context, locked time.Time) {
	err := v.target.Delete(ctx, v.probe)
	if ctx.Err() != nil {
		v.forget()
		return
	}
	var kept *providers.Retained
	switch {
	case errors.As(err, &kept) || err == nil:
		v.ok("delete", "may remove%s", v.purge(ctx, locked))
	case !v.prunes() && errors.Is(err, fs.ErrPermission):
		v.ok("delete", "may not remove, which `retention: %s` does not need; the probe %s stays", v.t.Retention, v.probe)
	default:
		v.problem("delete", v.missingRight("delete", err), "may not remove; the probe %s stays: %v", v.probe, said(err))
	}
}

// purge removes what a bucket with versions keeps of the probe, and says what is left of it.
func (v *visit) purge(ctx context.Context, locked time.Time) (left string) {
	if v.facts.Versions == nil || !*v.facts.Versions {
		return ""
	}
	if !locked.IsZero() {
		select {
		case <-time.After(lockFor + time.Second):
		case <-ctx.Done():
		}
	}
	all := v.t
	switch { // copies: the agent's configuration stays as it is
	case all.S3 != nil:
		c := *all.S3
		c.Versions, all.S3 = "delete", &c
	case all.MinIO != nil:
		c := *all.MinIO
		c.Versions, all.MinIO = "delete", &c
	}
	target, err := v.p.Open(all)
	if err == nil {
		err = errors.Join(target.Delete(ctx, v.probe), target.Close())
	}
	var kept *providers.Retained
	switch {
	case errors.As(err, &kept):
		return fmt.Sprintf("; a version of the probe %s stays, %v", v.probe, kept)
	case err != nil:
		return fmt.Sprintf("; the bucket keeps a version of the probe %s, which these keys may not remove", v.probe)
	}
	return ""
}

// forget tries to remove the probe when the time is over.
func (v *visit) forget() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	v.target.Delete(ctx, v.probe) // it may not be there
}

// missingRight is the permission that an operation lacks, if that is what it lacks.
func (v *visit) missingRight(op string, err error) string {
	if !errors.Is(err, fs.ErrPermission) && !failed(err) {
		return v.remedy(err)
	}
	switch {
	case v.t.S3 != nil || v.t.MinIO != nil:
		return v.permission(map[string]string{
			"put": "s3:PutObject", "stat": "s3:GetObject", "get": "s3:GetObject", "list": "s3:ListBucket (on the bucket itself)",
			"delete": "s3:DeleteObject", "lock": "s3:PutObjectRetention and s3:GetObjectRetention",
		}[op])
	case v.t.SFTP != nil:
		return "on the server, let " + v.t.SFTP.User + " read and write there: chown -R " + v.t.SFTP.User + " " + v.t.SFTP.Path + "; look whether its disk is full or mounted read-only"
	case v.t.Dir != nil:
		return "let the agent's user write to " + filepath.Join(v.t.Dir.Path, v.p.Config.Host) + ", which `offsite install` gives it, and doctor to " + v.t.Dir.Path + ": run it as root"
	}
	return v.remedy(err)
}

// failed says that an SSH server gave no reason, which is also what it says of a disk that is full or read-only.
func failed(err error) bool { return strings.Contains(err.Error(), "SSH_FX_FAILURE") }

func (v *visit) permission(action string) string {
	remedy := "allow these keys " + action
	if strings.Contains(action, "Delete") {
		remedy += "; or write `retention: off`, and let another machine prune"
	}
	return remedy
}

// remedy is what to do about an error that is not about one right.
func (v *visit) remedy(err error) string {
	var cert x509.CertificateInvalidError
	text := err.Error()
	switch {
	case errors.As(err, &cert) && cert.Reason == x509.Expired:
		return "renew the server's certificate, or set the clock that is wrong"
	case errors.As(err, new(x509.UnknownAuthorityError)):
		return "name the certificate of its authority as ca_file"
	case errors.As(err, new(x509.HostnameError)):
		return "write the name in endpoint that the certificate has"
	case strings.Contains(text, "shows the host key"):
		return "ask the server's owner whether its key was changed; if it was, write the new one as host_key; if not, somebody stands in between"
	case v.t.Dir != nil && errors.Is(err, providers.ErrPermanent) && !errors.Is(err, syscall.EROFS):
		return "mount it; if it is mounted and new, `offsite init` marks it"
	case v.t.SFTP != nil && strings.Contains(text, "is not on the server"):
		return "mount its disk on the server; if it is new, `offsite init` makes the directory"
	case strings.Contains(text, "bucket, region and endpoint"):
		return "make the bucket, or name the right one in bucket, region and endpoint"
	case errors.Is(err, fs.ErrPermission) && v.t.SFTP != nil:
		return "put the public key of key_file into ~/.ssh/authorized_keys of " + v.t.SFTP.User + " there, or write the right user and password_file"
	case errors.Is(err, fs.ErrPermission):
		return "write the right access key and secret key, or allow these more"
	case errors.Is(err, os.ErrNotExist):
		return "put that file back, or name the right one"
	}
	return "see whether the server runs and can be reached from here"
}

// Visit looks at one target, as Examine does; what Examine alone needs may be left out of p.
func (p *Patient) Visit(ctx context.Context, t configs.Target) Group { return p.examineTarget(ctx, t) }
