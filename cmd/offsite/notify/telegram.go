package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"offsite/agent/alarm"
)

// telegram sends by a bot. It reads shoutrrr's addresses, but does not use its service, which takes a message for sent when Telegram
// cannot be reached.
type telegram struct {
	name, token string
	chats       []string // a chat's id or @name, with :thread or without
	silent      bool
	api         string
	client      *http.Client
}

var telegramToken = regexp.MustCompile(`^[0-9]+:[A-Za-z0-9_-]+$`)

// newTelegram reads telegram://token@telegram?chats=@channel,-100123:7, with the key notification (no: without a sound).
func newTelegram(name string, u *url.URL) (*telegram, error) {
	password, _ := u.User.Password()
	t := &telegram{name: name, token: u.User.Username() + ":" + password, api: "https://api.telegram.org", client: caller()}
	if !telegramToken.MatchString(t.token) {
		return nil, errors.New("has no token of a bot; write telegram://123456:ABC-DEF@telegram?chats=@channel, with the token that BotFather gives")
	}
	query := u.Query()
	for _, key := range slices.Sorted(maps.Keys(query)) {
		value := query.Get(key)
		switch strings.ToLower(key) {
		case "chats", "channels":
			for chat := range strings.SplitSeq(value, ",") {
				if chat = strings.TrimSpace(chat); chat != "" {
					t.chats = append(t.chats, chat)
				}
			}
		case "notification":
			t.silent = slices.Contains([]string{"no", "false", "0"}, strings.ToLower(value))
		case "preview": // there never is one
		default:
			return nil, fmt.Errorf("has %s, which is no key here; there are chats and notification", Line(cut(key, 20)))
		}
	}
	if len(t.chats) == 0 {
		return nil, errors.New("has no chats; add ?chats= and the ids of chats, or @names of channels, with commas between them")
	}
	return t, nil
}

// Name is that of the configuration.
func (t *telegram) Name() string { return t.name }

// Send tells every chat, whatever becomes of the others.
func (t *telegram) Send(ctx context.Context, m alarm.Message) error {
	var errs []error
	for i, chat := range t.chats {
		err := t.tell(ctx, chat, heading(m)+"\n\n"+text(m, chatMost))
		if err != nil && len(t.chats) > 1 {
			err = fmt.Errorf("chat %d of %d: %w", i+1, len(t.chats), err)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (t *telegram) tell(ctx context.Context, chat, text string) error {
	id, thread, threaded := strings.Cut(chat, ":")
	payload := map[string]any{"chat_id": id, "text": text, "disable_notification": t.silent, "link_preview_options": map[string]bool{"is_disabled": true}}
	if n, err := strconv.Atoi(thread); threaded && err == nil {
		payload["message_thread_id"] = n
	}
	body, err := json.Marshal(payload)
	if err != nil {
		return err
	}
	address := t.api + "/bot" + t.token + "/sendMessage"
	_, secret, _ := strings.Cut(t.token, ":")
	return post(ctx, t.client, address, scrubURL(address, t.token, secret), http.Header{"Content-Type": {"application/json"}, "User-Agent": {"offsite"}}, body)
}
