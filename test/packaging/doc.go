// Package packaging tests what is released: that the same tree gives the same bytes, what is in the packages, and how they are installed,
// upgraded, removed and purged. The latter happens on this machine's own root as an overlay, of which nothing stays.
package packaging
