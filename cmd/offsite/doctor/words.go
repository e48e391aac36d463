package doctor

import (
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"offsite/providers"
)

func itoa(n int) string { return strconv.Itoa(n) }

func octal(mode fs.FileMode) string { return fmt.Sprintf("%04o", mode.Perm()) }

// count is a number with its noun.
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return itoa(n) + " " + many
}

// days is a duration in words for people, in days if that is long enough.
func days(d time.Duration) string {
	if d < 48*time.Hour {
		return d.Round(time.Minute).String()
	}
	return itoa(int(d.Hours()/24)) + " days"
}

// said is an error in words for people: that somebody is needed is what a finding says by itself.
func said(err error) string {
	text := err.Error()
	for _, cut := range []string{providers.ErrPermanent.Error() + ": ", ": " + providers.ErrPermanent.Error()} {
		text = strings.ReplaceAll(text, cut, "")
	}
	return strings.TrimPrefix(text, "open: ")
}
