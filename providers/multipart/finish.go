package multipart

import (
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"offsite/providers"
)

// finish makes the object of its parts, and makes sure that it is there, and whole.
func finish(ctx context.Context, s Store, key, upload string, parts []Part) error {
	etag, err := s.Complete(ctx, key, upload, parts)
	if err != nil {
		return unanswered(ctx, s, key, parts, err)
	}
	return whole(ctx, s, key, etag, parts)
}

// unanswered decides what it means that Complete failed with err. The store may have done it, and only its answer was
// lost; or a client that asks twice is told that the upload is gone. To send everything again would cost hours.
//
// An object of this name and size is not proof: Put replaces, and what stands there may be what it was to replace.
// The checksum or the ETag that these parts make is. Where the store has neither (R2 makes ETags up) and an object of
// this size stands there, the caller gets the error and decides: the agent knows that the name carries a random id
// of the sealing, so that name and size mean these very bytes; whoever does not know that puts again from the start.
func unanswered(ctx context.Context, s Store, key string, parts []Part, err error) error {
	there, missing := s.Stat(ctx, key)
	switch {
	case missing == nil && there.madeOf(parts):
		return nil
	case errors.Is(missing, fs.ErrNotExist) || missing == nil && there.Size != size(parts):
		return err
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("the upload is gone, and nobody can tell whether the object of its name and size was made of it: %v", err)
	}
	return err
}

// whole makes sure that the store has made an object of all the bytes: some cut it short and say that all is well.
func whole(ctx context.Context, s Store, key, etag string, parts []Part) error {
	there, err := s.Stat(ctx, key)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return nil // write-only credentials: the store's word has to do
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("the store says that the object is complete, and then that there is none: %v", err)
	case err != nil || there.Size == size(parts) || there.Size < 0:
		return err
	}
	err = fmt.Errorf("%d bytes were sent, and the store has made an object of %d: %w", size(parts), there.Size, providers.ErrCorrupt)
	if etag != "" && !sameETag(there.ETag, etag) {
		return err // somebody else's Put of this name came after this one; its object is not ours to remove
	}
	return errors.Join(err, afresh(ctx, func(ctx context.Context) error { return s.Remove(ctx, key) }))
}

// afresh cleans up with a context of its own, for the caller's may be why there is something to clean up.
func afresh(ctx context.Context, clean func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidyTime)
	defer cancel()
	return clean(ctx)
}

func size(parts []Part) (n int64) {
	for _, p := range parts {
		n += p.Size
	}
	return n
}

// madeOf says whether the object is proven to be made of these parts: by the checksum of their checksums, or by the
// ETag, which most stores make of the parts' ETags in the same way, with MD5.
func (o Object) madeOf(parts []Part) bool {
	if o.Size != size(parts) {
		return false
	}
	var sums, etags []byte
	allSums, allETags := true, true
	for _, p := range parts {
		sums = append(sums, p.SHA256[:]...)
		allSums = allSums && p.SHA256 != [32]byte{}
		etag, err := hex.DecodeString(bare(p.ETag))
		etags = append(etags, etag...)
		allETags = allETags && err == nil && len(etag) == md5.Size
	}
	sum, etag := sha256.Sum256(sums), md5.Sum(etags)
	return allSums && o.SHA256 == fmt.Sprintf("%s-%d", base64.StdEncoding.EncodeToString(sum[:]), len(parts)) ||
		allETags && sameETag(o.ETag, fmt.Sprintf("%x-%d", etag, len(parts)))
}

// bare is an ETag without its quotes, which some clients leave on.
func bare(etag string) string { return strings.Trim(etag, `"`) }

func sameETag(a, b string) bool { return bare(a) == bare(b) }
