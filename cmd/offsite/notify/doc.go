// Package notify has the ways out of alarms (alarm.Way): mail, the chats and pagers that shoutrrr knows, a signed webhook, a program;
// and the pings of a watcher such as healthchecks.io (alarm.Ping).
//
// A webhook gets a POST, and a program its standard input, of one JSON object:
//
//	{"format": "offsite-alarm/1", "host": "db-server", "at": "2026-11-22T05:00:00Z",
//	 "level": "problem", "state": "begun",
//	 "title": "[offsite db-server] PROBLEM: series shop is overdue", "text": "NEW PROBLEM: ...",
//	 "notices": [{"state": "begun", "key": "overdue/shop", "kind": "overdue", "level": "problem", "series": "shop",
//	              "text": "series shop is overdue", "remedy": "look at cron", "since": "2026-11-22T04:10:00Z"}],
//	 "more": 3}
//
// Times are UTC. level is the worst of all notices: ok, warning or problem; state is begun if one of them is new, else lasting, else
// over. A notice that is over has "over", the instant of that. A test has the kind test and the level ok. more counts
// the notices that are left out of a flood. Further keys may come; what is there keeps its meaning within the version.
//
// A webhook is signed as https://www.standardwebhooks.com says, and its id is the same when the same message is sent again.
package notify
