package main

import (
	"encoding/base64"
	"html"
	"strings"
	"testing"

	"rsc.io/qr"
)

// What is on paper is the whole kit, and the code is the key's.
func TestThePageOfTheKitIsWhole(t *testing.T) {
	k := &kit{host: "<b>host", secret: "AGE-SECRET-KEY-1XYZ", recipients: []string{"age1abc"}, verifier: "v", config: []byte("zone: \"<UTC> & more\"\n")}
	text, err := k.format()
	must(t, err)
	page, err := k.page(text, "2026-11-22")
	must(t, err)
	_, rest, _ := strings.Cut(string(page), "<pre>")
	body, _, _ := strings.Cut(rest, "</pre>")
	if got := html.UnescapeString(body); got != string(text) {
		t.Errorf("%q", got)
	}
	code, err := qr.Encode(k.secret, qr.M)
	must(t, err)
	if !strings.Contains(html.UnescapeString(string(page)), base64.StdEncoding.EncodeToString(code.PNG())) {
		t.Error("the code is not that of the key")
	}
	if strings.Contains(string(page), "<b>host") {
		t.Error("the host's name is markup")
	}
	k.secret = ""
	text, err = k.format()
	must(t, err)
	if page, err = k.page(text, "2026-11-22"); err != nil || strings.Contains(string(page), "data:image") || !strings.Contains(string(page), "<li><code>age1abc") {
		t.Errorf("without a secret key: %v\n%s", err, page)
	}
}
