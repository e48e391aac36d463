package configs

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Keep is how many backups stay, by period. What is not named is 0: a keep that is written replaces the default as a
// whole.
type Keep struct {
	Last    Count `yaml:"last"`
	Hourly  Count `yaml:"hourly"`
	Daily   Count `yaml:"daily"`
	Weekly  Count `yaml:"weekly"`
	Monthly Count `yaml:"monthly"`
	Yearly  Count `yaml:"yearly"`
	// Within keeps all that are younger, such as 30d; empty: no such rule.
	Within string `yaml:"within"`
	// MinKeep of the newest stay in any case; nil: 3.
	MinKeep *Count `yaml:"min_keep"`
}

// SeriesRule is what is said of some series.
type SeriesRule struct {
	// Match is a pattern of the series' name as path.Match has it: * does not go past a slash.
	Match string `yaml:"match"`
	// Targets are the names of those for which Keep holds; empty: all.
	Targets []string `yaml:"targets"`
	// Keep is an exception from what is kept otherwise; nil: there is none.
	Keep *Keep `yaml:"keep"`
	// Expect is when silence is an alarm; 0: that is learnt from the series.
	Expect Expect `yaml:"expect"`
}

// DefaultKeep is what is kept unless something is said.
func DefaultKeep() *Keep {
	return &Keep{Daily: 7, Weekly: 4, Monthly: 12, Yearly: Forever}
}

// KeepFor is the policy for a series on a target: the first fitting exception, else the target's, else the general one.
func (c *Config) KeepFor(t Target, series string) *Keep {
	for _, s := range c.Series {
		fits, _ := path.Match(s.Match, series)
		if fits && s.Keep != nil && (len(s.Targets) == 0 || slices.Contains(s.Targets, t.Name)) {
			return s.Keep
		}
	}
	if t.Keep != nil {
		return t.Keep
	}
	return c.Keep
}

// ExpectFor is what the first fitting rule with an expect says of a series; 0: none does.
func (c *Config) ExpectFor(series string) Expect {
	for _, s := range c.Series {
		if fits, _ := path.Match(s.Match, series); fits && s.Expect != 0 {
			return s.Expect
		}
	}
	return 0
}

// ExpectedSeries are those that are expected by their names, not by a pattern.
func (c *Config) ExpectedSeries() (names []string) {
	for _, s := range c.Series {
		if s.Expect > 0 && !strings.ContainsAny(s.Match, `*?[\`) {
			names = append(names, s.Match)
		}
	}
	return names
}

// timed says whether a rule goes by the calendar or by age, not by the number of backups alone.
func (k *Keep) timed() bool {
	return k.Hourly != 0 || k.Daily != 0 || k.Weekly != 0 || k.Monthly != 0 || k.Yearly != 0 || k.Within != ""
}

func (c *Config) fillKeep() {
	if c.Keep == nil {
		c.Keep = DefaultKeep()
	}
	for i := range c.Targets {
		if c.Targets[i].Retention == "" {
			c.Targets[i].Retention = "enforce"
		}
	}
}

// keeps notes what is wrong with the policies.
func (v *validator) keeps(c *Config) {
	v.keep("keep", c.Keep)
	for _, t := range c.Targets {
		key := "targets." + t.Name
		v.keep(key+".keep", t.Keep)
		if t.Retention != "" && !slices.Contains(retentions, t.Retention) {
			v.wrong(key+".retention", "%q should be enforce, report (say what would go) or off", t.Retention)
		}
	}
	v.locks(c)
	for i, s := range c.Series {
		key := fmt.Sprintf("series[%d]", i)
		if _, err := path.Match(s.Match, ""); err != nil || s.Match == "" {
			v.wrong(key+".match", "%q is not a pattern; write the name of a series, or one such as shop*", s.Match)
		}
		if s.Keep == nil && s.Expect == 0 {
			v.wrong(key, "has neither keep nor expect; write what is to be kept of these series, or when their silence is an alarm")
		}
		if s.Keep == nil && len(s.Targets) > 0 {
			v.wrong(key+".targets", "are for keep, which is not there: a dump is expected whatever the target")
		}
		v.keep(key+".keep", s.Keep)
		for n, name := range s.Targets {
			if !slices.ContainsFunc(c.Targets, func(t Target) bool { return t.Name == name }) {
				v.wrong(fmt.Sprintf("%s.targets[%d]", key, n), "there is no target %q", name)
			}
		}
	}
}

// locks notes policies that do not say how long a backup stays, on targets that are to lock it so long.
func (v *validator) locks(c *Config) {
	for _, t := range c.Targets {
		if !t.Locks() {
			continue
		}
		untimed := func(key string, k *Keep) {
			if k != nil && !k.timed() {
				v.wrong(key, "does not say how long a backup stays, and target %s has a lock; add a rule such as daily or within", t.Name)
			}
		}
		if t.Keep != nil {
			untimed("targets."+t.Name+".keep", t.Keep)
		} else {
			untimed("keep", c.Keep)
		}
		for i, s := range c.Series {
			if len(s.Targets) == 0 || slices.Contains(s.Targets, t.Name) {
				untimed(fmt.Sprintf("series[%d].keep", i), s.Keep)
			}
		}
	}
}

func (v *validator) keep(key string, k *Keep) {
	if k == nil {
		return
	}
	if k.Within != "" && v.checks.Age != nil {
		if err := v.checks.Age(k.Within); err != nil {
			v.wrong(key+".within", "%q %v", k.Within, err)
		}
	}
	if k.MinKeep != nil && (*k.MinKeep < 1) {
		v.wrong(key+".min_keep", "should be 1 or more: the newest backup always stays")
	}
}
