package vault

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"
)

// Whatever a manifest says that is taken for one: it is of the object that it lies beside, its blocks are as many as its sizes need, and
// it says the same when it is written and read again.
func FuzzParseManifest(f *testing.F) {
	name, err := NewName("h", "shop", time.Date(2026, 11, 1, 3, 0, 0, 0, time.UTC), "5f3c9a1e", "shop.sql")
	if err != nil {
		f.Fatal(err)
	}
	m := Manifest{Format: Format, Object: name.String(), Host: "h", Series: "shop", Taken: name.Taken, Size: 10, Stored: 300, BlockSize: 128, Blocks: make([]Sum, 3), Recipients: []string{"age1x"}}
	text, err := m.text()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add(bytes.Replace(text, []byte("300"), []byte("9223372036854775807"), 1))
	f.Add(bytes.Replace(text, []byte(`"h"`), []byte(`"H"`), 1))
	f.Add(append(text, text...))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := parseManifest(text, name)
		if err != nil {
			return
		}
		if m.Object != name.String() || m.Host != "h" || m.Series != "shop" || !m.Taken.Equal(name.Taken) || m.Size < 0 || m.Stored < m.Size || (m.Stored+m.BlockSize-1)/m.BlockSize != int64(len(m.Blocks)) {
			t.Fatalf("%+v", m)
		}
		again, err := m.text()
		if err != nil {
			t.Fatal(err)
		}
		n, err := parseManifest(again, name)
		if err != nil {
			t.Fatalf("%v: %s", err, again)
		}
		a, _ := json.Marshal(m)
		b, _ := json.Marshal(n)
		if !bytes.Equal(a, b) {
			t.Fatalf("%s\n%s", a, b)
		}
	})
}
