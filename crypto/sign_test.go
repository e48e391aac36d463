package crypto_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"offsite/crypto"
)

func signer(t *testing.T, name string) *crypto.Signer {
	t.Helper()
	skey, vkey, err := crypto.GenerateSigner(name)
	if err != nil {
		t.Fatal(err)
	}
	s, err := crypto.LoadSigner(keyFile(t, skey+"\n"+vkey+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestOnlyKnownSignaturesCount(t *testing.T) {
	ours, theirs := signer(t, "host"), signer(t, "host")
	known, err := crypto.ParseVerifiers([]string{ours.VerifierKey(), ours.VerifierKey()})
	if err != nil {
		t.Fatal(err)
	}
	text := []byte("{\n \"a\": 1\n}\n")
	msg, err := ours.Sign(text)
	if err != nil {
		t.Fatal(err)
	}
	if got, _, err := known.Open(msg); err != nil || !bytes.Equal(got, text) {
		t.Errorf("%q, %v", got, err)
	}
	for i := range text {
		changed := bytes.Clone(msg)
		changed[i] ^= 1
		if _, _, err := known.Open(changed); !errors.Is(err, crypto.ErrBadSignature) && !errors.Is(err, crypto.ErrUnsigned) {
			t.Errorf("byte %d changed: %v", i, err)
		}
	}
	forged, _ := theirs.Sign(text)
	var unknown *crypto.UnknownSignerError
	if _, _, err := known.Open(forged); !errors.As(err, &unknown) || !bytes.Equal(unknown.Text, text) {
		t.Error(err)
	}
	if _, _, err := (*crypto.Verifiers)(nil).Open(msg); !errors.As(err, &unknown) {
		t.Error(err)
	}
	if _, _, err := known.Open(text); !errors.Is(err, crypto.ErrUnsigned) {
		t.Error(err)
	}
	first, again := ours.MAC("a", text), ours.MAC("a", text)
	if first != again || first == theirs.MAC("a", text) || first == ours.MAC("b", text) {
		t.Error("the MAC is not the owner's own")
	}
}

func TestSigningKeysThatCannotBe(t *testing.T) {
	for _, name := range []string{"", "a b", "a+b", "ü"} {
		if _, _, err := crypto.GenerateSigner(name); err == nil {
			t.Errorf("%q is taken", name)
		}
	}
	a, aPublic, _ := crypto.GenerateSigner("host")
	_, bPublic, _ := crypto.GenerateSigner("host")
	for _, text := range []string{"", a, a + "\n" + bPublic, "x\n" + aPublic} {
		if _, err := crypto.ParseSigner(text); err == nil {
			t.Errorf("%d bytes are taken for a key", len(text))
		}
	}
	for _, text := range []string{a + "\n" + a, aPublic + "\n" + a, a + "\n" + a[1:]} { // a hand that slipped
		if _, err := crypto.ParseSigner(text); err == nil || strings.Contains(err.Error(), a[len(a)-20:]) {
			t.Errorf("the error shows the key: %v", err)
		}
	}
	if _, err := crypto.ParseVerifiers([]string{a}); err == nil || strings.Contains(err.Error(), a[len(a)-20:]) {
		t.Errorf("the error shows the key: %v", err)
	}
}
