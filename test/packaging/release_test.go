package packaging

import (
	"debug/buildinfo"
	"debug/elf"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"offsite/test/release"
)

const (
	version = "1.0.0"
	// newer is what version is upgraded to.
	newer = "1.1.0"
)

// run runs a program and gives what it printed on both outputs.
func run(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, out)
	}
	return string(out)
}

func TestRelease(t *testing.T) {
	if os.Getuid() != 0 {
		t.Fatal("run as root: packages are built under another host name, and installed into an overlay of this machine")
	}
	dist := release.Begin(t, "v"+version, "", "ARCHES=amd64 arm64")()
	amd64 := filepath.Join(dist, "offsite_"+version+"_linux_amd64")
	deb := filepath.Join(dist, "offsite_"+version+"_amd64.deb")
	rpm := filepath.Join(dist, "offsite-"+version+"-1.x86_64.rpm")

	t.Run("files and sums", func(t *testing.T) { filesAndSums(t, dist) })
	t.Run("the same bytes again", func(t *testing.T) { sameBytes(t, dist) })
	t.Run("programs", func(t *testing.T) { programs(t, dist) })
	t.Run("bill of materials", func(t *testing.T) { billOfMaterials(t, amd64) })
	t.Run("contents", func(t *testing.T) { contents(t, deb, rpm) })
	root := t.TempDir()
	run(t, exec.Command("dpkg-deb", "-x", deb, root))
	t.Run("copyright", func(t *testing.T) { copyright(t, amd64, root) })
	t.Run("manual", func(t *testing.T) { manualPages(t, root) })
	t.Run("completions", func(t *testing.T) { completions(t, root) })
	upgrades := release.Newer(t, deb, newer, "deb", "rpm")
	t.Run("life of the deb", func(t *testing.T) { lifeOfDeb(t, deb, filepath.Join(upgrades, "newer.deb")) })
	t.Run("purge asks", func(t *testing.T) { purgeAsks(t, deb) })
	t.Run("life of the rpm", func(t *testing.T) { lifeOfRPM(t, rpm, filepath.Join(upgrades, "newer.rpm")) })
}

// make cannot work in such a path, and says so instead of looking for files that nobody named.
func TestMakeSaysThatABlankInThePathIsInItsWay(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a checkout")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "Makefile"), []byte(read(t, "../../Makefile")), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, goal := range []string{"help", "build", "release"} {
		cmd := exec.Command("make", "-C", dir, goal)
		cmd.Env = append(os.Environ(), "LC_ALL=C")
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), `has a blank in it, "`+dir+`": move it to one without`) {
			t.Errorf("make %s: %v\n%s", goal, err, out)
		}
	}
}

func filesAndSums(t *testing.T, dist string) {
	var want, got []string
	for _, arch := range [][2]string{{"amd64", "x86_64"}, {"arm64", "aarch64"}} {
		program := "offsite_" + version + "_linux_" + arch[0]
		want = append(want, program, program+".cdx.json", "offsite_"+version+"_"+arch[0]+".deb", "offsite-"+version+"-1."+arch[1]+".rpm")
	}
	slices.Sort(want)
	for line := range strings.Lines(read(t, filepath.Join(dist, "SHA256SUMS"))) {
		got = append(got, strings.Fields(line)[1])
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("SHA256SUMS names %q, want %q", got, want)
	}
	cmd := exec.Command("sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS")
	cmd.Dir = dist
	run(t, cmd)
	if entries, err := os.ReadDir(dist); err != nil || len(entries) != len(want)+1 {
		t.Errorf("%d files beside SHA256SUMS, want %d (%v)", len(entries)-1, len(want), err)
	}
}

// Whoever builds it, where and when: another umask, zone, language, host name and temporary directory change nothing.
func sameBytes(t *testing.T, dist string) {
	t.Parallel()
	again := release.Begin(t, "v"+version, "umask 077; hostname elsewhere;", "ARCHES=amd64", "TZ=Asia/Tokyo", "LC_ALL=C.UTF-8", "TMPDIR="+t.TempDir(), "OFFSITE_CONFIG=/elsewhere.yaml")()
	for line := range strings.Lines(read(t, filepath.Join(again, "SHA256SUMS"))) {
		if !strings.Contains(read(t, filepath.Join(dist, "SHA256SUMS")), line) {
			t.Errorf("not the same again: %s", line)
		}
	}
}

func programs(t *testing.T, dist string) {
	for arch, machine := range map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64} {
		f, err := elf.Open(filepath.Join(dist, "offsite_"+version+"_linux_"+arch))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if f.Machine != machine {
			t.Errorf("%s: is for %v", arch, f.Machine)
		}
		for _, p := range f.Progs {
			if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
				t.Errorf("%s: is not static: it has a %v", arch, p.Type)
			}
		}
	}
	if got := run(t, exec.Command(filepath.Join(dist, "offsite_"+version+"_linux_amd64"), "version")); got != "offsite v"+version+"\n" {
		t.Errorf("the program calls itself %q", got)
	}
}

// bill is what the test reads of a bill of materials.
type bill struct {
	SpecVersion string
	Metadata    struct {
		Timestamp string
		Component struct {
			Name, Version string
			Hashes        []struct{ Alg, Content string }
		}
	}
	Components []struct {
		Name, Version, PURL string
		Licenses            []struct{ License struct{ ID string } }
	}
}

// The bill is valid by CycloneDX's own schema, and has exactly what the program says that it was built from.
func billOfMaterials(t *testing.T, program string) {
	text := read(t, program+".cdx.json")
	validate(t, text)
	var b bill
	if err := json.Unmarshal([]byte(text), &b); err != nil {
		t.Fatal(err)
	}
	if b.SpecVersion != "1.6" || b.Metadata.Timestamp != "2023-11-14T22:13:20Z" || b.Metadata.Component.Name != "offsite" || b.Metadata.Component.Version != version {
		t.Errorf("the bill is of %+v", b.Metadata)
	}
	if sum := strings.Fields(run(t, exec.Command("sha256sum", program)))[0]; len(b.Metadata.Component.Hashes) != 1 || b.Metadata.Component.Hashes[0].Content != sum {
		t.Errorf("the bill is of a program with the sum %+v, this one has %s", b.Metadata.Component.Hashes, sum)
	}
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"std " + strings.TrimPrefix(info.GoVersion, "go")}
	for _, d := range info.Deps {
		want = append(want, d.Path+" "+d.Version)
	}
	var got []string
	for _, c := range b.Components {
		got = append(got, c.Name+" "+c.Version)
		if len(c.Licenses) == 0 {
			t.Errorf("%s has no licence", c.Name)
		}
		for _, l := range c.Licenses {
			// What a closed or open program may contain without more than telling so. Another one needs a person's thought.
			if !slices.Contains([]string{"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MPL-2.0", "Unlicense", "CC0-1.0"}, l.License.ID) {
				t.Errorf("%s is under %s", c.Name, l.License.ID)
			}
		}
	}
	if !slices.Equal(got, want) || len(got) < 20 {
		t.Errorf("the bill has\n%s\nthe program\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// validate reads the text by the schema that comes with the library.
func validate(t *testing.T, text string) {
	t.Helper()
	dir := strings.TrimSpace(run(t, exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/CycloneDX/cyclonedx-go"))) + "/schema/"
	c := jsonschema.NewCompiler()
	for file, url := range map[string]string{
		"bom-1.6.schema.json": "http://cyclonedx.org/schema/bom-1.6.schema.json", "spdx.schema.json": "http://cyclonedx.org/schema/spdx.schema.json",
		"jsf-0.82.schemax.json": "http://cyclonedx.org/schema/jsf-0.82.schema.json",
	} {
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(read(t, dir+file)))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.AddResource(url, doc); err != nil {
			t.Fatal(err)
		}
	}
	schema, err := c.Compile("http://cyclonedx.org/schema/bom-1.6.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, broken := range []bool{false, true} {
		text := text
		if broken { // a schema that takes everything proves nothing
			text = strings.Replace(text, `"type": "library"`, `"type": "book"`, 1)
		}
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(doc); (err != nil) != broken {
			t.Errorf("by the schema (broken: %v): %v", broken, err)
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Versions are ordered as they were made, by dpkg as well as by rpm.
func TestVersionsAreOrdered(t *testing.T) {
	var all []string
	for _, d := range []struct{ described, at, want string }{
		{"abc1234", "1700000000", "0~20231114221320.abc1234"},
		{"0bc1234", "1700000001", "0~20231114221321.0bc1234"},
		{"v1.2.0-rc1", "1", "1.2.0~rc1"},
		{"v1.2.0-rc1-2-gabc1234", "1", "1.2.0~rc1+2.gabc1234"},
		{"v1.2.0", "1", "1.2.0"},
		{"v1.2.0-5-gabc1234", "1", "1.2.0+5.gabc1234"},
		{"v1.2.0-5-gabc1234-dirty", "1", "1.2.0+5.gabc1234+dirty"},
		{"v1.10.0", "1", "1.10.0"},
	} {
		cmd := exec.Command("../../packaging/version.sh", d.described)
		cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH="+d.at)
		got := strings.TrimSpace(run(t, cmd))
		if got != d.want {
			t.Errorf("%s is called %s, want %s", d.described, got, d.want)
		}
		all = append(all, got)
	}
	for i, v := range all[1:] {
		run(t, exec.Command("dpkg", "--compare-versions", all[i], "lt", v))
		if order := run(t, exec.Command("rpm", "--eval", fmt.Sprintf(`%%{lua:print(rpm.vercmp("%s", "%s"))}`, all[i], v))); strings.TrimSpace(order) != "-1" {
			t.Errorf("rpm orders %s and %s by %s", all[i], v, order)
		}
	}
}
