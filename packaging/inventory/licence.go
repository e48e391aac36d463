package main

import (
	"fmt"
	"io"
	"strings"
)

// licence is one file that says what others may do.
type licence struct {
	Name string // below the module
	Text string
	ID   string // its SPDX name; empty: a notice, or one that is not known
}

// marks are what only the text of a licence has, the special ones first.
var marks = []struct {
	id  string
	all []string
}{
	{"Apache-2.0", []string{"Apache License", "Version 2.0"}},
	{"MPL-2.0", []string{"Mozilla Public License Version 2.0"}},
	{"MPL-2.0", []string{"Mozilla Public License, version 2.0"}},
	{"BSD-3-Clause", []string{"Redistribution and use in source and binary forms", "Neither the name"}},
	{"BSD-3-Clause", []string{"Redistribution and use in source and binary forms", "The name of the author may not be used"}},
	{"BSD-2-Clause", []string{"Redistribution and use in source and binary forms"}},
	{"ISC", []string{"Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee"}},
	{"ISC", []string{"Permission to use, copy, modify, and distribute this software for any purpose with or without fee"}},
	{"MIT", []string{"Permission is hereby granted, free of charge, to any person obtaining a copy", "above copyright notice and this permission notice shall be included"}},
	{"Unlicense", []string{"This is free and unencumbered software released into the public domain"}},
	{"CC0-1.0", []string{"CC0 1.0 Universal"}},
}

// identify gives the SPDX name of a text, whatever its lines are broken at.
func identify(text string) string {
	text = strings.ToLower(strings.Join(strings.Fields(text), " "))
next:
	for _, m := range marks {
		for _, mark := range m.all {
			if !strings.Contains(text, strings.ToLower(mark)) {
				continue next
			}
		}
		return m.id
	}
	return ""
}

// writeCopyright writes what Debian's policy calls the copyright file: whose code is in the program, and each licence in full, once.
func writeCopyright(modules []module, out io.Writer) error {
	var text strings.Builder
	text.WriteString("offsite is one static program. This is whose code is in it, and under which licences; their texts follow.\n\n")
	number := map[string]int{}
	var texts []string
	for _, m := range modules {
		name := m.Path + " " + m.Version
		switch {
		case m.Main && len(m.Licences) == 0:
			text.WriteString("offsite itself: its repository states no licence; all rights are with its authors.\n\n")
			continue
		case m.Main:
			name = "offsite itself"
		case m.Path == "std":
			name = "Go's standard library, " + m.Version
		}
		fmt.Fprintf(&text, "%s: %s\n", name, strings.Join(m.ids(), ", "))
		for _, l := range m.Licences {
			if number[l.Text] == 0 {
				texts = append(texts, l.Text)
				number[l.Text] = len(texts)
			}
			fmt.Fprintf(&text, "    %s: text %d\n", l.Name, number[l.Text])
		}
	}
	for i, t := range texts {
		fmt.Fprintf(&text, "\n%[1]s\nText %[2]d\n%[1]s\n\n%[3]s\n", strings.Repeat("-", 72), i+1, strings.TrimSpace(strings.ReplaceAll(t, "\r\n", "\n")))
	}
	_, err := io.WriteString(out, text.String())
	return err
}
