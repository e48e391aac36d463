package notify

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"offsite/agent/alarm"
)

var _ alarm.Way = (*Webhook)(nil)

// Webhook posts messages, signed as https://www.standardwebhooks.com says: the receiver has a library for that, and knows that
// they come from here and are not old ones.
type Webhook struct {
	name, address string
	key           []byte
	now           func() time.Time
	client        *http.Client
}

// NewWebhook is a webhook at an address, with the secret that its receiver has too.
func NewWebhook(name, address, secret string, now func() time.Time) (*Webhook, error) {
	if err := CheckAddress(address); err != nil {
		return nil, errors.New("its url " + err.Error())
	}
	key, err := hookKey(secret)
	if err != nil {
		return nil, errors.New("its secret " + err.Error())
	}
	return &Webhook{name, address, key, now, caller()}, nil
}

// CheckHookSecret says what is wrong with a webhook's secret. Its error does not show it.
func CheckHookSecret(secret string) error {
	_, err := hookKey(secret)
	return err
}

// hookKey is the key in a secret, of which Standard Webhooks wants 24 to 64 bytes.
func hookKey(secret string) ([]byte, error) {
	text, prefixed := strings.CutPrefix(strings.TrimSpace(secret), "whsec_")
	key, err := base64.StdEncoding.DecodeString(text)
	if !prefixed || err != nil || len(key) < 24 || len(key) > 64 {
		return nil, errors.New("should be whsec_ and 24 to 64 bytes in base64, as `echo whsec_$(openssl rand -base64 32)` prints it")
	}
	return key, nil
}

// Name is that of the configuration.
func (w *Webhook) Name() string { return w.name }

// Send posts all of a message.
func (w *Webhook) Send(ctx context.Context, m alarm.Message) error {
	body, id, err := encode(m)
	if err != nil {
		return err
	}
	id = "msg_" + id
	at := strconv.FormatInt(w.now().Unix(), 10)
	mac := hmac.New(sha256.New, w.key)
	mac.Write([]byte(id + "." + at + "."))
	mac.Write(body)
	return post(ctx, w.client, w.address, scrubURL(w.address), http.Header{
		"Content-Type":      {"application/json"},
		"User-Agent":        {"offsite"},
		"Webhook-Id":        {id},
		"Webhook-Timestamp": {at},
		"Webhook-Signature": {"v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))},
	}, body)
}
