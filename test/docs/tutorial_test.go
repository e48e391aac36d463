package docs

import "testing"

// The tutorial leads a reader with a real PostgreSQL from nothing to a restored database, and prints what it says.
func TestTheTutorialIsTrue(t *testing.T) {
	t.Parallel()
	sit(t).follows("docs/tutorial.md")
}

// The howtos that need no more than directories.
func TestTheHowtosAreTrue(t *testing.T) {
	for _, howto := range []string{"move-host", "rotate-keys"} {
		t.Run(howto, func(t *testing.T) {
			t.Parallel()
			sit(t).follows("docs/howto/" + howto + ".md")
		})
	}
}
