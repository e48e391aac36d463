package main

import (
	"fmt"
	"html"
	"strings"
	"time"
)

const (
	chartWidth  = 860
	labelWidth  = 300
	valueWidth  = 190
	barHeight   = 18
	titleHeight = 34
)

// chart draws the median wall time of each contestant as a bar; those of a contest have one scale.
func chart(results []*result) string {
	var body strings.Builder
	y := 10
	for i, r := range results {
		if i == 0 || results[i-1].contest != r.contest {
			fmt.Fprintf(&body, `<text x="10" y="%d" class="title">%s</text>`+"\n", y+22, html.EscapeString(r.contest))
			y += titleHeight
		}
		m := r.median()
		width := int(float64(chartWidth-labelWidth-valueWidth) * float64(m.wall) / float64(max(1, slowest(results, r.contest))))
		class := "peer"
		if r.ours {
			class = "ours"
		} else if r.floor {
			class = "floor"
		}
		fmt.Fprintf(&body, `<text x="%d" y="%d" text-anchor="end">%s</text><rect x="%d" y="%d" width="%d" height="%d" class="%s"/>`,
			labelWidth-8, y+13, html.EscapeString(r.contestant), labelWidth, y, max(1, width), barHeight-4, class)
		fmt.Fprintf(&body, `<text x="%d" y="%d">%.2f s, CPU %.2f %s, %.0f MiB</text>`+"\n", labelWidth+width+6, y+12, m.wall.Seconds(), r.cpu(m), cpuUnit(r), mib(m.peak))
		y += barHeight
	}
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" role="img" aria-label="wall time of offsite and its peers">
<style>svg{background:#fff}text{font:12px sans-serif;fill:#222}.title{font-weight:bold;font-size:14px}.ours{fill:#1a7f5a}.peer{fill:#9aa5b1}.floor{fill:#d9c27a}</style>
%s</svg>
`, chartWidth, y+10, body.String())
}

func slowest(results []*result, contest string) time.Duration {
	var most time.Duration
	for _, r := range results {
		if r.contest == contest {
			most = max(most, r.median().wall)
		}
	}
	return most
}
