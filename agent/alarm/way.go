package alarm

import (
	"context"
	"time"

	"offsite/agent/status"
)

// Way is a way out for alarms: mail, a chat, a webhook, a program. Its implementations are elsewhere.
type Way interface {
	// Name is that of the configuration, for messages; it never holds a secret.
	Name() string
	// Send tells all of a message, or fails; it may be called again with the same. It ends with ctx. An error must hold no secret.
	Send(ctx context.Context, m Message) error
}

// Message is what is told at once: several notices in one, so that no flood of them buries the one that counts.
type Message struct {
	Host    string
	At      time.Time
	Notices []Notice // one at least; worst first
}

// Notice is one alarm that is told.
type Notice struct {
	status.Alarm
	// State says what is new.
	State State
	// Over is when it ended; zero unless it has.
	Over time.Time
}

// State is what is new about an alarm.
type State string

// The states. An alarm is told when it begins, again each day while it lasts, and when it is over.
const (
	Begun   State = "begun"
	Lasting State = "lasting"
	Over    State = "over"
)
