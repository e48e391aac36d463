// Package multipart is what s3 and minio share: the target itself (Bucket) over the calls of a client, the one resumable
// block upload, versions and locks, the HTTP transport, and what the answers of a store mean.
//
// What an earlier try left needs no record here: the server lists the unfinished uploads of a key and their parts.
// A part counts when its size is right and its SHA-256, or its MD5 in the ETag where the store keeps no SHA-256, is
// that of the block. All else is sent again.
package multipart

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"offsite/providers"
)

// Store is the few calls of an S3 client that an upload is made of. A missing upload or object is fs.ErrNotExist.
type Store interface {
	// PutWhole stores an object of one block, or of none. It and Create lock the object, unless lock is the zero
	// Retention.
	PutWhole(ctx context.Context, key string, b *providers.Block, lock Retention) error
	Create(ctx context.Context, key string, lock Retention) (upload string, err error)
	// Unfinished are the uploads of all keys that start with prefix. It is either a whole key or empty: MinIO lists by
	// no other prefix.
	Unfinished(ctx context.Context, prefix string) iter.Seq2[Upload, error]
	Parts(ctx context.Context, key, upload string) ([]Part, error)
	// UploadPart stores block i as part i+1.
	UploadPart(ctx context.Context, key, upload string, b *providers.Block) (Part, error)
	// Complete makes the object of its parts, and gives its ETag.
	Complete(ctx context.Context, key, upload string, parts []Part) (etag string, err error)
	Abort(ctx context.Context, key, upload string) error
	Stat(ctx context.Context, key string) (Object, error)
	Remove(ctx context.Context, key string) error
}

// Part is a stored part.
type Part struct {
	// Number counts from 1.
	Number int
	Size   int64
	ETag   string
	// SHA256 is all zero when the store does not say.
	SHA256 [32]byte
	// Stored is when, in a listing, by the store's clock.
	Stored time.Time
}

// Object is what the store says of an object.
type Object struct {
	// Size is -1 when the store does not say.
	Size int64
	ETag string
	// SHA256 is the SHA-256 of the parts' SHA-256, as S3 writes it: base64, a dash, the number of parts. It is empty
	// when the store does not say.
	SHA256 string
}

const (
	// parallel is how many blocks are made and sent at once.
	parallel = 4
	maxParts = 10000
	tidyTime = time.Minute
)

// Put stores src under key. See providers.Target.
func Put(ctx context.Context, s Store, key string, src providers.Source, lock Retention) error {
	if n := providers.Blocks(src); n > maxParts {
		return fmt.Errorf("%d blocks, and the store takes %d: %w", n, maxParts, providers.ErrPermanent)
	}
	if providers.Blocks(src) < 2 {
		return putWhole(ctx, s, key, src, lock)
	}
	err := put(ctx, s, key, src, lock)
	if errors.Is(err, errUploadGone) {
		err = put(ctx, s, key, src, lock) // it was finished or aborted by somebody else meanwhile: once more from the start
	}
	if errors.Is(err, providers.ErrSourceChanged) {
		err = errors.Join(err, afresh(ctx, func(ctx context.Context) error { return AbortAll(ctx, s, key) }))
	}
	return err
}

func putWhole(ctx context.Context, s Store, key string, src providers.Source, lock Retention) error {
	if providers.Blocks(src) == 0 {
		empty, err := providers.Bytes(nil).Block(ctx, 0)
		if err != nil {
			return err
		}
		return s.PutWhole(ctx, key, empty, lock)
	}
	b, err := src.Block(ctx, 0)
	if err != nil {
		return err
	}
	defer b.Release()
	lent, end := lend(b)
	defer end()
	return s.PutWhole(ctx, key, lent, lock)
}

// errUploadGone: the store does not know the upload any more.
var errUploadGone = errors.New("the unfinished upload is gone")

func put(ctx context.Context, s Store, key string, src providers.Source, lock Retention) error {
	upload, have, err := resume(ctx, s, key, src)
	if err != nil {
		return err
	}
	found := upload != ""
	if !found {
		if upload, err = s.Create(ctx, key, lock); err != nil {
			return err
		}
	}
	parts, err := send(ctx, s, key, upload, src, have)
	if err == nil {
		err = finish(ctx, s, key, upload, parts)
	}
	if found && isUnfit(err) {
		// It was begun with other settings, or the store has lost a part of it: it would be refused for ever.
		err = afresh(ctx, func(ctx context.Context) error { return s.Abort(ctx, key, upload) })
		return errors.Join(fmt.Errorf("%w: the store refuses to go on with it", errUploadGone), err)
	}
	if err != nil {
		return gone(err)
	}
	abortOthers(ctx, s, key, upload)
	return nil
}

// isUnfit says whether the store refuses what it was asked to do with an upload, and would do so again.
func isUnfit(err error) bool {
	var r *refusal
	return errors.As(err, &r) && slices.Contains([]string{"InvalidPart", "InvalidRequest", "InvalidArgument"}, r.code)
}

func gone(err error) error {
	var r *refusal
	if errors.As(err, &r) && r.kind == fs.ErrNotExist {
		return fmt.Errorf("%w: %v", errUploadGone, err) // to the caller of Put, nothing that it asked for is missing
	}
	return err
}

// uploads are the unfinished ones of exactly this key.
func uploads(ctx context.Context, s Store, key string) (ids []string, err error) {
	for u, err := range s.Unfinished(ctx, key) {
		if err != nil {
			return nil, err
		}
		if u.Key == key {
			ids = append(ids, u.ID)
		}
	}
	return ids, nil
}

// resume finds the unfinished upload of this key that has most parts.
func resume(ctx context.Context, s Store, key string, src providers.Source) (upload string, have map[int]Part, err error) {
	ids, err := uploads(ctx, s, key)
	if errors.Is(err, fs.ErrPermission) {
		return "", nil, nil // write-only credentials: a new upload
	}
	if err != nil {
		return "", nil, err
	}
	for _, u := range ids {
		parts, err := s.Parts(ctx, key, u)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) { // to list parts is a right of its own
			continue
		}
		if err != nil {
			return "", nil, err
		}
		found := map[int]Part{}
		for _, p := range parts {
			i := p.Number - 1
			if i >= 0 && i < providers.Blocks(src) && p.Size == min(src.BlockSize(), src.Size()-int64(i)*src.BlockSize()) {
				found[i] = p
			}
		}
		if upload == "" || len(found) > len(have) {
			upload, have = u, found
		}
	}
	return upload, have, nil
}

// send brings every block that is not there yet, several at once, and gives the parts in order.
func send(ctx context.Context, s Store, key, upload string, src providers.Source, have map[int]Part) ([]Part, error) {
	parts := make([]Part, providers.Blocks(src))
	group, sending := errgroup.WithContext(ctx)
	var mu sync.Mutex
	next := 0
	for range parallel {
		group.Go(func() error {
			for {
				mu.Lock()
				i := next
				next++
				mu.Unlock()
				if i >= len(parts) {
					return nil
				}
				part, ok := have[i]
				if sum, known := src.Sum(i); ok && known && part.SHA256 == sum {
					parts[i] = part
					providers.Resumed(src, i, i+1)
					continue
				}
				var err error
				if parts[i], err = sendBlock(sending, s, key, upload, src, i, part, ok); err != nil {
					return err
				}
			}
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return parts, ctx.Err()
}

// sendBlock makes a block and sends it, unless the part that is there proves to be the same.
func sendBlock(ctx context.Context, s Store, key, upload string, src providers.Source, i int, there Part, ok bool) (Part, error) {
	b, err := src.Block(ctx, i)
	if err != nil {
		return Part{}, err
	}
	defer b.Release()
	if ok && (there.SHA256 == b.Sum || there.SHA256 == [32]byte{} && sameMD5(there.ETag, b)) {
		return there, nil
	}
	lent, end := lend(b)
	defer end()
	return s.UploadPart(ctx, key, upload, lent)
}

// sameMD5 compares an ETag, which for most stores is the MD5 of the part, with the block.
func sameMD5(etag string, b *providers.Block) bool {
	want, err := hex.DecodeString(bare(etag))
	if err != nil || len(want) != md5.Size {
		return false
	}
	h := md5.New()
	if _, err := io.Copy(h, io.NewSectionReader(b.Body, 0, b.Body.Size())); err != nil {
		return false
	}
	return bytes.Equal(h.Sum(nil), want)
}

// abortOthers removes what other tries at this key left. The object is complete: what is left costs money, not data.
func abortOthers(ctx context.Context, s Store, key, upload string) {
	ids, err := uploads(ctx, s, key)
	if err != nil {
		return
	}
	for _, u := range slices.DeleteFunc(ids, func(u string) bool { return u == upload }) {
		if s.Abort(ctx, key, u) != nil {
			return
		}
	}
}

// tidy is AbortAll for whoever may not be allowed to list uploads: then there is nothing that can be done.
func tidy(ctx context.Context, s Store, key string) error {
	err := AbortAll(ctx, s, key)
	if errors.Is(err, fs.ErrPermission) {
		return nil
	}
	return err
}

// AbortAll removes all unfinished uploads of a key. A part that is on its way may make an abort fail, or arrive after
// it, so it looks again, a few times, until nothing is left.
func AbortAll(ctx context.Context, s Store, key string) error {
	const tries = 5
	for try := 1; ; try++ {
		ids, err := uploads(ctx, s, key)
		if err != nil || len(ids) == 0 {
			return err
		}
		if try > tries {
			return fmt.Errorf("%d unfinished uploads are left", len(ids))
		}
		var failed error
		for _, u := range ids {
			if err := s.Abort(ctx, key, u); err != nil && !errors.Is(err, fs.ErrNotExist) {
				failed = err
			}
		}
		if failed != nil && try == tries {
			return fmt.Errorf("unfinished uploads are left: %w", failed)
		}
		if failed == nil && try == 1 {
			continue
		}
		select {
		case <-time.After(time.Duration(try) * 200 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
