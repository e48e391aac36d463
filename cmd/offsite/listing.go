package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/dustin/go-humanize"
)

// listing prints backups as they come, and holds no more of them than a block. A table of 100,000 begins at once, and takes no memory.
type listing struct {
	out    io.Writer
	asJSON bool
	rows   int // that were added
	block  [][]string
	widths []int // of the columns so far: they never become narrower
}

// aligned is how many rows of a table are aligned with one another.
const aligned = 100

func newListing(asJSON bool, out io.Writer) *listing {
	heads := []string{"TARGET", "SERIES", "TAKEN", "SIZE", "HEALTH", "FILE"}
	return &listing{out: out, asJSON: asJSON, block: [][]string{heads}, widths: make([]int, len(heads))}
}

func (l *listing) add(b listed) error {
	l.rows++
	if l.asJSON {
		return l.element(b)
	}
	l.block = append(l.block, []string{b.Target, printable(b.Series), b.Taken.Format(time.RFC3339), humanize.IBytes(uint64(b.Size)), b.Health, printable(b.Name)})
	if len(l.block) < aligned {
		return nil
	}
	return l.flush()
}

// element is one of a JSON array, written as json.Encoder would write it with all others.
func (l *listing) element(b listed) error {
	text, err := json.MarshalIndent(b, "  ", "  ")
	if err != nil {
		return err
	}
	before := ",\n  "
	if l.rows == 1 {
		before = "[\n  "
	}
	_, err = l.out.Write(append([]byte(before), text...))
	return err
}

// end is to be called once.
func (l *listing) end() error {
	switch {
	case !l.asJSON:
		return l.flush()
	case l.rows == 0:
		_, err := io.WriteString(l.out, "[]\n")
		return err
	}
	_, err := io.WriteString(l.out, "\n]\n")
	return err
}

// flush prints the block, two spaces between the columns.
func (l *listing) flush() error {
	for _, row := range l.block {
		for i, cell := range row {
			l.widths[i] = max(l.widths[i], utf8.RuneCountInString(cell))
		}
	}
	var text bytes.Buffer
	for _, row := range l.block {
		last := len(row) - 1
		for i, cell := range row[:last] {
			text.WriteString(cell)
			text.WriteString(strings.Repeat(" ", l.widths[i]+2-utf8.RuneCountInString(cell)))
		}
		fmt.Fprintln(&text, row[last])
	}
	l.block = l.block[:0]
	_, err := l.out.Write(text.Bytes())
	return err
}
