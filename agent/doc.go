// Package agent is the life of a dump, from the watched directory to every target. Read it in this order:
//
//  1. watch: a finished file is found (agent/watch), also one that came while the agent was down.
//  2. discover.go: its name says series and time (agent/dump); the journal (agent/journal) has it as owed to every
//     target, under an id (ids.go); it is held open, so that local rotation does not take it away (held.go), as long as the disk has room (relief.go).
//  3. queue.go, worker.go: each target has a queue and workers of its own. A slow or dead one holds up no other. It is
//     asked once what it holds already (survey.go).
//  4. shipment.go: the dump is opened once for all targets, with one sealing (crypto). What is learnt of its bytes on
//     the way goes into the manifest (private.go); whether the dump is whole is found out beside it (exam.go, size.go).
//  5. source.go, memory.go: blocks of ciphertext are made on demand, within one budget of memory. A block's digest is
//     in the journal before the block leaves the process. stream.go: those that are too large to be held.
//  6. ship.go: data, then the signed manifest (agent/vault): now the backup exists. Then the journal. A verdict that comes later
//     is signed later (stamp.go).
//  7. retain.go, history.go: what the target holds of the series is planned for (agent/retention) and brought to what
//     the policy says, after proof that what is to stay is there. adopt.go: dumps of the past that would go at once
//     are not shipped at all.
//  8. scrub.go, missing.go: what lies there is read again and again, and missed when it is gone; repair.go, backfill.go: copies are
//     made whole from each other, or from the dump (reseal.go). agent/drill proves that they work.
//  9. lose: what changed or went away before every target had it is said aloud, and found anew.
//  10. What people are to know: facts.go reads the journal, tally.go and underway.go count, report.go makes an agent/status of them, and
//     detail.go the year of a series. troubles.go says what is wrong, silence (agent/rhythm) among it; alarms.go tells, by what the book
//     (agent/alarm) remembers; pings.go tells watchers elsewhere. lifetime.go is the beginning and the end. rest.go: what work has left is given back;
//     pulse.go: proof that all of this turns.
//
// A crash after any step repeats that step and harms nothing. Every goroutine is started in run, round, drain, work, watchPings, send,
// worker.run, exams and judge, and has ended when Run or Once returns.
package agent
