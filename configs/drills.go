package configs

import (
	"path"
	"path/filepath"
	"time"

	"offsite/providers"
)

// Drill is a restore into a scratch place, again and again, to prove that the backups work.
type Drill struct {
	Name string `yaml:"-"`
	// Series is a series, or a pattern of series as path.Match has it, each of which is restored.
	Series string `yaml:"series"`
	// Target is the one that is restored from; empty: each time another one.
	Target string `yaml:"target"`
	// Every is when it is due again; never: only by hand.
	Every Schedule `yaml:"every"`
	// IdentityFile holds a secret key that opens the backups, and is given to drills alone.
	IdentityFile string         `yaml:"identity_file"`
	Postgres     *PostgresDrill `yaml:"postgres"`
	// Command is a program and its arguments, which gets the dump.
	Command []string `yaml:"command"`
	// TimeLimit is how long one may take; 0: six hours.
	TimeLimit time.Duration `yaml:"time_limit"`
}

// PostgresDrill is a drill into a scratch database.
type PostgresDrill struct {
	// DSN is how to reach the server; it may hold a password.
	DSN     providers.Secret `yaml:"dsn"`
	DSNFile string           `yaml:"dsn_file"`
	// Container is the Docker container in which psql and pg_restore are.
	Container string `yaml:"container"`
	// Checks are asked in their order; none: that there is a table is enough.
	Checks []DrillCheck `yaml:"checks"`
}

// DrillCheck asks the restored database for a value.
type DrillCheck struct {
	// SQL gives one row with one column.
	SQL string `yaml:"sql"`
	// Expect is a comparison such as "> 100"; empty: any value but none.
	Expect string `yaml:"expect"`
	// Database is the one that is asked, of a dump of a whole cluster; empty: the only one that has tables.
	Database string `yaml:"database"`
}

// Covers says whether the drill restores a series.
func (d *Drill) Covers(series string) bool {
	fits, _ := path.Match(d.Series, series)
	return fits || d.Series == series
}

func (v *validator) drills(c *Config) {
	for i := range c.Drills {
		d := &c.Drills[i]
		key := "drills." + d.Name
		if !targetName.MatchString(d.Name) {
			v.wrong(key, "a drill's name should be lower-case letters, digits and hyphens")
		}
		if _, err := path.Match(d.Series, ""); err != nil || d.Series == "" {
			v.wrong(key+".series", "%q is no series; write the name of one, or a pattern such as shop*", d.Series)
		}
		if d.Target != "" && !v.hasTarget(c, d.Target) {
			v.wrong(key+".target", "there is no target %s", d.Target)
		}
		switch {
		case d.Postgres == nil && len(d.Command) == 0:
			v.wrong(key, "needs postgres or command: where the dump is restored to")
		case d.Postgres != nil && len(d.Command) > 0:
			v.wrong(key+".command", "is given beside postgres; keep one")
		}
		v.credential(&d.IdentityFile)
		if p := d.Postgres; p != nil {
			v.postgresDrill(p, key+".postgres")
		}
	}
}

func (v *validator) hasTarget(c *Config, name string) bool {
	for _, t := range c.Targets {
		if t.Name == name {
			return true
		}
	}
	return false
}

func (v *validator) postgresDrill(p *PostgresDrill, key string) {
	v.credential(&p.DSNFile)
	switch {
	case !p.DSN.IsSet() && p.DSNFile == "":
		v.wrong(key, "needs dsn or dsn_file: how to reach the server")
	case p.DSN.IsSet() && p.DSNFile != "":
		v.wrong(key+".dsn_file", "is given beside dsn; keep one")
	case p.DSN.IsSet() && v.checks.DSN != nil:
		if err := v.checks.DSN(p.DSN.Reveal()); err != nil {
			v.wrong(key+".dsn", "%v", err)
		}
	}
	for i, check := range p.Checks {
		if check.SQL == "" {
			v.wrong(key+".checks", "check %d has no sql", i+1)
		}
		if v.checks.Expect != nil && check.Expect != "" {
			if err := v.checks.Expect(check.Expect); err != nil {
				v.wrong(key+".checks", "check %d: expect %q %v", i+1, check.Expect, err)
			}
		}
	}
}

// credential gives a relative file, or one in the store, its place in systemd's credentials directory. That it is not there is told when it is used: the
// agent has no business with it.
func (v *validator) credential(file *string) {
	name := credentialName(*file)
	if name == "" || filepath.IsAbs(name) || v.checks.Root != "" {
		return
	}
	if directory := credentialsDirectory(); directory != "" {
		*file = filepath.Join(directory, name)
	}
}
