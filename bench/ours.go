package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// kinds of target that offsite is measured with, and their configuration.
func (b *bench) kinds() map[string]string {
	s3 := func(kind, endpoint, more string) string {
		return fmt.Sprintf("%s: {endpoint: %q, bucket: %s, prefix: %s, access_key_file: %s, secret_key_file: %s%s}",
			kind, endpoint, bucket, kind, b.path("keys", "key"), b.path("keys", "secret"), more)
	}
	all := map[string]string{"dir": fmt.Sprintf("dir: {path: %s}", b.path("nas"))}
	if b.http != "" {
		ca := ", ca_file: " + b.path("keys", "certs", "public.crt")
		all["minio"], all["s3"] = s3("minio", b.http, ""), s3("s3", b.http, ", region: us-east-1, path_style: true")
		all["minio-tls"], all["s3-tls"] = s3("minio", b.tls, ca), s3("s3", b.tls, ca+", region: us-east-1, path_style: true")
	}
	if b.ssh != 0 {
		all["sftp"] = fmt.Sprintf("sftp: {host: 127.0.0.1, port: %d, user: root, path: %s, key_file: %s, known_hosts: %s}",
			b.ssh, b.path("sftp"), b.path("keys", "ssh"), b.path("keys", "known_hosts"))
	}
	return all
}

// configure writes a configuration for each kind, and lets offsite prepare what it needs.
func (b *bench) configure(ctx context.Context) error {
	for kind := range b.kinds() {
		if err := os.WriteFile(b.config(kind), []byte(b.configText(kind, b.path("watch"))), 0o600); err != nil {
			return err
		}
		if out, err := exec.CommandContext(ctx, b.offsite, "--config", b.config(kind), "init", "--yes").CombinedOutput(); err != nil {
			return fmt.Errorf("offsite init, %s: %w: %s", kind, err, out)
		}
	}
	return nil
}

// configText watches dir, and has one target of that kind.
func (b *bench) configText(kind, dir string) string {
	return fmt.Sprintf("host: bench\nzone: UTC\nstate: %s\nsigning_key: %s\n"+
		"watch: [{path: %s, settle: 0s}]\nrecipients: [%s]\ntargets: {it: {retention: off, %s}}\n",
		b.state(kind), b.path("keys", "signing.key"), dir, b.recipient, b.kinds()[kind])
}

func (b *bench) config(kind string) string { return b.path("conf", kind+".yaml") }
func (b *bench) state(kind string) string  { return b.path("state-" + kind) }

// forget takes offsite's state away: it has shipped nothing yet.
func (b *bench) forget(kind string) func(context.Context) error {
	return func(context.Context) error { return empty(b.state(kind)) }
}

// run is offsite's own command line.
func (b *bench) run(kind string, args ...string) command {
	return command{argv: append([]string{b.offsite, "--config", b.config(kind)}, args...)}
}

func (b *bench) push(name, kind, file string) contestant {
	return contestant{name: name, ours: true, before: b.forget(kind), pipeline: []command{b.run(kind, "push", file)}}
}

// pushSmall ships all small files in one run.
func (b *bench) pushSmall(name, kind string) contestant {
	files, _ := filepath.Glob(b.path("data", "small", "*"))
	return contestant{name: name, ours: true, before: b.forget(kind), pipeline: []command{b.run(kind, append([]string{"push"}, files...)...)}}
}

func (b *bench) restore(name, kind string) contestant {
	return contestant{
		name: name, ours: true, check: b.sameAsLarge,
		pipeline: []command{b.run(kind, "restore", "large", "--identity", b.path("keys", "identity"), "-o", b.restored())},
	}
}

func (b *bench) restored() string { return b.path("out", "large.bin") }

// sameAsLarge proves that what was restored is what there was.
func (b *bench) sameAsLarge() error {
	one, err1 := os.Open(b.path("data", "large.bin"))
	two, err2 := os.Open(b.restored())
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	defer one.Close()
	defer two.Close()
	p, q := make([]byte, 1<<20), make([]byte, 1<<20)
	for {
		n, end := io.ReadFull(one, p)
		m, _ := io.ReadFull(two, q)
		if n != m || !bytes.Equal(p[:n], q[:m]) {
			return errors.New("what came back is not what there was")
		}
		if end != nil {
			return nil
		}
	}
}
