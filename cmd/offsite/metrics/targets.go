package metrics

import (
	"offsite/agent/status"
)

// ofTargets is what is said of a target.
func (c *catalogue) ofTargets() {
	add := func(name, help string, of func(*status.Target) (float64, bool)) {
		c.targeted = append(c.targeted, family[status.Target]{c.gauge(name, help, "target"), of})
	}
	add("offsite_target_level", "The worst alarm of the target: 0 none, 1 warning, 2 problem.", func(t *status.Target) (float64, bool) { return always(rank(t.Level)) })
	add("offsite_target_failing", "1 if the target takes nothing though it is owed something.", func(t *status.Target) (float64, bool) { return truth(!t.Failing.IsZero()) })
	add("offsite_target_failing_since_timestamp_seconds", "Since when the target takes nothing though it is owed something; left out while it works.", func(t *status.Target) (float64, bool) { return instant(t.Failing) })
	add("offsite_target_last_delivery_timestamp_seconds", "When the target got a dump last; 0: never.", func(t *status.Target) (float64, bool) { return ever(t.Delivered) })
	add("offsite_target_owed_dumps", "Dumps that the target lacks and is to get.", func(t *status.Target) (float64, bool) { return number(t.Owed) })
	add("offsite_target_owed_bytes", "Size of the dumps that the target lacks and is to get.", func(t *status.Target) (float64, bool) { return number(t.OwedBytes) })
	add("offsite_target_backups", "Backups of this host on the target.", func(t *status.Target) (float64, bool) { return number(t.Backups) })
	add("offsite_target_stored_bytes", "Size of the backups of this host on the target.", func(t *status.Target) (float64, bool) { return number(t.Stored) })
	add("offsite_target_proven_backups", "Backups of which all data was read and compared within offsite_target_verify_interval_seconds.", func(t *status.Target) (float64, bool) { return number(t.Proven) })
	add("offsite_target_damaged_backups", "Backups that were not whole when they were read last.", func(t *status.Target) (float64, bool) { return number(t.Damaged) })
	add("offsite_target_missing_backups", "Backups that are gone, though no retention removed them.", func(t *status.Target) (float64, bool) { return number(t.Missing) })
	add("offsite_target_verify_interval_seconds", "Within which all that is on the target is read and compared; 0: that is never done.", func(t *status.Target) (float64, bool) { return always(t.Every.Seconds()) })
	add("offsite_target_verified_timestamp_seconds", "When a share of what is on the target was read and compared last; 0: never.", func(t *status.Target) (float64, bool) { return ever(t.Looked) })
}

// moving is what is under way to a target.
type moving struct {
	transfers   int
	done, total int64
	rate        float64
}

func underWay(h *status.Host, target string) *moving {
	m := &moving{}
	for _, t := range h.Transfers {
		if t.Target == target {
			m.transfers++
			m.done += t.Done
			m.total += t.Total
			m.rate += t.Rate
		}
	}
	return m
}

// ofTransfers is what is said of the transfers to a target, together.
func (c *catalogue) ofTransfers() {
	add := func(name, help string, of func(*moving) (float64, bool)) {
		c.transfers = append(c.transfers, family[moving]{c.gauge(name, help, "target"), of})
	}
	add("offsite_transfers", "Dumps that are on their way to the target.", func(m *moving) (float64, bool) { return number(m.transfers) })
	add("offsite_transfers_done_bytes", "Bytes that are on the target of the dumps on their way.", func(m *moving) (float64, bool) { return number(m.done) })
	add("offsite_transfers_size_bytes", "Size of the dumps on their way, as they are stored.", func(m *moving) (float64, bool) { return number(m.total) })
	add("offsite_transfers_bytes_per_second", "How fast the dumps on their way go.", func(m *moving) (float64, bool) { return always(m.rate) })
}

// ofCounts is what was counted of a target since the agent was started.
func (c *catalogue) ofCounts() {
	add := func(name, help string, of func(*status.Counts) int64) {
		c.counts = append(c.counts, family[status.Counts]{c.counter(name, help, "target"), func(n *status.Counts) (float64, bool) {
			return float64(of(n)), true
		}})
	}
	add("offsite_target_delivered_dumps_total", "Dumps that were delivered to the target.", func(n *status.Counts) int64 { return n.Delivered })
	add("offsite_target_sent_bytes_total", "Bytes of data that were sent to the target.", func(n *status.Counts) int64 { return n.Bytes })
	add("offsite_target_retries_total", "Deliveries to the target that failed and are tried again.", func(n *status.Counts) int64 { return n.Retries })
	add("offsite_target_removed_backups_total", "Backups that retention removed from the target.", func(n *status.Counts) int64 { return n.Removed })
	add("offsite_target_compared_bytes_total", "Bytes on the target that were read and compared with their signed sums.", func(n *status.Counts) int64 { return n.Compared })
	c.errors = c.counter("offsite_target_errors_total", "Errors of the target by kind: permission, permanent, network, integrity, source, other.", "target", "kind")
	c.took = c.add("offsite_target_delivery_duration_seconds", "How long deliveries of a dump to the target took.", 0, []string{"target"})
}

// ofDrills is what is said of a drill of a series.
func (c *catalogue) ofDrills() {
	add := func(name, help string, of func(*status.Drill) (float64, bool)) {
		c.drilled = append(c.drilled, family[status.Drill]{c.gauge(name, help, "drill", "series"), of})
	}
	ofLast := func(of func(*status.Run) (float64, bool)) func(*status.Drill) (float64, bool) {
		return func(d *status.Drill) (float64, bool) {
			if d.Last == nil {
				return 0, false
			}
			return of(d.Last)
		}
	}
	add("offsite_drill_last_run_timestamp_seconds", "When the drill was run last; left out if it never was.", ofLast(func(r *status.Run) (float64, bool) { return instant(r.Began) }))
	add("offsite_drill_last_run_passed", "1 if the last run passed.", ofLast(func(r *status.Run) (float64, bool) { return truth(r.Passed) }))
	add("offsite_drill_last_run_duration_seconds", "How long the last run took: the least that a real restore takes.", ofLast(func(r *status.Run) (float64, bool) { return always(r.Took.Seconds()) }))
	add("offsite_drill_last_run_size_bytes", "Size of the dump that the last run restored.", ofLast(func(r *status.Run) (float64, bool) { return number(r.Bytes) }))
	add("offsite_drill_last_run_rows", "Rows that the last run restored; left out if they were not counted.", ofLast(func(r *status.Run) (float64, bool) { return float64(r.Rows), r.Rows > 0 }))
	add("offsite_drill_last_run_backup_timestamp_seconds", "When the dump that the last run restored was taken.", ofLast(func(r *status.Run) (float64, bool) { return instant(r.Taken) }))
	add("offsite_drill_passed_timestamp_seconds", "When the last run that passed began; 0: never.", func(d *status.Drill) (float64, bool) { return ever(d.Passed) })
	add("offsite_drill_due_timestamp_seconds", "When the drill is to be run again; left out if only by hand.", func(d *status.Drill) (float64, bool) { return instant(d.Due) })
	add("offsite_drill_overdue", "1 if the drill should have passed again.", func(d *status.Drill) (float64, bool) { return truth(d.Overdue) })
	c.drillsDropped = c.gauge("offsite_drills_dropped", "Drills of series that are not shown, since there are more than 1000.")
}
