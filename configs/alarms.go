package configs

import (
	"bytes"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"offsite/providers"
)

// Alarms is who is told of trouble, and when.
type Alarms struct {
	// Grace is how long a target may fail before that is told.
	Grace time.Duration `yaml:"grace"`
	// Repeat is after how long what lasts is told again.
	Repeat time.Duration `yaml:"repeat"`
	// Ways are the ways out, each of exactly one kind.
	Ways []Way `yaml:"ways"`
	// Pings are watchers elsewhere, which alarm when they hear nothing.
	Pings []Ping `yaml:"pings"`
}

// Way is a way out of alarms: an address of shoutrrr, a webhook or a program.
type Way struct {
	Name string `yaml:"-"`
	// URL is an address such as smtp://user:password@server, with its secrets.
	URL     providers.Secret `yaml:"url"`
	URLFile string           `yaml:"url_file"`
	Webhook *Webhook         `yaml:"webhook"`
	// Command is a program and its arguments.
	Command []string `yaml:"command"`
	// Level is the least that is told: warning, or problem; empty: all.
	Level string `yaml:"level"`
}

// Webhook is an address to post signed messages to.
type Webhook struct {
	URL     providers.Secret `yaml:"url"`
	URLFile string           `yaml:"url_file"`
	// Secret is what it signs with.
	Secret     providers.Secret `yaml:"secret"`
	SecretFile string           `yaml:"secret_file"`
}

// Ping is an address to tell of each run of some series, or every so often that the host is alive.
type Ping struct {
	// Series is a series, or a pattern of series as path.Match has it; empty: it is told that the host is alive.
	Series string `yaml:"series"`
	// Alive is how often it is told so; 0: it is told of runs.
	Alive time.Duration `yaml:"alive"`
	// URL is the address, with its secrets, or URLFile the file that holds it.
	URL     providers.Secret `yaml:"url"`
	URLFile string           `yaml:"url_file"`
}

// LoadAlarms reads the host's name and the ways out of alarms from a configuration that may be wrong in whatever else, since that may be the
// very trouble that is to be told. A way that is wrong itself is left out. host is empty if it cannot be read; without any way the error is
// an *Error, or that the file cannot be read.
func LoadAlarms(path string, checks Checks) (host string, ways []Way, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", nil, err
	}
	checks.Reading = true
	d := newDecoder(b)
	if d.root == nil { // its syntax is wrong somewhere: perhaps not there
		d = newDecoder(only(b, "host", "alarms"))
	}
	c := New()
	d.decode(c)
	v := &validator{decoder: d, checks: checks}
	v.alarms(&c.Alarms)
	for _, w := range c.Alarms.Ways {
		if !v.noted("alarms.ways." + w.Name) {
			ways = append(ways, w)
		}
	}
	if len(ways) == 0 {
		if len(d.mistakes) == 0 {
			d.note(0, "alarms.ways", "is not there: nobody can be told")
		}
		d.sort()
		return c.Host, nil, &Error{path, d.mistakes}
	}
	return c.Host, ways, nil
}

// only leaves the top-level keys of these names, and makes all other lines empty ones.
func only(b []byte, names ...string) []byte {
	lines := bytes.Split(b, []byte("\n"))
	keep := false
	for i, line := range lines {
		if len(line) > 0 && !bytes.ContainsAny(line[:1], " \t#\r") {
			key, _, _ := bytes.Cut(line, []byte(":"))
			keep = slices.Contains(names, string(bytes.TrimSpace(key)))
		}
		if !keep {
			lines[i] = nil
		}
	}
	return bytes.Join(lines, []byte("\n"))
}

// leastRepeat and leastAlive are the shortest times that are no mistake.
const (
	leastRepeat = 10 * time.Minute
	leastAlive  = time.Minute
)

func (v *validator) alarms(a *Alarms) {
	if a.Repeat < leastRepeat {
		v.wrong("alarms.repeat", "is %s, which would bury the alarms; write 10m or more, such as 24h", a.Repeat)
	}
	for i := range a.Ways {
		v.way(&a.Ways[i])
	}
	for i := range a.Pings {
		v.ping(&a.Pings[i], fmt.Sprintf("alarms.pings[%d]", i))
	}
}

func (v *validator) way(w *Way) {
	key := "alarms.ways." + w.Name
	if !targetName.MatchString(w.Name) {
		v.wrong(key, "a way's name should be lower-case letters, digits and hyphens")
	}
	kinds := 0
	for _, set := range []bool{w.URL.IsSet() || w.URLFile != "", w.Webhook != nil, len(w.Command) > 0} {
		if set {
			kinds++
		}
	}
	switch {
	case kinds == 0 && v.noted(key): // it is there, but cannot be read
	case kinds != 1:
		v.wrong(key, "has %d kinds; write exactly one of url (or url_file), webhook, command", kinds)
	case len(w.Command) > 0 && w.Command[0] == "":
		v.wrong(key+".command", "begins with nothing; write a program, such as [/usr/local/bin/tell-me, --now]")
	case w.Webhook != nil:
		v.secret(&w.Webhook.URL, &w.Webhook.URLFile, key+".webhook", "url", v.checks.Hook, "where to post to")
		v.secret(&w.Webhook.Secret, &w.Webhook.SecretFile, key+".webhook", "secret", v.checks.HookSecret, "what to sign with")
	case len(w.Command) == 0:
		v.secret(&w.URL, &w.URLFile, key, "url", v.checks.Way, "where to send to")
	}
	if w.Level != "" && w.Level != "warning" && w.Level != "problem" {
		v.wrong(key+".level", "%q should be warning (all that is one or worse) or problem", w.Level)
	}
}

// noted says whether something below key is wrong already.
func (v *validator) noted(key string) bool {
	return slices.ContainsFunc(v.mistakes, func(m Mistake) bool { return m.Key == key || strings.HasPrefix(m.Key, key+".") })
}

func (v *validator) ping(p *Ping, key string) {
	switch _, err := path.Match(p.Series, ""); {
	case p.Series == "" && p.Alive == 0:
		v.wrong(key, "needs series (told of each of its runs) or alive (told every so often that this host lives, such as 5m)")
	case p.Series != "" && p.Alive != 0:
		v.wrong(key+".alive", "is given beside series; write a ping of its own, at another url")
	case err != nil:
		v.wrong(key+".series", "%q is no series; write the name of one, or a pattern such as shop*", p.Series)
	case p.Alive != 0 && p.Alive < leastAlive:
		v.wrong(key+".alive", "is %s; write 1m or more", p.Alive)
	}
	v.secret(&p.URL, &p.URLFile, key, "url", v.checks.Hook, "where to ping")
}

// secret is one that is needed, as a value or in a file. What is in the file is looked at when it is used: other commands than the agent
// have no business with it.
func (v *validator) secret(value *providers.Secret, file *string, key, name string, check Check, why string) {
	v.credential(file)
	switch {
	case value.IsSet() && *file != "":
		v.wrong(key+"."+name, "is given twice, as a value and as a file; keep %s_file only", name)
	case !value.IsSet() && *file == "":
		v.wrong(key, "needs %s or %s_file: %s", name, name, why)
	case value.IsSet() && check != nil:
		if err := check(value.Reveal()); err != nil {
			v.wrong(key+"."+name, "%v", err)
		}
	}
}
