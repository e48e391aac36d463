package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLicencesAreToldApart(t *testing.T) {
	const bsd = "Redistribution and use in source and binary\nforms, with or without modification, are permitted"
	for text, want := range map[string]string{
		"Apache License\n   Version 2.0, January 2004":                            "Apache-2.0",
		bsd + ". Neither the\nname of Google":                                     "BSD-3-Clause",
		bsd + ".":                                                                 "BSD-2-Clause",
		"Copyright me. All rights reserved.":                                      "",
		"GNU GENERAL PUBLIC LICENSE Version 3":                                    "",
		"This product includes software developed at":                             "",
		"Mozilla Public License Version 2.0\n====":                                "MPL-2.0",
		"This is free and unencumbered software released into the public domain.": "Unlicense",
	} {
		if got := identify(text); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}

// What nobody has looked at is not shipped.
func TestAnUnknownLicenceIsAnError(t *testing.T) {
	good := module{Path: "example.org/good", Licences: []licence{{Name: "LICENSE", ID: "MIT"}}}
	notice := module{Path: "example.org/notice", Version: "v1", Licences: []licence{{Name: "NOTICE", Text: "by us"}}}
	if err := unlicensed([]module{{Main: true}, good}); err != nil {
		t.Error(err)
	}
	if err := unlicensed([]module{good, notice}); err == nil || !strings.Contains(err.Error(), "example.org/notice v1") || strings.Contains(err.Error(), "good") {
		t.Errorf("got %v", err)
	}
}

// Code that a module has from elsewhere has its licence beside it; that of the module is above.
func TestLicencesLieBesideTheCodeAndAbove(t *testing.T) {
	top := t.TempDir()
	dir := filepath.Join(top, "internal", "snappy")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(top, "LICENSE"), filepath.Join(dir, "LICENSE.txt"), filepath.Join(dir, "license.go"), filepath.Join(filepath.Dir(top), "LICENSE")} {
		if err := os.WriteFile(path, []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	all, err := licencesAbove(dir, top)
	if err != nil || len(all) != 2 || all[0].Name != "internal/snappy/LICENSE.txt" || all[1].Name != "LICENSE" {
		t.Errorf("found %+v, %v", all, err)
	}
}

func TestTheSameProgramHasTheSameSerial(t *testing.T) {
	if got := serial([32]byte{0xff, 15: 0xff}); got != "urn:uuid:ff000000-0000-8000-8000-0000000000ff" {
		t.Error(got)
	}
}
