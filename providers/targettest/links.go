package targettest

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"offsite/providers"
)

// Links proves that a target whose files lie in root lists what was moved and linked: h/shop/1, h/shop/2 and h/a/3 are in it.
func Links(t *testing.T, target providers.Target, root string) {
	t.Helper()
	at := func(name string) string { return filepath.Join(root, name) }
	for _, move := range [][2]string{{"h/shop", "bigger"}, {"h/a/3", "three"}} {
		if err := os.Rename(at(move[0]), at(move[1])); err != nil {
			t.Fatal(err)
		}
		link, err := filepath.Rel(filepath.Dir(at(move[0])), at(move[1]))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(link, at(move[0])); err != nil {
			t.Fatal(err)
		}
	}
	for name, to := range map[string]string{"h/circle": "../h", "h/self": "self", "h/nowhere": "gone"} {
		if err := os.Symlink(to, at(name)); err != nil {
			t.Fatal(err)
		}
	}
	var names []string
	for o, err := range target.List(t.Context(), "h/") {
		if err != nil {
			t.Fatal(err)
		}
		if o.Size != 1 {
			t.Errorf("%s has %d bytes", o.Name, o.Size)
		}
		names = append(names, o.Name)
	}
	slices.Sort(names)
	for _, want := range []string{"h/a/3", "h/shop/1", "h/shop/2"} {
		if !slices.Contains(names, want) {
			t.Errorf("%s is not listed: %q", want, names)
		}
	}
	if len(names) > 12 { // the circle is left after a few rounds
		t.Errorf("%q", names)
	}
}
