package agent

import (
	"slices"
	"testing"
)

// The ids of a row are all of one journal's, follow one another, and are nobody else's.
func TestARowOfIDs(t *testing.T) {
	a := unstarted(t, t.TempDir(), "nas")
	if err := a.ids.row(a.journal, 100); err != nil {
		t.Fatal(err)
	}
	var drawn []string
	for range 102 { // two more than the row has
		id, err := a.ids.draw(a.journal)
		if err != nil {
			t.Fatal(err)
		}
		drawn = append(drawn, id)
	}
	row := drawn[:100]
	if !slices.IsSorted(row) || len(slices.Compact(slices.Sorted(slices.Values(drawn)))) != 102 || len(row[0]) != 8 {
		t.Error(drawn)
	}
}
