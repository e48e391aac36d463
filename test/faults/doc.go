// Package faults proves that nothing is lost: the built agent runs against real servers of every kind while a schedule of
// faults goes on around it, is killed again and again, and in the end an independent checker compares what the targets hold
// with what lies on the disk. The checker uses stock age and its own reading of docs/format.md, and none of offsite's packages.
//
// A round is some cycles of faults in a world of its own, drawn from a seed, which its name says. `make test` runs one round,
// `make faults` as many as OFFSITE_FAULT_CYCLES asks for; OFFSITE_FAULT_SEED repeats one, and
// OFFSITE_FAULT_ONLY draws from the faults that it names, between commas.
package faults
