// Package agent is the life of a dump, from the watched directory to every target. Read it in this order:
//
//  1. watch: a finished file is found (agent/watch), also one that came while the agent was down.
//  2. discover.go: its name says series and time (agent/dump); the journal (agent/journal) has it as owed to every target, under an id
//     (ids.go). What cannot be taken is told, and tried again (refused.go). It is held open, so that local rotation does not take it
//     away (held.go), as long as the disk has room (relief.go).
//  3. queue.go, worker.go: each target has a queue and workers of its own. A slow or dead one holds up no other. It is asked once what it
//     holds already (survey.go). Dumps of the past that its retention would remove at once are not shipped at all (adopt.go).
//  4. shipment.go: the dump is opened once for all targets, with one sealing (crypto). What is learnt of its bytes on the way goes into the
//     manifest (private.go); whether the dump is whole is found out beside it (exam.go, verdict.go, and by what came before it: size.go,
//     format.go).
//  5. source.go, memory.go: blocks of ciphertext are made on demand, within one budget of memory. A block's digest is in the journal before
//     the block leaves the process. stream.go: those that are too large to be held.
//  6. ship.go: data, then the signed manifest (agent/vault): now the backup exists. Then the journal. A verdict that comes later is signed
//     later (stamp.go).
//  7. lose.go: what changed or went away before every target had it is said aloud, tidied up, and found anew.
//  8. retain.go: what the target holds of the series (history.go; not what a copy of this host wrote, machine.go) is planned for
//     (agent/retention) and brought to what the policy says, after proof that what is to stay is there. objectlock.go: nobody can remove it
//     before. sweep.go: uploads that nobody will finish.
//  9. scrub.go, missing.go: what lies there is read again and again, and missed when it is gone. repair.go, backfill.go: copies (copies.go)
//     are made whole from all that the targets hold (stock.go), or from the dump (reseal.go). agent/drill proves that they work.
//  10. What people are to know: facts.go reads the journal, tally.go and underway.go count, report.go makes an agent/status of them, and
//     detail.go the year of a series. troubles.go says what is wrong, silence (agent/rhythm) among it, overdue.go what of drills, unsent.go
//     what of files that cannot be shipped, untaken.go that the configuration is not the one in use; alarms.go tells, by what the book (agent/alarm) remembers; pings.go tells watchers elsewhere.
//  11. What people ask for: push.go ships files that they name, accept.go settles false alarms, notkept.go lists what was not shipped.
//
// agent.go is what an agent is made of, run.go how all of this runs, and summary.go what came of it. lifetime.go is the beginning and the
// end of a run, statelock.go keeps a second agent out. pulse.go: proof that all of it turns; rest.go: what work has left is given back.
//
// A crash after any step repeats that step and harms nothing. Every goroutine of the service is started in run.go, worker.run, exams.run,
// newExaminer, watchPings or send; what asks a target for many things at once starts its own and waits for them. All have ended when Run,
// Once, or whatever else was called, returns.
package agent
