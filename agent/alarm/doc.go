// Package alarm remembers what a person was told, so that each trouble is told once, again each day while it lasts, and when it is
// over, by every way out on its own.
package alarm
