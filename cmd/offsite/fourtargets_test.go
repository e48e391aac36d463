package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	minioclient "github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"offsite/test/servers"
)

// installation is the built program with a directory of dumps and the four targets of the real world.
type installation struct {
	t                   *testing.T
	program, dir, dumps string
	minio, versity      *servers.S3
	ssh                 *servers.OpenSSH
	identity            string
}

var fourTargets = []string{"nas", "minio", "versity", "shore"}

// install builds the program, starts the servers, and runs init.
func install(t *testing.T, targets ...string) *installation {
	t.Helper()
	dir := t.TempDir()
	in := &installation{t: t, program: filepath.Join(dir, "offsite"), dir: dir, dumps: filepath.Join(dir, "backups"), identity: filepath.Join(dir, "id.txt")}
	if out, err := exec.Command("go", "build", "-o", in.program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.Mkdir(in.dumps, 0o755); err != nil {
		t.Fatal(err)
	}
	keys := func(s *servers.S3) string {
		access, secret := filepath.Join(dir, "access"), filepath.Join(dir, "secret")
		os.WriteFile(access, []byte(s.AccessKey), 0o600)
		os.WriteFile(secret, []byte(s.SecretKey), 0o600)
		return "/backups/db?access_key_file=" + access + "&secret_key_file=" + secret
	}
	args := []string{"init", "--yes", "--host", "db-server", "--zone", "UTC", "--state", filepath.Join(dir, "state"), "--watch", in.dumps}
	for _, target := range targets {
		place := filepath.Join(dir, "nas")
		switch target {
		case "minio":
			in.minio = servers.MinIO(t, false)
			place = "s3+" + in.minio.Endpoint + keys(in.minio)
		case "versity":
			in.versity = servers.VersityGW(t)
			place = "s3+" + in.versity.Endpoint + keys(in.versity)
		case "locked": // Object Lock on MinIO; what is removed goes with all its versions
			in.minio.MakeBucket(t, "locked", true)
			place = strings.Replace("s3+"+in.minio.Endpoint+keys(in.minio), "/backups/", "/locked/", 1) + "&lock=compliance&versions=delete"
		case "versions": // what is removed is hidden
			in.versity.MakeBucket(t, "versions", false)
			place = strings.Replace("s3+"+in.versity.Endpoint+keys(in.versity), "/backups/", "/versions/", 1)
		case "shore":
			in.ssh = servers.StartOpenSSH(t)
			place = fmt.Sprintf("sftp://%s@%s:%d/db?key_file=%s", in.ssh.User, in.ssh.Host, in.ssh.Port, in.ssh.KeyFile)
		}
		args = append(args, "--target", target+"="+place)
	}
	in.run(0, args...)
	kit, err := os.ReadFile(filepath.Join(dir, kitName))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(in.identity, regexp.MustCompile(`AGE-SECRET-KEY-\S+`).Find(kit), 0o600); err != nil {
		t.Fatal(err)
	}
	return in
}

func (in *installation) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, in.program, append([]string{"--config", filepath.Join(in.dir, "offsite.yaml")}, args...)...)
	cmd.Dir = in.dir
	return cmd
}

// configure replaces the keep line of the configuration.
func (in *installation) configure(keep string) {
	in.t.Helper()
	path := filepath.Join(in.dir, "offsite.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		in.t.Fatal(err)
	}
	text = regexp.MustCompile(`(?m)^keep:.*$`).ReplaceAll(text, []byte(keep))
	if err := os.WriteFile(path, text, 0o644); err != nil {
		in.t.Fatal(err)
	}
}

// run runs the program to its end, and gives its standard output and error.
func (in *installation) run(want int, args ...string) (string, string) {
	in.t.Helper()
	cmd := in.command(in.t.Context(), args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if code := cmd.ProcessState.ExitCode(); code != want {
		in.t.Fatalf("offsite %q: exit code %d (%v), want %d\n%s", args, code, err, want, errs.String())
	}
	return out.String(), errs.String()
}

func (in *installation) list() (all []listed) {
	in.t.Helper()
	out, _ := in.run(0, "list", "--json")
	if err := json.Unmarshal([]byte(out), &all); err != nil {
		in.t.Fatalf("%v: %s", err, out)
	}
	return all
}

// object is what lies on a target, as a stranger with the store's own client gets it.
func (in *installation) object(target, name string) []byte {
	in.t.Helper()
	var b []byte
	var err error
	switch target {
	case "nas":
		b, err = os.ReadFile(filepath.Join(in.dir, "nas", name))
	case "shore":
		b, err = os.ReadFile(filepath.Join(in.ssh.Data, "db", name))
	case "versity":
		b, err = os.ReadFile(filepath.Join(in.versity.Data, in.versity.Bucket, "db", name))
	case "minio":
		var o *minioclient.Object
		if o, err = in.s3(in.minio).GetObject(in.t.Context(), in.minio.Bucket, "db/"+name, minioclient.GetObjectOptions{}); err == nil {
			defer o.Close()
			var buf bytes.Buffer
			_, err = buf.ReadFrom(o)
			b = buf.Bytes()
		}
	}
	if err != nil {
		in.t.Fatalf("%s: %v", target, err)
	}
	return b
}

func (in *installation) s3(s *servers.S3) *minioclient.Client {
	in.t.Helper()
	c, err := minioclient.New(strings.TrimPrefix(s.Endpoint, "http://"), &minioclient.Options{Creds: credentials.NewStaticV4(s.AccessKey, s.SecretKey, ""), BucketLookup: minioclient.BucketLookupPath})
	if err != nil {
		in.t.Fatal(err)
	}
	return c
}

// leftovers are the traces of unfinished uploads on a target.
func (in *installation) leftovers(target string) (left []string) {
	in.t.Helper()
	hidden := func(root string) {
		filepath.WalkDir(root, func(p string, e fs.DirEntry, err error) error {
			if err == nil && strings.HasPrefix(e.Name(), ".") && e.Name() != ".offsite-target" {
				left = append(left, p)
			}
			return nil
		})
	}
	uploads := func(s *servers.S3) {
		for u := range in.s3(s).ListIncompleteUploads(in.t.Context(), s.Bucket, "", true) {
			if u.Err != nil {
				in.t.Fatal(u.Err)
			}
			left = append(left, u.Key)
		}
	}
	switch target {
	case "nas":
		hidden(filepath.Join(in.dir, "nas"))
	case "shore":
		hidden(filepath.Join(in.ssh.Data, "db"))
	case "minio":
		uploads(in.minio)
	case "versity":
		uploads(in.versity)
	}
	return left
}

// The user's own disaster, the short way: a real database is dumped by a script like his, reaches four targets in one
// run, and comes back from each, by stock age and by restore, into a database with the same rows.
func TestADatabaseGoesOffsiteAndComesBack(t *testing.T) {
	t.Parallel()
	pg := servers.StartPostgres(t)
	in := install(t, fourTargets...)
	const database = "crypto-ai-agent"
	pg.Run(t, nil, "createdb", database)
	pg.Run(t, nil, "pgbench", "-i", "-q", "-s", "5", database)
	cron := exec.Command("bash", "-c", `set -euo pipefail
		stamp=$(date -u +%Y%m%d_%H%M%S)
		pg_dump "$1" | gzip >"$2/$1_$stamp.sql.gz"
		ln -sf "$1_$stamp.sql.gz" "$2/latest.sql.gz"
		echo -n "$1_$stamp.sql.gz"`, "cron", database, in.dumps)
	cron.Env = pg.Env()
	name, err := cron.Output()
	if err != nil {
		t.Fatal(err)
	}
	dump, err := os.ReadFile(filepath.Join(in.dumps, string(name)))
	if err != nil {
		t.Fatal(err)
	}
	in.run(0, "agent", "--once")

	all := in.list()
	var on []string
	for _, l := range all {
		on = append(on, l.Target)
		if l.Series != database || l.Name != string(name) || l.Size != int64(len(dump)) || l.Host != "db-server" {
			t.Errorf("%+v", l)
		}
		sealed := in.object(l.Target, l.Object)
		age := exec.Command(servers.Binary(t, "age"), "-d", "-i", in.identity)
		age.Stdin = bytes.NewReader(sealed)
		if plain, err := age.Output(); err != nil || !bytes.Equal(plain, dump) || int64(len(sealed)) != l.Stored {
			t.Errorf("%s: stock age gives %d bytes of %d, %v", l.Target, len(plain), len(dump), err)
		}
	}
	slices.Sort(on)
	if want := slices.Sorted(slices.Values(fourTargets)); !slices.Equal(on, want) {
		t.Fatalf("it lies on %q, want once on each of %q", on, want)
	}

	counts := "SELECT (SELECT count(*) FROM pgbench_accounts), (SELECT sum(abalance) FROM pgbench_accounts), (SELECT count(*) FROM pgbench_tellers), (SELECT count(*) FROM pgbench_branches)"
	want := pg.Run(t, nil, "psql", "-XAtc", counts, database)
	for i, target := range fourTargets {
		if out, _ := in.run(0, "restore", "--identity", in.identity, "--target", target, "-o", "-", database); out != string(dump) {
			t.Errorf("%s: %d bytes on standard output, want %d, or others", target, len(out), len(dump))
		}
		file := filepath.Join(in.dir, target+".sql.gz")
		in.run(0, "restore", "--identity", in.identity, "--target", target, "-o", file, database)
		sql, err := exec.Command("gzip", "-dc", file).Output()
		if err != nil {
			t.Fatal(err)
		}
		copied := fmt.Sprintf("restored%d", i)
		pg.Run(t, nil, "createdb", copied)
		pg.Run(t, sql, "psql", "-Xqv", "ON_ERROR_STOP=1", copied)
		if got := pg.Run(t, nil, "psql", "-XAtc", counts, copied); got != want || !strings.HasPrefix(got, "500000|") {
			t.Errorf("%s: the restored database has %q, the original %q", target, got, want)
		}
	}
}

// One target is down for the whole run: the others have the dump, the exit status says so, and the next run delivers.
func TestATargetThatIsDownGetsItsDumpLater(t *testing.T) {
	t.Parallel()
	in := install(t, "nas", "shore")
	os.WriteFile(filepath.Join(in.dumps, "shop.sql"), []byte("a dump"), 0o600)
	away := filepath.Join(in.dir, "away")
	if err := os.Rename(filepath.Join(in.dir, "nas"), away); err != nil {
		t.Fatal(err)
	}
	_, said := in.run(3, "agent", "--once")
	if !strings.Contains(said, "is it mounted?") {
		t.Error(said)
	}
	if _, err := os.Stat(filepath.Join(in.dir, "nas")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("something was written where the target is not mounted")
	}
	out, _ := in.run(3, "list", "--json")
	if strings.Count(out, `"target": "shore"`) != 1 || strings.Contains(out, `"target": "nas"`) {
		t.Error(out)
	}
	if err := os.Rename(away, filepath.Join(in.dir, "nas")); err != nil {
		t.Fatal(err)
	}
	in.run(0, "agent", "--once")
	if all := in.list(); len(all) != 2 {
		t.Errorf("%+v", all)
	}
}
