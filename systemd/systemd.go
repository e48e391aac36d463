// Package systemd holds the units of the service, with what sysusers.d(5) and tmpfiles.d(5) need. A package of the distribution installs
// these very files; `offsite install` does for everybody else.
package systemd

import "embed"

// Files are all of them, below sysusers.d and tmpfiles.d those that belong there, and all others units.
//
//go:embed *.service *.socket *.timer *.path sysusers.d tmpfiles.d
var Files embed.FS

// Program is the path of the program in the units.
const Program = "/usr/bin/offsite"
