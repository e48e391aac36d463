package configs

import (
	"strings"
	"testing"
)

// What never comes, or comes to an end, would be due once and then never again, and nobody would be told.
func TestASchedulePassesOnlyIfItGoesOn(t *testing.T) {
	for _, text := range []string{"30d", "never", "Mon 03:00", "Sun *-*-1..7 04:00", "Fri *-02-29", "*-*-31", "2026/1-01-01", "yearly", "*-3-29 2:30 Europe/Berlin"} {
		var s Schedule
		if err := s.UnmarshalText([]byte(text)); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, text := range []string{"2026-02-30", "*-02-30", "2026-03-01", "2027-01-01 04:00", "2027..2030-*-01", "Mon 2026-03-01"} {
		var s Schedule
		if err := s.UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), "does not come again and again") {
			t.Errorf("%q: %v", text, err)
		}
	}
}
