package page

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// luminance is the relative luminance of #rrggbb, as WCAG 2 has it.
func luminance(t *testing.T, hex string) float64 {
	t.Helper()
	n, err := strconv.ParseUint(strings.TrimPrefix(hex, "#"), 16, 32)
	if err != nil || len(hex) != 7 {
		t.Fatalf("%q is no colour", hex)
	}
	channel := func(v uint64) float64 {
		c := float64(v&255) / 255
		if c <= 0.04045 {
			return c / 12.92
		}
		return math.Pow((c+0.055)/1.055, 2.4)
	}
	return 0.2126*channel(n>>16) + 0.7152*channel(n>>8) + 0.0722*channel(n)
}

func contrast(t *testing.T, a, b string) float64 {
	t.Helper()
	x, y := luminance(t, a), luminance(t, b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

// In both themes text can be read and drawings can be told from what is behind them, and the tiers from each other: the longer, the
// stronger. (axe-core looks at text only.)
func TestContrast(t *testing.T) {
	css, err := assetFiles.ReadFile("assets/page.css")
	if err != nil {
		t.Fatal(err)
	}
	themes := regexp.MustCompile(`(?s):root \{(.*?)\}`).FindAllStringSubmatch(string(css), -1)
	if len(themes) != 2 {
		t.Fatalf("%d themes", len(themes))
	}
	for i, theme := range themes {
		colour := map[string]string{}
		for _, m := range regexp.MustCompile(`--([a-z-]+): (#[0-9a-f]{6});`).FindAllStringSubmatch(theme[1], -1) {
			colour[m[1]] = m[2]
		}
		check := func(least float64, front string, backs ...string) {
			for _, b := range backs {
				if c := contrast(t, colour[front], colour[b]); c < least {
					t.Errorf("theme %d: %s on %s has %.2f, which should be %.1f", i+1, front, b, c, least)
				}
			}
		}
		for _, text := range []string{"text", "muted", "accent"} {
			check(4.5, text, "back", "card")
		}
		for _, text := range []string{"ok", "warning", "problem"} {
			check(4.5, text, "card", "back")
			check(4.5, "text", text+"-tint")
			check(4.5, "muted", text+"-tint")
			check(3, text, text+"-tint")
			check(4.5, "sign", text)
		}
		check(4.5, "on-accent", "accent")
		for _, drawing := range []string{"past", "short", "daily", "weekly", "monthly", "yearly", "suspect", "missing"} {
			check(3, drawing, "heat", "card")
		}
		check(3, "accent", "card", "trough")
		check(3, "missing", "card")
		tiers := []string{"daily", "weekly", "monthly", "yearly"}
		for n := range tiers[1:] {
			if a, b := contrast(t, colour[tiers[n]], colour["heat"]), contrast(t, colour[tiers[n+1]], colour["heat"]); b < a*1.2 {
				t.Errorf("theme %d: %s (%.2f) is hardly stronger than %s (%.2f)", i+1, tiers[n+1], b, tiers[n], a)
			}
		}
	}
}
