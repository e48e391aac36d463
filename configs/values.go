package configs

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Count is how many backups a rule keeps.
type Count int

// Forever keeps all.
const Forever Count = -1

// UnmarshalText reads a number or "forever".
func (c *Count) UnmarshalText(b []byte) error {
	if string(b) == "forever" {
		*c = Forever
		return nil
	}
	n, err := strconv.Atoi(string(b))
	if err != nil || n < 0 {
		return errors.New("should be a number, 0 or more, or forever")
	}
	if n > 100_000 {
		return errors.New("is too large a number; write forever")
	}
	*c = Count(n)
	return nil
}

// Size is a number of bytes.
type Size int64

var units = []struct {
	name  string
	bytes int64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1}, {"", 1}}

// UnmarshalText reads a number with a unit, such as 96MiB.
func (s *Size) UnmarshalText(b []byte) error {
	text := strings.TrimSpace(string(b))
	for _, u := range units {
		number, ok := strings.CutSuffix(text, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
		if err != nil || n < 0 || n > (1<<62)/u.bytes {
			break
		}
		*s = Size(n * u.bytes)
		return nil
	}
	return fmt.Errorf("%q should be a size such as 96MiB", text)
}

// Days is a time in whole days.
type Days int

// Never is no time at all.
const Never Days = -1

// UnmarshalText reads a number of days such as 30d, or "never".
func (d *Days) UnmarshalText(b []byte) error {
	if string(b) == "never" {
		*d = Never
		return nil
	}
	number, ok := strings.CutSuffix(string(b), "d")
	n, err := strconv.Atoi(number)
	if !ok || err != nil || n < 1 || n > 10_000 {
		return errors.New("should be a number of days such as 30d, or never")
	}
	*d = Days(n)
	return nil
}

// Expect is in how much time after one dump of a series the next must be there; 0: nobody has said. Silent: never.
type Expect time.Duration

// Silent is a series that may be silent.
const Silent Expect = -1

// UnmarshalText reads a length of time such as 26h or 8d, or "never".
func (e *Expect) UnmarshalText(b []byte) error {
	text := string(b)
	if text == "never" {
		*e = Silent
		return nil
	}
	var days Days
	if err := days.UnmarshalText(b); err == nil {
		*e = Expect(time.Duration(days) * 24 * time.Hour)
		return nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < time.Minute {
		*e = Silent // so that it does not count as left out
		return errors.New("should be the time from one dump to the next at most, such as 26h or 8d, or never")
	}
	*e = Expect(d)
	return nil
}
