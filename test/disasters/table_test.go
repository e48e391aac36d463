package disasters_test

import (
	"fmt"
	"strings"
	"time"
)

// outcome is how a disaster ended. What does not apply is zero.
type outcome struct {
	risk     string
	happened string
	// back is what the database came back from, rows how many rows were compared, one by one, and were as they should be.
	back string
	rows int
	// lost is how much of what was written is gone, in time: from the newest row that is there to the disaster.
	lost time.Duration
	// took is from the first command of the operator to the last.
	took time.Duration
	// alarm is what a receiver of webhooks heard, and told after how much time.
	alarm string
	told  time.Duration
}

const headLine = "| risk | what happened | came back from | rows, all equal | data lost (RPO) | back after (RTO) | alarm |\n|---|---|---|---|---|---|---|"

// table is Markdown.
func table(outcomes []*outcome) string {
	var b strings.Builder
	fmt.Fprintln(&b, headLine)
	for _, o := range outcomes {
		if o == nil {
			continue // it has failed, which was said
		}
		rows, lost, took, alarm := "", "", "", ""
		if o.rows > 0 {
			rows, lost, took = fmt.Sprint(o.rows), short(o.lost), short(o.took)
		}
		if o.alarm != "" {
			alarm = fmt.Sprintf("%s after %s", o.alarm, short(o.told))
		}
		fmt.Fprintf(&b, "| %s |\n", strings.Join([]string{o.risk, o.happened, o.back, rows, lost, took, alarm}, " | "))
	}
	return b.String()
}

// short is a duration for people.
func short(d time.Duration) string {
	switch {
	case d == 0:
		return "none"
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	d = d.Round(time.Minute)
	return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
}
