// Package systemd tests the service as systemd runs it, which is booted for that as the first process of a machine of its own: this machine's
// files, read-only, with what is written over them in memory. It needs root and systemd-nspawn, and fails without them.
package systemd
