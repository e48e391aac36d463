// Package page shows a host to whoever looks after it, in a browser: is everything safe, and if not, what is to be done. It shows and
// changes nothing; its only forms are the login and the logout.
//
// Everything is rendered here, by html/template, and can be read without JavaScript. Read it in this order:
//
//  1. page.go: the addresses, and who answers them. access.go, sessions.go, tries.go: who may look.
//  2. keeper.go: what the Source said last, and for how long that holds.
//  3. parts.go: a page is a list of parts. Each has a version, a digest of what it shows; host.go and series.go say which there are.
//  4. events.go: a stream tells the script which versions there are now; it fetches what it has in another (assets/page.js).
//  5. fleet.go, fleethost.go: what a target holds of all hosts. fleetkeeper.go reads it in the background, while somebody looks.
//  6. heat.go, spark.go, words.go, command.go: how days, sizes, times and commands look.
//
// Times that are so long ago are not part of a version: the script lets them run on by itself.
package page
