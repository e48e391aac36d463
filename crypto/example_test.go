package crypto_test

import (
	"bytes"
	"context"
	"fmt"

	"filippo.io/age"

	"offsite/crypto"
)

// A dump is sealed block by block, in any order, and the blocks are one plain age file.
func ExampleSealing() {
	secret, public, err := crypto.GenerateIdentity(false)
	if err != nil {
		panic(err)
	}
	recipients, err := crypto.ParseRecipients([]string{public})
	if err != nil {
		panic(err)
	}
	dump := []byte("-- PostgreSQL database dump")
	s, err := crypto.NewSealing(recipients, int64(len(dump)), crypto.BlockSize)
	if err != nil {
		panic(err)
	}
	block := make([]byte, s.Size()) // there is only one
	record := func(i int, d crypto.Digest) error { return nil /* a real one makes d durable */ }
	if _, err := s.Seal(context.Background(), bytes.NewReader(dump), 0, block, record); err != nil {
		panic(err)
	}
	id, err := age.ParseX25519Identity(secret)
	if err != nil {
		panic(err)
	}
	plain, err := crypto.OpenBytes(block, id)
	fmt.Println(string(plain), err)
	// Output: -- PostgreSQL database dump <nil>
}

// What is signed by a key that is not known opens for nobody, but says who signed it.
func ExampleVerifiers_Open() {
	skey, vkey, err := crypto.GenerateSigner("db-server")
	if err != nil {
		panic(err)
	}
	s, err := crypto.ParseSigner(skey + "\n" + vkey + "\n")
	if err != nil {
		panic(err)
	}
	note, err := s.Sign([]byte("a manifest\n"))
	if err != nil {
		panic(err)
	}
	known, err := crypto.ParseVerifiers([]string{vkey})
	if err != nil {
		panic(err)
	}
	text, _, err := known.Open(note)
	fmt.Printf("%q %v\n", text, err)
	_, _, err = known.Open(bytes.Replace(note, []byte("a manifest"), []byte("a forgery!"), 1))
	fmt.Println(err != nil)
	// Output:
	// "a manifest\n" <nil>
	// true
}
