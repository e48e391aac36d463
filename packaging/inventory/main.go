// Command inventory says what is linked into the program: as the copyright file of a package, with every licence, and as a bill of materials
// (CycloneDX). A module whose licence it cannot tell is an error: nothing is shipped that nobody has looked at.
//
//	inventory copyright > copyright
//	inventory sbom dist/offsite_1.0.0_linux_amd64 > sbom.cdx.json
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "inventory:", err)
		os.Exit(1)
	}
}

// architectures are those that are released; what is linked may differ.
var architectures = []string{"amd64", "arm64"}

func run(args []string, out io.Writer) error {
	seconds, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
	if err != nil {
		return errors.New("$SOURCE_DATE_EPOCH should be the time of the commit, in seconds since 1970")
	}
	modules, err := linked(architectures)
	if err != nil {
		return err
	}
	switch {
	case len(args) == 1 && args[0] == "copyright":
		return writeCopyright(modules, out)
	case len(args) == 2 && args[0] == "sbom":
		return writeSBOM(args[1], modules, time.Unix(seconds, 0).UTC(), out)
	}
	return errors.New("usage: inventory copyright | inventory sbom PROGRAM")
}
