package disasters_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	svix "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// hookSecret is what alarms are signed with.
const hookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYq="

// receiver is a real receiver of webhooks: it believes nothing that is not signed.
type receiver struct {
	t      *testing.T
	url    string
	verify *svix.Webhook

	mu sync.Mutex
	// shifted: the sender's clock is not ours, so that the time of a message says nothing.
	shifted bool
	heard   []heard
}

// heard is one notice.
type heard struct {
	Key, State, Level, Text string
	came                    time.Time
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	verify, err := svix.NewWebhook(hookSecret)
	if err != nil {
		t.Fatal(err)
	}
	r := &receiver{t: t, verify: verify}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	r.url = server.URL
	return r
}

// ServeHTTP is part of http.Handler.
func (r *receiver) ServeHTTP(_ http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	verify := r.verify.Verify
	if r.shifted {
		verify = r.verify.VerifyIgnoringTimestamp
	}
	if err == nil {
		err = verify(body, request.Header)
	}
	var message struct{ Notices []heard }
	if err == nil {
		err = json.Unmarshal(body, &message)
	}
	if err != nil {
		r.t.Errorf("an alarm that cannot be believed: %v: %s", err, body)
	}
	for _, n := range message.Notices {
		n.came = time.Now()
		r.heard = append(r.heard, n)
	}
}

// believe has it take messages of another clock than ours, too.
func (r *receiver) believe() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.shifted = true
}

// told gives the first notice of a key that has begun after some instant.
func (r *receiver) told(key string, after time.Time) (heard, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range r.heard {
		if n.Key == key && n.State == "begun" && n.came.After(after) {
			return n, true
		}
	}
	return heard{}, false
}

// wait is told, when it is.
func (r *receiver) wait(key string, after time.Time) heard {
	r.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if n, is := r.told(key, after); is {
			return n
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.t.Fatalf("nobody was told %s; heard: %+v", key, r.heard)
	return heard{}
}

// silent makes sure that nothing was told yet.
func (r *receiver) silent(when string) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.heard) > 0 {
		r.t.Errorf("%s: an alarm: %+v", when, r.heard)
	}
}
