package page

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"
	"time"

	"offsite/agent/status"
)

var awkward = []string{"shop", "sub/shop", "", " ", "a b", "it's", `"`, `\`, `\'`, "$(reboot)", "`reboot`", "!!", "it's!!", "-rf", "--at", "a;b", "a&b", "*", "~", "{a,b}", "#x", "=ls", "%1",
	"a\nb", "a\tb", "\x1b[31mred", "\x00"[:0], "příšerně", "名前", "\u202egnp.exe", "\xff\xfe", "a\u0301", "if", "[x]", "a\rb", "\x7f", "’", "\u00a0", "\u2028", "x!\n'"}

// A name goes through the shell as it is.
func TestQuotedForTheShell(t *testing.T) {
	for _, s := range awkward {
		checkQuote(t, s)
	}
	for s, want := range map[string]string{"sub/shop": "sub/shop", "it's": `'it'\''s'`, "a b": "'a b'", "a\nb": `$'a\012b'`, "-x": "'-x'", "": "''", "!": "'!'"} {
		if got := quote(s); got != want {
			t.Errorf("%q is quoted as %s, want %s", s, got, want)
		}
	}
}

func checkQuote(t *testing.T, s string) {
	t.Helper()
	quoted := quote(s)
	if strings.ContainsFunc(quoted, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		t.Errorf("%q is quoted with control characters, which a terminal takes for keys: %q", s, quoted)
	}
	// Interactively, so that ! is what it is to a person; the command comes by standard input, as typed.
	cmd := exec.Command("bash", "--norc", "--noprofile", "--noediting", "-i")
	cmd.Env = []string{"HISTFILE=/dev/null", "PS1=", "PS2=", "LC_ALL=C.UTF-8", "HOME=/nonexistent"}
	cmd.Stdin = strings.NewReader("history -s reboot\nprintf %s " + quoted + "\n")
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := cmd.Run(); err != nil || out.String() != s {
		t.Errorf("%q, quoted as %s, comes out as %q (%v)", s, quoted, out.String(), err)
	}
}

func FuzzQuote(f *testing.F) {
	for _, s := range awkward {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !strings.Contains(s, "\x00") { // no argument has it
			checkQuote(t, s)
		}
	})
}

func TestRestoreCommands(t *testing.T) {
	p, named := &Page{}, &Page{Options: Options{Config: "/etc/my offsite.yaml"}}
	at := time.Date(2026, 11, 22, 4, 0, 1, 0, time.FixedZone("CET", 3600))
	object := "db-server/shop/20261122T030001Z_5f3c9a1e_dump.sql.gz.age"
	for _, c := range []struct{ got, want string }{
		{p.restore("shop", time.Time{}), "offsite restore --identity identity.txt shop"},
		{p.restore("sub/the shop", at), "offsite restore --identity identity.txt --at 2026-11-22T03:00:01Z 'sub/the shop'"},
		{p.restore("-shop", time.Time{}), "offsite restore --identity identity.txt -- '-shop'"},
		{named.restore("shop", time.Time{}), "offsite restore --config '/etc/my offsite.yaml' --identity identity.txt shop"},
		{p.restoreOf(status.Backup{Name: "dump.sql.gz", On: []status.Copy{{Object: "x", Damage: "block 3"}, {Object: object}}}), "offsite restore --identity identity.txt " + object},
		{p.restoreOf(status.Backup{Name: "dump 1.sql.gz", On: []status.Copy{{Object: "x", Damage: "block 3"}}}), "offsite restore --identity identity.txt 'dump 1.sql.gz'"},
	} {
		if c.got != c.want {
			t.Errorf("%s\nwant\n%s", c.got, c.want)
		}
	}
}
