package doctor

import (
	"bufio"
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"offsite/agent"
	"offsite/configs"
)

// serviceName is the agent's unit.
const serviceName = "offsite.service"

// unitDirs are where units lie, the ones that count more first (systemd.unit(5)).
var unitDirs = []string{"/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"}

// unit is the agent's service.
type unit struct {
	file       string // empty: none is installed
	properties map[string]string
	live       bool // systemd itself said so, and not the files
	// reads is the configuration that it reads, where that is not the one that is looked at: then it is nothing but that.
	reads string
}

func (u unit) installed() bool { return u.file != "" }

func (u unit) get(name string) string { return u.properties[name] }

// configuration is the file that the service reads.
func (u unit) configuration() string {
	for _, from := range []struct {
		property string
		name     *regexp.Regexp
	}{{"ExecStart", flagOf}, {"Environment", environmentOf}} {
		if found := from.name.FindStringSubmatch(u.get(from.property)); found != nil {
			return found[1]
		}
	}
	return configs.DefaultPath
}

// flagOf and environmentOf find the configuration in a unit's command and in its environment.
var (
	flagOf        = regexp.MustCompile(`--config[= ]["']?([^\s"';]+)`)
	environmentOf = regexp.MustCompile(`OFFSITE_CONFIG=["']?([^\s"']+)`)
)

// paths are those that a property lists, without the prefixes that systemd allows. Of one that is bound elsewhere it is where the service
// sees it.
func (u unit) paths(names ...string) (paths []string) {
	for _, name := range names {
		for _, p := range u.words(name) {
			parts := strings.Split(strings.TrimLeft(p, "-+"), ":")
			if len(parts) > 1 && filepath.IsAbs(parts[1]) {
				parts = parts[1:]
			}
			paths = append(paths, filepath.Clean(parts[0]))
		}
	}
	return paths
}

// boundPath is one of the paths that `systemctl show` lists as bound: without the quotes that one with a space has in a unit, but always with
// how it is bound.
var boundPath = regexp.MustCompile(`\S.*?:(?:no)?rbind(?: |$)`)

// wordOf is a word of a unit's setting.
var wordOf = regexp.MustCompile(`"[^"]*"|'[^']*'|\S+`)

// words are those of a property.
func (u unit) words(name string) []string {
	words := wordOf.FindAllString(u.get(name), -1)
	if u.live && boundPath.MatchString(u.get(name)) {
		words = boundPath.FindAllString(u.get(name), -1)
	}
	for i, w := range words {
		words[i] = strings.Trim(w, `"' `)
	}
	return words
}

// unit is the service that runs an agent by the configuration that is looked at. One with another configuration says nothing of this one:
// neither of its user nor of its sandbox.
func (p *Patient) unit(ctx context.Context) unit {
	u := p.Machine.unit(ctx)
	if !u.installed() {
		return u
	}
	reads := u.configuration()
	if theirs, err := os.Stat(p.Machine.path(reads)); err == nil {
		if ours, err := os.Stat(p.Path); err == nil && os.SameFile(theirs, ours) {
			return u
		}
	}
	if ours, err := filepath.Abs(p.Path); err == nil && ours == filepath.Clean(reads) {
		return u
	}
	return unit{reads: reads}
}

// unit finds the service and asks for its properties.
func (m Machine) unit(ctx context.Context) (u unit) {
	for _, dir := range unitDirs {
		if path := filepath.Join(dir, serviceName); !missing(m.path(path)) {
			u.file = path
			break
		}
	}
	if !u.installed() {
		return u
	}
	show := m.Show
	if show == nil {
		show = systemctl
	}
	if m.Root == "" || m.Show != nil {
		if properties, err := show(ctx); err == nil && properties["LoadState"] != "not-found" && len(properties) > 0 {
			u.properties, u.live = properties, true
			return u
		}
	}
	u.properties = m.read(u.file)
	return u
}

// systemctl asks systemd. It answers only where it is the one who runs the host.
func systemctl(ctx context.Context) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "systemctl", "show", "--no-pager", serviceName).Output()
	if err != nil {
		return nil, err
	}
	return parseUnit(nil, out), nil
}

// read takes the properties from the unit's file and its drop-ins.
func (m Machine) read(file string) map[string]string {
	properties := map[string]string{}
	var drops []string
	for _, dir := range unitDirs {
		found, _ := filepath.Glob(m.path(filepath.Join(dir, serviceName+".d", "*.conf")))
		drops = append(drops, found...)
	}
	slices.SortFunc(drops, func(a, b string) int { return strings.Compare(filepath.Base(a), filepath.Base(b)) })
	for _, path := range append([]string{m.path(file)}, drops...) {
		if b, err := os.ReadFile(path); err == nil {
			properties = parseUnit(properties, b)
		}
	}
	return properties
}

// parseUnit reads KEY=VALUE lines over what is known already. Lists of paths grow, and an empty value begins them anew.
func parseUnit(properties map[string]string, text []byte) map[string]string {
	if properties == nil {
		properties = map[string]string{}
	}
	lines := bufio.NewScanner(bytes.NewReader(bytes.ReplaceAll(text, []byte("\\\n"), []byte(" "))))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		key, value, ok := strings.Cut(strings.TrimSpace(lines.Text()), "=")
		if !ok || strings.HasPrefix(key, "#") || strings.HasPrefix(key, ";") {
			continue
		}
		if strings.HasSuffix(key, "Paths") || key == "AmbientCapabilities" || key == "Environment" {
			if value != "" && properties[key] != "" {
				value = properties[key] + " " + value
			}
		}
		properties[key] = strings.TrimSpace(value)
	}
	return properties
}

func (p *Patient) service(u unit) Group {
	g := Group{Title: "service", About: u.file}
	switch {
	case u.installed():
		p.sandbox(&g, u)
		switch state := u.get("UnitFileState"); {
		case !u.live:
		case state == "disabled" || state == "masked":
			g.warning("enabled", "systemctl enable offsite", "the service is %s: it does not start with the host", state)
		case state != "":
			g.ok("enabled", "the service is %s", state)
		}
	case u.reads != "":
		g.warning("unit", "let a timer or cron run `offsite agent --once` with this one; or make it that of the service, and run `offsite install`",
			"the service that is installed reads %s, and not this configuration: nothing starts an agent for it", u.reads)
	default:
		g.warning("unit", "`offsite install` makes and starts one; or let a timer or cron run `offsite agent --once`", "no service is installed: nothing starts the agent")
	}
	pid, err := agent.Running(p.Config.State, p.Journal)
	switch {
	case err != nil:
		g.warning("running", "run `offsite doctor` as root", "it cannot be told whether an agent runs: %v", err)
	case pid == 0:
		remedy := "systemctl start offsite; what it says: journalctl -u offsite"
		if !u.installed() {
			remedy = "once the service is there it runs; until then, `offsite agent`"
		}
		g.warning("running", remedy, "no agent runs: no dump is shipped")
	case pid > 0:
		g.ok("running", "an agent runs (process %d)", pid)
		p.view(&g, rootOf(pid))
	default:
		g.ok("running", "an agent runs")
	}
	return g
}

// sandbox compares what the unit lets the agent see and write with what the configuration needs.
func (p *Patient) sandbox(g *Group, u unit) {
	before := len(g.Checks)
	for _, w := range p.Config.Watch {
		p.visible(g, u, w.Path, "the watched directory")
	}
	for _, t := range p.targets() {
		for _, f := range t.Files() {
			p.visible(g, u, f, "a key of target "+t.Name)
		}
		if t.Dir != nil {
			p.visible(g, u, t.Dir.Path, "target "+t.Name)
			p.writable(g, u, t.Dir.Path, "target "+t.Name)
		}
	}
	p.writable(g, u, p.Config.State, "the state directory")
	if len(g.Checks) == before {
		g.ok("sandbox", "%s lets the agent see and write what it must", serviceName)
	}
}

// dropIn is how to add to a unit.
func dropIn(line string) string {
	return "`systemctl edit offsite`, and write [Service] and " + line + "; then `systemctl restart offsite`"
}

// visible says what hides a path from the service.
func (p *Patient) visible(g *Group, u unit, path, what string) {
	if under(path, u.paths("BindPaths", "BindReadOnlyPaths")) {
		return
	}
	home := u.get("ProtectHome")
	switch {
	case (home == "yes" || home == "true" || home == "on" || home == "1" || home == "tmpfs") && under(path, []string{"/home", "/root", "/run/user"}):
		g.problem("sandbox", dropIn("ProtectHome=read-only, or BindReadOnlyPaths="+path), "%s %s is hidden from the service by ProtectHome=%s", what, path, home)
	case (u.get("PrivateTmp") == "yes" || u.get("PrivateTmp") == "true") && under(path, []string{"/tmp", "/var/tmp"}):
		g.problem("sandbox", dropIn("BindPaths="+path), "%s %s is hidden from the service by PrivateTmp", what, path)
	case u.get("RootDirectory") != "" && u.get("RootDirectory") != "/":
		g.problem("sandbox", "`offsite install` opens the sandbox for what the configuration names; or "+dropIn("BindReadOnlyPaths="+path), "%s %s is hidden from the service, which sees what is bound into %s", what, path, u.get("RootDirectory"))
	case under(path, u.paths("InaccessiblePaths", "InaccessibleDirectories", "TemporaryFileSystem")):
		g.problem("sandbox", "take it out of InaccessiblePaths and TemporaryFileSystem of "+serviceName, "%s %s is hidden from the service", what, path)
	}
}

// writable says what keeps the service from writing to a path.
func (p *Patient) writable(g *Group, u unit, path, what string) {
	open := u.paths("ReadWritePaths", "BindPaths")
	for _, dir := range strings.Fields(u.get("StateDirectory")) {
		dir, _, _ = strings.Cut(dir, ":")
		open = append(open, filepath.Join("/var/lib", dir))
	}
	if under(path, open) {
		return
	}
	home, system := u.get("ProtectHome"), u.get("ProtectSystem")
	readOnly := system == "strict" && !under(path, []string{"/dev", "/proc", "/sys"}) ||
		(system == "full" || system == "yes" || system == "true") && under(path, []string{"/usr", "/boot", "/efi"}) || system == "full" && under(path, []string{"/etc"}) ||
		home == "read-only" && under(path, []string{"/home", "/root", "/run/user"}) || under(path, u.paths("ReadOnlyPaths"))
	if readOnly {
		g.problem("sandbox", dropIn("ReadWritePaths="+path), "%s %s is read-only for the service", what, path)
	}
}

// under says whether path is one of dirs or below it.
func under(path string, dirs []string) bool {
	return slices.ContainsFunc(dirs, func(dir string) bool {
		rel, err := filepath.Rel(dir, path)
		return err == nil && filepath.IsLocal(rel)
	})
}
