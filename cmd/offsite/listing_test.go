package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

func someListed(n int) listed {
	return listed{
		Target: "nas", Host: "h", Series: fmt.Sprintf("db<%d>", n%7), Taken: time.Unix(int64(n), 0).UTC(), Name: "db.sql", Object: "h/db/x.age",
		Size: int64(n) << 10, Stored: 1, Health: "ok", SignedBy: "k",
	}
}

// What comes one by one is the array that it was when all was held in memory.
func TestAListingIsTheJSONOfAllOfIt(t *testing.T) {
	for _, n := range []int{0, 1, 3} {
		var got, want bytes.Buffer
		l, all := newListing(true, &got), []listed{}
		for i := range n {
			all = append(all, someListed(i))
			if err := l.add(all[i]); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.end(); err != nil {
			t.Fatal(err)
		}
		e := json.NewEncoder(&want)
		e.SetIndent("", "  ")
		e.Encode(all)
		if got.String() != want.String() {
			t.Errorf("%d: got\n%swant\n%s", n, &got, &want)
		}
	}
}

// The table begins before the listing has ended, and what is held of it does not grow.
func TestATableBeginsAtOnce(t *testing.T) {
	var out bytes.Buffer
	l := newListing(false, &out)
	for i := range 10 * aligned {
		if err := l.add(someListed(i)); err != nil {
			t.Fatal(err)
		}
		if held := l.rows + 1 - strings.Count(out.String(), "\n"); held >= aligned {
			t.Fatalf("%d of %d rows are held", held, l.rows)
		}
	}
	l.end()
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 10*aligned+1 || !strings.HasPrefix(lines[0], "TARGET  SERIES  TAKEN ") || !strings.HasPrefix(lines[len(lines)-1], "nas     db<5>   1970-") {
		t.Errorf("%d lines, from %q to %q", len(lines), lines[0], lines[len(lines)-1])
	}
}

// BenchmarkListing prints a table, and JSON, of 100,000 backups.
func BenchmarkListing(b *testing.B) {
	for _, asJSON := range []bool{false, true} {
		b.Run(fmt.Sprintf("json %t", asJSON), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				l := newListing(asJSON, io.Discard)
				for i := range 100_000 {
					if err := l.add(someListed(i)); err != nil {
						b.Fatal(err)
					}
				}
				if err := l.end(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
