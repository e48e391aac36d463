package main

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// writeSBOM writes what the program says of itself that it was built from, and what modules say of their licences. The same program has the
// same bill of materials.
func writeSBOM(program string, modules []module, at time.Time, out io.Writer) error {
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return err
	}
	content, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(content)
	self := component(debug.Module{Path: info.Main.Path, Version: versionIn(filepath.Base(program))}, nil)
	self.Type = cdx.ComponentTypeApplication
	self.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: hex.EncodeToString(sum[:])}}
	licences := map[string][]string{}
	for _, m := range modules {
		licences[m.Path] = m.ids()
	}
	parts := []cdx.Component{component(debug.Module{Path: "std", Version: strings.TrimPrefix(info.GoVersion, "go")}, licences["std"])}
	for _, d := range info.Deps {
		if d.Replace != nil {
			d = d.Replace
		}
		if licences[d.Path] == nil {
			return fmt.Errorf("%s contains %s, which go list does not know: build it from this tree", program, d.Path)
		}
		parts = append(parts, component(*d, licences[d.Path]))
	}
	bom := cdx.NewBOM()
	bom.SerialNumber = serial(sum)
	bom.Metadata = &cdx.Metadata{Timestamp: at.Format(time.RFC3339), Component: &self, Properties: properties(info)}
	bom.Components = &parts
	bom.Dependencies = dependencies(self, parts)
	return cdx.NewBOMEncoder(out, cdx.BOMFileFormatJSON).SetPretty(true).EncodeVersion(bom, cdx.SpecVersion1_6)
}

// versionIn is the version in the name of a released program, offsite_VERSION_linux_ARCH.
func versionIn(name string) string {
	if parts := strings.Split(name, "_"); len(parts) == 4 {
		return parts[1]
	}
	return ""
}

func component(m debug.Module, licences []string) cdx.Component {
	purl := "pkg:golang/" + m.Path
	if m.Version != "" {
		purl += "@" + strings.ReplaceAll(m.Version, "+", "%2B")
	}
	c := cdx.Component{BOMRef: purl, Type: cdx.ComponentTypeLibrary, Name: m.Path, Version: m.Version, PackageURL: purl}
	if h1, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(m.Sum, "h1:")); err == nil && len(h1) == sha256.Size {
		c.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: hex.EncodeToString(h1)}}
	}
	if len(licences) > 0 {
		all := cdx.Licenses{}
		for _, id := range licences {
			all = append(all, cdx.LicenseChoice{License: &cdx.License{ID: id}})
		}
		c.Licenses = &all
	}
	return c
}

// dependencies: the program contains all parts. Which of them needs which is not in the program.
func dependencies(self cdx.Component, parts []cdx.Component) *[]cdx.Dependency {
	refs := make([]string, 0, len(parts))
	for _, p := range parts {
		refs = append(refs, p.BOMRef)
	}
	return &[]cdx.Dependency{{Ref: self.BOMRef, Dependencies: &refs}}
}

// properties are the settings of the build.
func properties(info *buildinfo.BuildInfo) *[]cdx.Property {
	var all []cdx.Property
	for _, s := range info.Settings {
		all = append(all, cdx.Property{Name: "go:build:" + s.Key, Value: s.Value})
	}
	return &all
}

// serial is a name of this bill that no other has, made of the program's sum (a UUID of version 8).
func serial(sum [sha256.Size]byte) string {
	b := sum[:16]
	b[6], b[8] = b[6]&0x0f|0x80, b[8]&0x3f|0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
