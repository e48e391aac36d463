package docs

import "testing"

// The tutorial leads a reader with a real PostgreSQL from nothing to a restored database, and prints what it says.
func TestTheTutorialIsTrue(t *testing.T) {
	t.Parallel()
	sit(t).follows("docs/tutorial.md")
}
