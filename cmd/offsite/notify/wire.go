package notify

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"time"

	"offsite/agent/alarm"
	"offsite/agent/status"
)

// noticesMost is how many notices a message has on the wire.
const noticesMost = 200

// wireMessage is the JSON of the package comment.
type wireMessage struct {
	Format  string       `json:"format"`
	Host    string       `json:"host"`
	At      time.Time    `json:"at"`
	Level   status.Level `json:"level"`
	State   alarm.State  `json:"state"`
	Title   string       `json:"title"`
	Text    string       `json:"text"`
	Notices []wireNotice `json:"notices"`
	More    int          `json:"more,omitempty"`
}

type wireNotice struct {
	State alarm.State `json:"state"`
	status.Alarm
	Over time.Time `json:"over,omitzero"`
}

func wire(m alarm.Message) wireMessage {
	w := wireMessage{Format: "offsite-alarm/1", Host: m.Host, At: m.At.UTC(), Level: status.OK, State: alarm.Over, Notices: []wireNotice{}}
	w.Title, w.Text = Text(m)
	for i, n := range m.Notices {
		w.Level = status.Worse(w.Level, n.Level)
		if n.State == alarm.Begun || n.State == alarm.Lasting && w.State == alarm.Over {
			w.State = n.State
		}
		if i == noticesMost {
			w.More = len(m.Notices) - noticesMost
		}
		if i >= noticesMost {
			continue
		}
		n.Text, n.Remedy = cut(n.Text, fieldMost), cut(n.Remedy, fieldMost)
		n.Since = n.Since.UTC()
		w.Notices = append(w.Notices, wireNotice{n.State, n.Alarm, n.Over.UTC()})
	}
	return w
}

// encode gives a message as JSON, and an id that is the same for the same message.
func encode(m alarm.Message) (body []byte, id string, err error) {
	body, err = json.Marshal(wire(m))
	if err != nil {
		return nil, "", err
	}
	sum := sha256.Sum256(body)
	return body, base64.RawURLEncoding.EncodeToString(sum[:18]), nil
}
