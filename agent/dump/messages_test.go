package dump

import (
	"regexp"
	"testing"

	"pgregory.net/rapid"
)

// What an expression matches is never kept from it.
func TestEveryMessageIsLookedAt(t *testing.T) {
	for _, c := range []struct {
		expression *regexp.Regexp
		complains  bool
	}{{complaint, true}, {remark, true}, {failure, false}} {
		lines := rapid.StringMatching(c.expression.String())
		rapid.Check(t, func(t *rapid.T) {
			line := lines.Draw(t, "line")
			x := &text{done: true}
			first := line[0]
			counts := first >= 'a' && first <= 'z' || first == '/' || first == 'W'
			complains, fails := x.speaks([]byte(line))
			if c.complains && counts && !complains || !c.complains && !fails {
				t.Fatalf("%q is not looked at: %v, %v", line, complains, fails)
			}
		})
	}
}
