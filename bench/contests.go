package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// contests are all that this place has the servers for.
func (b *bench) contests() (all []contest) {
	if b.http != "" {
		all = append(all, b.upload("minio-upload", b.http, b.path("minio"), ""), b.upload("minio-tls-upload", b.tls, b.path("minio-tls"), "-tls"),
			b.download("minio-restore", b.http, b.path("minio"), ""), b.download("minio-tls-restore", b.tls, b.path("minio-tls"), "-tls"))
	}
	if b.ssh != 0 {
		all = append(all, b.sftpUpload(), b.sftpDownload())
	}
	all = append(all, b.dir("dir", nil), b.dir("dir-one-core", []string{b.tools["taskset"], "-c", "0"}))
	if b.http != "" {
		all = append(all, b.smallMinIO(), b.pushMinIO())
	}
	if b.ssh != 0 {
		all = append(all, b.smallSFTP())
	}
	return all
}

func (b *bench) large() string { return b.path("data", "large.bin") }

// s3env is what mc, s5cmd, rclone and restic read.
func (b *bench) s3env(endpoint string) []string {
	scheme, host, _ := strings.Cut(endpoint, "://")
	ca := b.path("keys", "certs", "public.crt")
	return []string{
		fmt.Sprintf("MC_HOST_m=%s://%s:%s@%s", scheme, key, secret, host), "MC_CONFIG_DIR=" + b.path("keys", "mc"),
		"AWS_ACCESS_KEY_ID=" + key, "AWS_SECRET_ACCESS_KEY=" + secret, "AWS_REGION=us-east-1", "S3_ENDPOINT_URL=" + endpoint,
		"RCLONE_CONFIG=" + b.path("conf", "rclone.conf"), "RCLONE_CA_CERT=" + ca, "SSL_CERT_FILE=" + ca,
		"RESTIC_REPOSITORY=s3:" + endpoint + "/" + bucket + "/restic", "RESTIC_PASSWORD=" + passphrase,
	}
}

const (
	rcloneS3   = "--s3-chunk-size=16M --s3-upload-concurrency=4 --s3-disable-checksum --s3-no-check-bucket --s3-no-head --ignore-checksum"
	rcloneSFTP = "--sftp-ciphers=aes128-gcm@openssh.com --sftp-chunk-size=255k --sftp-concurrency=64 " +
		"--sftp-set-modtime=false --sftp-disable-hashcheck --ignore-checksum"
)

// tool is the command line of a tool, with more in its environment.
func (b *bench) tool(name string, env []string, args ...string) command {
	return command{argv: append([]string{b.tools[name]}, args...), env: env}
}

// rclone copies from one place to another.
func (b *bench) rclone(options, from, to string, env []string) []command {
	return []command{{argv: append(append([]string{b.tools["rclone"], "copyto"}, strings.Fields(options)...), from, to), env: env}}
}

// rcloneConfig has the servers, and crypt on each. It is written once rclone is needed.
func (b *bench) rcloneConfig(ctx context.Context) error {
	if b.tools["rclone"] == "" {
		return nil
	}
	out, err := exec.CommandContext(ctx, b.tools["rclone"], "obscure", passphrase).Output()
	if err != nil {
		return err
	}
	var text strings.Builder
	remote := func(name, options, path string) {
		fmt.Fprintf(&text, "[%s]\n%s\n[%s-crypt]\ntype = crypt\nremote = %s:%s\npassword = %s\n", name, options, name, name, path, strings.TrimSpace(string(out)))
	}
	for name, endpoint := range map[string]string{"m": b.http, "m-tls": b.tls} {
		remote(name, fmt.Sprintf("type = s3\nprovider = Minio\naccess_key_id = %s\nsecret_access_key = %s\nendpoint = %s", key, secret, endpoint), bucket+"/rclone")
	}
	remote("s", fmt.Sprintf("type = sftp\nhost = 127.0.0.1\nport = %d\nuser = root\nkey_file = %s\nknown_hosts_file = %s\nshell_type = unix",
		b.ssh, b.path("keys", "ssh"), b.path("keys", "known_hosts")), b.path("sftp", "rclone"))
	return os.WriteFile(b.path("conf", "rclone.conf"), []byte(text.String()), 0o600)
}

// upload of the large file to MinIO.
func (b *bench) upload(name, endpoint, data, suffix string) contest {
	env := b.s3env(endpoint)
	age := command{argv: []string{b.tools["age"], "-r", b.recipient, b.large()}}
	return contest{
		name: name, bytes: b.size, prepare: func(ctx context.Context) error {
			return errors.Join(empty(data+"/"+bucket), b.trust(), b.rcloneConfig(ctx))
		},
		contestants: []contestant{
			b.push("offsite push, minio", "minio"+suffix, b.large()),
			b.push("offsite push, s3", "s3"+suffix, b.large()),
			{
				name: "mc cp, not encrypted", floor: true, needs: []string{"mc"},
				pipeline: []command{b.tool("mc", env, "cp", "--quiet", b.large(), "m/"+bucket+"/large")},
			},
			{
				name: "age | mc pipe, 16 MiB x 4", needs: []string{"age", "mc"},
				pipeline: []command{age, b.tool("mc", env, "pipe", "--quiet", "--part-size", "16MiB", "--concurrent", "4", "m/"+bucket+"/large.age")},
			},
			{name: "rclone crypt, best settings", needs: []string{"rclone"}, pipeline: b.rclone(rcloneS3, b.large(), "m"+suffix+"-crypt:large", env)},
			{name: "rclone crypt, defaults", needs: []string{"rclone"}, pipeline: b.rclone("", b.large(), "m"+suffix+"-crypt:large", env)},
			{
				name: "restic backup, no compression", needs: []string{"restic"}, before: b.resticInit(env),
				pipeline: []command{b.tool("restic", env, "backup", "--no-cache", "--compression", "off", b.large())},
			},
		},
	}
}

// trust lets mc accept the certificate.
func (b *bench) trust() error {
	dir := b.path("keys", "mc", "certs", "CAs")
	cert, err := os.ReadFile(b.path("keys", "certs", "public.crt"))
	if err != nil {
		return err
	}
	return errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(dir+"/ca.crt", cert, 0o644))
}

func (b *bench) resticInit(env []string) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := measure(ctx, []command{b.tool("restic", env, "init", "--no-cache")})
		return err
	}
}

// download brings the large file back from MinIO, where each contestant finds it in its own form.
func (b *bench) download(name, endpoint, data, suffix string) contest {
	env := b.s3env(endpoint)
	put := b.upload(name, endpoint, data, suffix)
	there := b.stored(put)
	object := bucket + "/large"
	opened := command{argv: []string{b.tools["age"], "-d", "-i", b.path("keys", "identity"), "-o", b.restored()}}
	return contest{
		name: name, bytes: b.size, prepare: func(ctx context.Context) error { return errors.Join(there(ctx), empty(b.path("out"))) },
		contestants: []contestant{
			b.restore("offsite restore, minio", "minio"+suffix),
			b.restore("offsite restore, s3", "s3"+suffix),
			{
				name: "s5cmd cp, not encrypted", floor: true, needs: []string{"s5cmd"}, check: b.sameAsLarge,
				pipeline: []command{b.tool("s5cmd", env, "cp", "s3://"+object, b.restored())},
			},
			{
				name: "mc cp, not encrypted", floor: true, needs: []string{"mc"}, check: b.sameAsLarge,
				pipeline: []command{b.tool("mc", env, "cp", "--quiet", "m/"+object, b.restored())},
			},
			{
				name: "mc cat | age -d", needs: []string{"age", "mc"}, check: b.sameAsLarge,
				pipeline: []command{b.tool("mc", env, "cat", "m/"+object+".age"), opened},
			},
			{
				name: "rclone cat | age -d", needs: []string{"age", "rclone"}, check: b.sameAsLarge,
				pipeline: []command{b.tool("rclone", env, "cat", "m"+suffix+":"+object+".age"), opened},
			},
			{
				name: "rclone crypt", needs: []string{"rclone"}, check: b.sameAsLarge,
				pipeline: b.rclone("", "m"+suffix+"-crypt:large", b.restored(), env),
			},
			{
				name: "restic dump", needs: []string{"restic"}, check: b.sameAsLarge,
				pipeline: []command{{argv: []string{b.tools["restic"], "dump", "--no-cache", "latest", b.large()}, env: env, stdout: b.restored()}},
			},
		},
	}
}

// stored has each contestant of an upload do it once, for a download to find; but for those with defaults, which store the same.
func (b *bench) stored(put contest) func(context.Context) error {
	done := false
	return func(ctx context.Context) error {
		if done {
			return nil
		}
		if err := put.prepare(ctx); err != nil {
			return err
		}
		for _, k := range put.contestants {
			if !b.has(k.needs) || strings.HasSuffix(k.name, "defaults") {
				continue
			}
			if k.before != nil {
				if err := k.before(ctx); err != nil {
					return err
				}
			}
			if _, err := measure(ctx, k.pipeline); err != nil {
				return err
			}
		}
		done = true
		return nil
	}
}

// sshArgs is the command line of one of OpenSSH's clients.
func (b *bench) sshArgs(tool, portFlag, cipher string) []string {
	args := []string{
		b.tools[tool], portFlag, fmt.Sprint(b.ssh), "-i", b.path("keys", "ssh"),
		"-o", "UserKnownHostsFile=" + b.path("keys", "known_hosts"), "-o", "BatchMode=yes",
	}
	if cipher != "" {
		args = append(args, "-c", cipher)
	}
	return args
}

const gcm = "aes128-gcm@openssh.com"

// batch writes a command file for sftp.
func (b *bench) batch(name, text string) string {
	path := b.path("conf", name)
	if os.WriteFile(path, []byte(text+"\n"), 0o600) != nil {
		return "/nonexistent"
	}
	return path
}

func (b *bench) sftpUpload() contest {
	raw, env := b.path("sftp", "large"), b.s3env(b.http)
	put := append(b.sshArgs("sftp", "-P", gcm), "-q", "-b", b.batch("put", "put "+b.large()+" "+raw), "root@127.0.0.1")
	age := command{argv: []string{b.tools["age"], "-r", b.recipient, b.large()}}
	return contest{
		name: "sftp-upload", bytes: b.size, prepare: func(ctx context.Context) error { return errors.Join(empty(b.path("sftp")), b.rcloneConfig(ctx)) },
		contestants: []contestant{
			b.push("offsite push", "sftp", b.large()),
			{name: "sftp put, aes128-gcm, not encrypted", floor: true, needs: []string{"sftp"}, pipeline: []command{{argv: put}}},
			{
				name: "scp, aes128-gcm, not encrypted", floor: true, needs: []string{"scp"},
				pipeline: []command{{argv: append(b.sshArgs("scp", "-P", gcm), "-q", b.large(), "root@127.0.0.1:"+raw)}},
			},
			{
				name: "age | ssh cat, aes128-gcm", needs: []string{"age", "ssh"},
				pipeline: []command{age, {argv: append(b.sshArgs("ssh", "-p", gcm), "root@127.0.0.1", "cat > "+raw+".age")}},
			},
			{name: "rclone crypt, best settings", needs: []string{"rclone"}, pipeline: b.rclone(rcloneSFTP, b.large(), "s-crypt:large", env)},
			{name: "rclone crypt, defaults", needs: []string{"rclone"}, pipeline: b.rclone("", b.large(), "s-crypt:large", env)},
		},
	}
}

func (b *bench) sftpDownload() contest {
	raw, env := b.path("sftp", "large"), b.s3env(b.http)
	put := b.sftpUpload()
	there := b.stored(put)
	get := append(b.sshArgs("sftp", "-P", gcm), "-q", "-b", b.batch("get", "get "+raw+" "+b.restored()), "root@127.0.0.1")
	opened := command{argv: []string{b.tools["age"], "-d", "-i", b.path("keys", "identity"), "-o", b.restored()}}
	return contest{
		name: "sftp-restore", bytes: b.size, prepare: func(ctx context.Context) error { return errors.Join(there(ctx), empty(b.path("out"))) },
		contestants: []contestant{
			b.restore("offsite restore", "sftp"),
			{
				name: "sftp get, aes128-gcm, not encrypted", floor: true, needs: []string{"sftp"}, check: b.sameAsLarge,
				pipeline: []command{{argv: get}},
			},
			{
				name: "scp, aes128-gcm, not encrypted", floor: true, needs: []string{"scp"}, check: b.sameAsLarge,
				pipeline: []command{{argv: append(b.sshArgs("scp", "-P", gcm), "-q", "root@127.0.0.1:"+raw, b.restored())}},
			},
			{
				name: "ssh cat | age -d, aes128-gcm", needs: []string{"age", "ssh"}, check: b.sameAsLarge,
				pipeline: []command{{argv: append(b.sshArgs("ssh", "-p", gcm), "root@127.0.0.1", "cat "+raw+".age")}, opened},
			},
			{
				name: "rclone crypt, best settings", needs: []string{"rclone"}, check: b.sameAsLarge,
				pipeline: b.rclone(rcloneSFTP, "s-crypt:large", b.restored(), env),
			},
			{
				name: "rclone crypt, defaults", needs: []string{"rclone"}, check: b.sameAsLarge,
				pipeline: b.rclone("", "s-crypt:large", b.restored(), env),
			},
		},
	}
}

// dir is the upload to a directory; with taskset before it, on one core.
func (b *bench) dir(name string, with []string) contest {
	ours := b.push("offsite push", "dir", b.large())
	ours.pipeline[0].argv = append(with[:len(with):len(with)], ours.pipeline[0].argv...)
	shell := fmt.Sprintf("%s -r %s -o %s %s && sync %[3]s", b.tools["age"], b.recipient, b.path("nas", "large.age"), b.large())
	stock := contestant{name: "age -o, then sync", floor: true, needs: []string{"age"}}
	stock.pipeline = []command{{argv: append(with[:len(with):len(with)], "sh", "-c", shell)}}
	if with != nil {
		ours.needs, stock.needs = []string{"taskset"}, append(stock.needs, "taskset")
	}
	clean := func(context.Context) error {
		return errors.Join(os.RemoveAll(b.path("nas", "bench")), os.RemoveAll(b.path("nas", "large.age")))
	}
	return contest{name: name, bytes: b.size, prepare: clean, contestants: []contestant{ours, stock}}
}

func (b *bench) smallMinIO() contest {
	env := b.s3env(b.http)
	files := func(dir string, transfers int) []command {
		return b.rcloneDir(fmt.Sprintf("%s --transfers=%d --checkers=32 --no-check-dest", rcloneS3, transfers), dir, "m-crypt:small", env)
	}
	return contest{
		name: fmt.Sprintf("minio-%d-files-of-32-KiB", small),
		prepare: func(ctx context.Context) error {
			return errors.Join(empty(b.path("minio", bucket)), b.rcloneConfig(ctx))
		},
		contestants: []contestant{
			b.pushSmall("offsite push, minio", "minio"),
			b.pushSmall("offsite push, s3", "s3"),
			{
				name: "s5cmd cp, not encrypted", floor: true, needs: []string{"s5cmd"},
				pipeline: []command{b.tool("s5cmd", env, "cp", b.path("data", "small")+"/", "s3://"+bucket+"/small/")},
			},
			{name: "rclone crypt, 32 transfers", needs: []string{"rclone"}, pipeline: files("small", 32)},
			{name: "rclone crypt, 64 transfers", needs: []string{"rclone"}, pipeline: files("small", 64)},
			{name: "rclone crypt, as many manifests", needs: []string{"rclone"}, pipeline: files("pairs", 64)},
		},
	}
}

func (b *bench) rcloneDir(options, dir, to string, env []string) []command {
	return []command{{argv: append(append([]string{b.tools["rclone"], "copy"}, strings.Fields(options)...), b.path("data", dir), to), env: env}}
}

func (b *bench) smallSFTP() contest {
	env := b.s3env(b.http)
	files := func(dir string, transfers int) []command {
		return b.rcloneDir(fmt.Sprintf("%s --transfers=%d --checkers=%[2]d --no-check-dest", rcloneSFTP, transfers), dir, "s-crypt:small", env)
	}
	put := append(b.sshArgs("sftp", "-P", gcm), "-q", "-b", b.batch("put-small", "put -R "+b.path("data", "small")+" "+b.path("sftp")), "root@127.0.0.1")
	return contest{
		name:    fmt.Sprintf("sftp-%d-files-of-32-KiB", small),
		prepare: func(ctx context.Context) error { return errors.Join(empty(b.path("sftp")), b.rcloneConfig(ctx)) },
		contestants: []contestant{
			b.pushSmall("offsite push", "sftp"),
			{name: "sftp put -R, not encrypted", floor: true, needs: []string{"sftp"}, pipeline: []command{{argv: put}}},
			{name: "rclone crypt, 8 transfers", needs: []string{"rclone"}, pipeline: files("small", 8)},
			{name: "rclone crypt, 32 transfers", needs: []string{"rclone"}, pipeline: files("small", 32)},
			{name: "rclone crypt, as many manifests", needs: []string{"rclone"}, pipeline: files("pairs", 32)},
		},
	}
}

// pushMinIO is one small dump, from the start of the process to its end.
func (b *bench) pushMinIO() contest {
	env, one := b.s3env(b.http), b.path("data", "one.bin")
	return contest{
		name: "minio-push-1-MiB", prepare: func(ctx context.Context) error {
			return errors.Join(empty(b.path("minio", bucket)), b.rcloneConfig(ctx))
		},
		contestants: []contestant{
			b.push("offsite push, minio", "minio", one),
			b.push("offsite push, s3", "s3", one),
			{
				name: "mc cp, not encrypted", floor: true, needs: []string{"mc"},
				pipeline: []command{b.tool("mc", env, "cp", "--quiet", one, "m/"+bucket+"/one")},
			},
			{
				name: "age | mc pipe", needs: []string{"age", "mc"},
				pipeline: []command{{argv: []string{b.tools["age"], "-r", b.recipient, one}}, b.tool("mc", env, "pipe", "--quiet", "m/"+bucket+"/one.age")},
			},
			{name: "rclone crypt, best settings", needs: []string{"rclone"}, pipeline: b.rclone(rcloneS3, one, "m-crypt:one", env)},
			{
				name: "restic backup, no compression", needs: []string{"restic"}, before: b.resticInit(env),
				pipeline: []command{b.tool("restic", env, "backup", "--no-cache", "--compression", "off", one)},
			},
		},
	}
}
