package metrics

import (
	"slices"

	"offsite/agent/status"
)

// other stands for whatever is in none of the lists below: a label has bounded values, and nothing is left uncounted.
const other = "other"

// kinds are those of alarms.
var kinds = []string{
	status.KindOverdue, status.KindSuspect, status.KindFailing, status.KindUnsent, status.KindRepair, status.KindDrill,
	status.KindHeld, status.KindJournal, status.KindStopped, status.KindWay, status.KindStranger,
	status.KindConfig, status.KindTest, other,
}

// levels are those of alarms.
var levels = []status.Level{status.Warning, status.Problem}

// errorKinds are those of status.Counts.Errors.
var errorKinds = []string{"permission", "permanent", "network", "integrity", "source", other}

func oneOf(known []string, kind string) string {
	if slices.Contains(known, kind) {
		return kind
	}
	return other
}

// errorsByKind has all kinds.
func errorsByKind(counted map[string]int64) map[string]int64 {
	all := map[string]int64{}
	for _, kind := range errorKinds {
		all[kind] = 0
	}
	for kind, n := range counted {
		all[oneOf(errorKinds, kind)] += n
	}
	return all
}

// rank is a level as a number: 0 is good, 1 a warning, 2 a problem.
func rank(l status.Level) float64 {
	switch l {
	case "", status.OK:
		return 0
	case status.Warning:
		return 1
	}
	return 2
}
