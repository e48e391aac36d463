package faults_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestAPowerCutLosesNothing takes the power away from target and journal at once, at random instants: what was not made
// durable is gone. If the journal ever led, with a delivery written down that the target had not made durable, that dump
// would be missing in the end.
//
// Target and state lie on ext4 in image files. What the kernel has not written to an image is lost with a copy of it, taken
// while the agent is stopped, in the image's place.
func TestAPowerCutLosesNothing(t *testing.T) {
	program := filepath.Join(t.TempDir(), "offsite")
	if out, err := exec.Command("go", "build", "-o", program, "offsite/cmd/offsite").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	dir := t.TempDir()
	p := &powered{world: &world{
		t: t, dir: dir, program: program, dumps: filepath.Join(dir, "dumps"), nas: filepath.Join(dir, "nas"), state: filepath.Join(dir, "state"),
		identity: filepath.Join(dir, "id.txt"), sealed: map[string]string{}, late: map[string]bool{}, told: map[string]bool{},
	}}
	for _, d := range []string{p.dumps, p.nas, p.state} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cuts := number(t, "OFFSITE_FAULT_CYCLES", 40) / 4
	room := fmt.Sprint(64+cuts*12, "M") // at most 4 dumps of 3 MiB between two cuts, and nothing is removed
	for _, d := range []string{p.nas, p.state} {
		p.do("truncate", "-s", room, d+".img")
		p.do("mkfs.ext4", "-q", "-m", "0", d+".img")
		p.plug(d)
		t.Cleanup(func() { syscall.Unmount(d, syscall.MNT_DETACH) })
	}
	p.prepare("--target", "nas="+p.nas)
	r := rand.New(rand.NewPCG(uint64(number(t, "OFFSITE_FAULT_SEED", int(time.Now().UnixNano()&0xffffff))), 1))
	c := newCron(t, p.dumps, r)
	for range cuts {
		cmd := p.command(t.Context(), "agent")
		var log bytes.Buffer
		cmd.Stderr = &log
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for range 1 + r.IntN(4) {
			c.write(c.fresh(), 1+r.IntN(3<<20))
			time.Sleep(time.Duration(r.IntN(200)) * time.Millisecond)
		}
		time.Sleep(time.Duration(r.IntN(500)) * time.Millisecond)
		p.cut(cmd)
	}
	p.finish()
	p.checkOn("nas", c)
	t.Logf("%d power cuts, %d dumps, %d late uploads", cuts, c.n, len(p.late))
}

// powered is a world whose target and state lose their power.
type powered struct{ *world }

func (p *powered) do(name string, args ...string) {
	p.t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		p.t.Fatalf("%s %q: %v: %s", name, args, err, out)
	}
}

// plug mounts a directory's image. ext4 commits by itself after 300 s only.
func (p *powered) plug(dir string) {
	p.t.Helper()
	p.do("mount", "-o", "loop,commit=300", dir+".img", dir)
}

// cut takes the power away, and gives it back.
func (p *powered) cut(agent *exec.Cmd) {
	p.t.Helper()
	agent.Process.Signal(syscall.SIGSTOP)
	for _, dir := range []string{p.nas, p.state} {
		p.do("cp", "--sparse=always", dir+".img", dir+".cut")
	}
	agent.Process.Kill()
	agent.Wait()
	for _, dir := range []string{p.nas, p.state} {
		p.do("umount", dir)
		p.do("mv", dir+".cut", dir+".img")
		p.do("sh", "-c", "e2fsck -fp "+dir+".img >/dev/null; test $? -le 1") // 1: what the power cut had left was mended
		p.plug(dir)
	}
}
