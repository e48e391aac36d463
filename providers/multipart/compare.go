package multipart

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
)

// compare says what providers.Checksummer does: an object of one block has its SHA-256, one of several parts the SHA-256 of those of
// its parts, and their number (Amazon S3 User Guide, "Checking object integrity", composite checksums).
func compare(ctx context.Context, s Store, key string, sums [][32]byte) (same, known bool, err error) {
	o, err := s.Stat(ctx, key)
	if err != nil || o.SHA256 == "" || len(sums) == 0 {
		return false, false, err
	}
	whole, parts, composite := strings.Cut(o.SHA256, "-")
	switch {
	case !composite && len(sums) == 1:
		return whole == base64.StdEncoding.EncodeToString(sums[0][:]), true, nil
	case composite && parts == fmt.Sprint(len(sums)):
		h := sha256.New()
		for _, sum := range sums {
			h.Write(sum[:])
		}
		return whole == base64.StdEncoding.EncodeToString(h.Sum(nil)), true, nil
	}
	return false, false, nil // put by another program, in other parts
}
