package metrics

import "offsite/agent/status"

// ofHost is what is said of the host as a whole.
func (c *catalogue) ofHost() {
	add := func(name, help string, of func(*status.Host) (float64, bool)) {
		c.hosts = append(c.hosts, family[status.Host]{c.gauge(name, help), of})
	}
	add("offsite_agent_up", "1 if an agent runs.", func(h *status.Host) (float64, bool) { return truth(h.Running) })
	add("offsite_agent_start_timestamp_seconds", "When the agent was started; left out if none runs.", func(h *status.Host) (float64, bool) { return instant(h.Started) })
	add("offsite_status_timestamp_seconds", "The instant of which all of this is said.", func(h *status.Host) (float64, bool) { return instant(h.At) })
	add("offsite_status_level", "The worst of all alarms: 0 everything is safe, 1 warning, 2 problem.", func(h *status.Host) (float64, bool) { return always(rank(h.Level)) })
	add("offsite_ways", "Ways out for alarms that are configured.", func(h *status.Host) (float64, bool) { return number(len(h.Ways)) })
	add("offsite_ways_failing", "Ways out for alarms that fail.", func(h *status.Host) (float64, bool) {
		failing := 0
		for _, w := range h.Ways {
			if !w.Failing.IsZero() {
				failing++
			}
		}
		return number(failing)
	})
}

// ofSeries is what is said of the dumps of a series.
func (c *catalogue) ofSeries() {
	add := func(name, help string, of func(*status.Series) (float64, bool)) {
		c.serieses = append(c.serieses, family[status.Series]{c.gauge(name, help, "series"), of})
	}
	ofLast := func(of func(*status.Dump) (float64, bool)) func(*status.Series) (float64, bool) {
		return func(s *status.Series) (float64, bool) {
			if s.Last == nil {
				return 0, false
			}
			return of(s.Last)
		}
	}
	add("offsite_series_last_dump_timestamp_seconds", "When the newest dump was taken, shipped or not; left out if none was met.", ofLast(func(d *status.Dump) (float64, bool) { return instant(d.Taken) }))
	add("offsite_series_last_dump_size_bytes", "Size of the newest dump.", ofLast(func(d *status.Dump) (float64, bool) { return number(d.Size) }))
	add("offsite_series_last_dump_suspect", "1 if the newest dump is suspect: not whole, or of an unusual size.", ofLast(func(d *status.Dump) (float64, bool) { return truth(d.Health == suspect) }))
	add("offsite_series_last_dump_healthy", "1 if the newest dump was examined and is whole; 0: it is suspect, being looked at, or of a kind that offsite cannot read.", ofLast(func(d *status.Dump) (float64, bool) { return truth(d.Health == healthy) }))
	add("offsite_series_interval_seconds", "How long after a dump the next one comes at the latest, learnt or configured; left out if not known.", func(s *status.Series) (float64, bool) { return length(s.Usual) })
	add("offsite_series_due_timestamp_seconds", "When the next dump is there at the latest; left out if not known.", func(s *status.Series) (float64, bool) { return instant(s.Due) })
	add("offsite_series_overdue", "1 if the next dump should have come.", func(s *status.Series) (float64, bool) { return truth(s.Overdue) })
	add("offsite_series_level", "The worst alarm of the series: 0 none, 1 warning, 2 problem.", func(s *status.Series) (float64, bool) { return always(rank(s.Level)) })
}

// The verdicts on dumps that are shown.
const (
	suspect = "suspect"
	healthy = "ok"
)

// ofCopies is what is said of a series on a target.
func (c *catalogue) ofCopies() {
	add := func(name, help string, of func(*status.Copies) (float64, bool)) {
		c.copies = append(c.copies, family[status.Copies]{c.gauge(name, help, "series", "target"), of})
	}
	add("offsite_last_backup_timestamp_seconds", "When the newest healthy backup on the target was taken; 0: there is none.", func(on *status.Copies) (float64, bool) { return ever(on.Newest) })
	add("offsite_last_backup_arrival_timestamp_seconds", "Since when the newest healthy backup is on the target; left out if not known.", func(on *status.Copies) (float64, bool) { return instant(on.Offsite) })
	add("offsite_backups", "Backups on the target.", func(on *status.Copies) (float64, bool) { return number(on.Backups) })
	add("offsite_backups_suspect", "Backups on the target whose dumps are suspect.", func(on *status.Copies) (float64, bool) { return number(on.Suspect) })
	add("offsite_backups_damaged", "Backups on the target that are not whole any more.", func(on *status.Copies) (float64, bool) { return number(on.Damaged) })
	add("offsite_backups_missing", "Backups that are gone from the target, though no retention removed them.", func(on *status.Copies) (float64, bool) { return number(on.Missing) })
	add("offsite_backups_stored_bytes", "Size of the backups on the target.", func(on *status.Copies) (float64, bool) { return number(on.Stored) })
	add("offsite_dumps_owed", "Dumps of the series that the target lacks and is to get.", func(on *status.Copies) (float64, bool) { return number(on.Owed) })
	add("offsite_retention_held", "1 if retention waits for a person: offsite prune --confirm.", func(on *status.Copies) (float64, bool) { return truth(on.Held != "") })
}

// rest is the sum of the series beyond Most.
type rest struct {
	series, overdue, suspect, owed, held, bad int
	stored                                    int64
	worst                                     float64
}

func (r *rest) add(s *status.Series) {
	r.series++
	r.worst = max(r.worst, rank(s.Level))
	if s.Overdue {
		r.overdue++
	}
	if s.Last != nil && s.Last.Health == suspect {
		r.suspect++
	}
	for _, on := range s.On {
		r.owed += on.Owed
		r.bad += on.Damaged + on.Missing
		r.stored += on.Stored
		if on.Held != "" {
			r.held++
		}
	}
}

// ofRest is what is said of the series that are not shown one by one.
func (c *catalogue) ofRest() {
	add := func(name, help string, of func(*rest) (float64, bool)) {
		c.dropped = append(c.dropped, family[rest]{c.gauge(name, help), of})
	}
	add("offsite_series_dropped", "Series that are not shown one by one, since there are more than 1000; the offsite_dropped_* metrics sum them up.", func(r *rest) (float64, bool) { return number(r.series) })
	add("offsite_dropped_level", "The worst alarm of the series that are not shown one by one: 0 none, 1 warning, 2 problem.", func(r *rest) (float64, bool) { return always(r.worst) })
	add("offsite_dropped_overdue", "Series that are overdue, of those that are not shown one by one.", func(r *rest) (float64, bool) { return number(r.overdue) })
	add("offsite_dropped_suspect", "Series whose newest dump is suspect, of those that are not shown one by one.", func(r *rest) (float64, bool) { return number(r.suspect) })
	add("offsite_dropped_damaged_backups", "Backups that are damaged or missing, of the series that are not shown one by one, over all targets.", func(r *rest) (float64, bool) { return number(r.bad) })
	add("offsite_dropped_held", "Series on targets for which retention waits for a person, of those that are not shown one by one.", func(r *rest) (float64, bool) { return number(r.held) })
	add("offsite_dropped_owed_dumps", "Dumps that targets lack, of the series that are not shown one by one.", func(r *rest) (float64, bool) { return number(r.owed) })
	add("offsite_dropped_stored_bytes", "Size of the backups of the series that are not shown one by one, over all targets.", func(r *rest) (float64, bool) { return number(r.stored) })
}
