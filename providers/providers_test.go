package providers_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"offsite/providers"
)

// A name becomes a path on some targets. None that is accepted may lead out of the target, or be two names for one file.
func FuzzCheckName(f *testing.F) {
	for _, name := range []string{
		"a", "a/b.c", "host/db/2026-09-01T03:00:00Z-abc.age", "", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/./b", "a/..b", "..b",
		"a\\b", "a\x00b", "a\nb", "\u00fc", "\xff", strings.Repeat("n", 256), strings.Repeat("n/", 450) + "n", "a b", "~", "-rf", "a/b/..",
	} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if err := providers.CheckName(name); err != nil {
			if !errors.Is(err, providers.ErrPermanent) {
				t.Errorf("%q: %v, want ErrPermanent", name, err)
			}
			return
		}
		if name == "" || path.IsAbs(name) || path.Clean(name) != name || path.Join("/root", name) != "/root/"+name {
			t.Errorf("%q is not the only way to write this path", name)
		}
		for part := range strings.SplitSeq(name, "/") {
			if part == "" || part == "." || part == ".." || strings.HasPrefix(part, ".") || len(part) > 255 {
				t.Errorf("%q has the part %q", name, part)
			}
		}
		for _, c := range name {
			if c < ' ' || c > '~' || c == '\\' {
				t.Errorf("%q holds %q", name, c)
			}
		}
	})
}

// nested holds a secret in every way that a configuration may.
type nested struct {
	Direct  providers.Secret            `json:"direct" yaml:"direct"`
	Pointer *providers.Secret           `json:"pointer" yaml:"pointer"`
	Slice   []providers.Secret          `json:"slice" yaml:"slice"`
	Map     map[string]providers.Secret `json:"map" yaml:"map"`
	Any     any                         `json:"any" yaml:"any"`
	Inner   struct {
		Deep providers.Secret `json:"deep" yaml:"deep"`
	} `json:"inner" yaml:"inner"`
}

func TestASecretIsNotShown(t *testing.T) {
	const word = "hunter2$x"
	secret := providers.NewSecret(word)
	n := nested{Direct: secret, Pointer: &secret, Slice: []providers.Secret{secret}, Map: map[string]providers.Secret{"k": secret}, Any: secret}
	n.Inner.Deep = secret
	embedded := struct{ providers.Secret }{secret}

	for _, v := range []any{secret, &secret, n, &n, embedded, &embedded, struct{ One, Two any }{secret, n}, []any{n, secret}, map[string]any{"k": n}} {
		var shown []string
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X"} {
			shown = append(shown, fmt.Sprintf(verb, v))
		}
		shown = append(shown, fmt.Sprint(v), fmt.Sprintln(v), fmt.Errorf("wrapped: %v", v).Error())

		var text, lines bytes.Buffer
		slog.New(slog.NewTextHandler(&text, nil)).Info("message", "v", v, slog.Group("group", "v", v))
		slog.New(slog.NewJSONHandler(&lines, nil)).With("with", v).Info("message", "v", v)
		shown = append(shown, text.String(), lines.String())

		asJSON, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		asYAML, err := yaml.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range append(shown, string(asJSON), string(asYAML)) {
			if strings.Contains(s, word) || strings.Contains(strings.ToLower(s), fmt.Sprintf("%x", word)) {
				t.Errorf("%T shows it: %s", v, s)
			}
		}
	}
	if b, err := json.Marshal(secret); err != nil || string(b) != `"***"` || secret.LogValue().String() != "***" {
		t.Errorf("%s, %v, %v: one sees that there is a secret", b, secret.LogValue(), err)
	}
	if secret.Reveal() != word || !secret.IsSet() {
		t.Error("it is lost")
	}
}

func TestASecretReadsFromYAMLAndJSON(t *testing.T) {
	var fromYAML, fromJSON struct {
		Key providers.Secret `yaml:"key" json:"key"`
	}
	if err := yaml.Unmarshal([]byte(`key: "pa$$word"`), &fromYAML); err != nil || fromYAML.Key.Reveal() != "pa$$word" {
		t.Errorf("%v", err)
	}
	if err := json.Unmarshal([]byte(`{"key": "pa$$word"}`), &fromJSON); err != nil || fromJSON.Key.Reveal() != "pa$$word" {
		t.Errorf("%v", err)
	}
}

// fmt may not call the methods of an unexported field's type; nothing must show all the same.
func TestASecretInAnUnexportedFieldIsNotShown(t *testing.T) {
	holder := struct {
		secret providers.Secret
		deeper *struct{ secrets []providers.Secret }
	}{providers.NewSecret("hunter2"), &struct{ secrets []providers.Secret }{[]providers.Secret{providers.NewSecret("hunter2")}}}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%T"} {
		for _, v := range []any{holder, &holder, holder.secret, &holder.secret} {
			got := fmt.Sprintf(verb, v)
			if strings.Contains(got, "hunter2") || strings.Contains(got, hex.EncodeToString([]byte("hunter2"))) || strings.Contains(got, "104 117 110") {
				t.Errorf("%s shows %s", verb, got)
			}
		}
	}
}
