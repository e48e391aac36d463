package page

import (
	"fmt"
	"html/template"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"offsite/agent/status"
)

// Sparklines are so many units wide and high, within a margin for the dot at the end.
const (
	sparkWidth, sparkHeight, sparkMargin = 100, 24, 3
)

// sizesLine draws the sizes of the last dumps, oldest first. Its scale begins at 0, so that a jump looks as large as it is.
func sizesLine(sizes []int64) template.HTML {
	if len(sizes) < 2 {
		return ""
	}
	top := int64(1)
	for _, s := range sizes {
		top = max(top, s)
	}
	var points strings.Builder
	x, y := 0, 0
	for i, s := range sizes {
		x = sparkMargin + i*(sparkWidth-2*sparkMargin)/(len(sizes)-1)
		y = sparkHeight - sparkMargin - int(float64(max(0, s))/float64(top)*(sparkHeight-2*sparkMargin))
		fmt.Fprintf(&points, "%d,%d ", x, y)
	}
	label := fmt.Sprintf("Sizes of the last %d dumps: first %s, last %s.", len(sizes), size(sizes[0]), size(sizes[len(sizes)-1]))
	return template.HTML(fmt.Sprintf(`<svg class="spark" viewBox="0 0 %d %d" role="img" aria-label="%s"><polyline points="%s"/><circle cx="%d" cy="%d" r="2.5"/></svg>`,
		sparkWidth, sparkHeight, label, strings.TrimSpace(points.String()), x, y)) // numbers, and sizes of our own
}

// trend draws how long the last runs of a drill took, oldest first; one that failed is hollow.
func trend(runs []status.Run) template.HTML {
	if len(runs) == 0 {
		return ""
	}
	top, failed := time.Duration(1), 0
	for _, r := range runs {
		top = max(top, r.Took)
		if !r.Passed {
			failed++
		}
	}
	const step = 8
	var bars strings.Builder
	for i, r := range runs {
		class, height := "ok", 3+int(float64(max(0, r.Took))/float64(top)*(sparkHeight-3))
		if !r.Passed {
			class, height = "no", sparkHeight-2
		}
		fmt.Fprintf(&bars, `<rect class="%s" x="%d" y="%d" width="6" height="%d"/>`, class, i*step+1, sparkHeight-height-1, height)
	}
	last := runs[len(runs)-1]
	label := fmt.Sprintf("The last %s: %d passed, %d failed; the last took %s.", plural(len(runs), "run"), len(runs)-failed, failed, spell(last.Took))
	return template.HTML(fmt.Sprintf(`<svg class="trend" width="%d" viewBox="0 0 %d %d" role="img" aria-label="%s">%s</svg>`,
		len(runs)*step, len(runs)*step, sparkHeight, label, bars.String())) // numbers, and words of our own
}

func size(n int64) string { return humanize.IBytes(uint64(max(0, n))) }
