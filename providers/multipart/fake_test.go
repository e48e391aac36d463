package multipart_test

import (
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"offsite/providers"
	"offsite/providers/multipart"
)

// fake is a bucket that keeps to S3, and fails where a test wants it to.
type fake struct {
	// before, if set, decides whether a call is refused; n counts the calls of this op, from 1.
	before func(op string, n int) error
	// lost, if set, decides whether the answer to a call that was done is lost.
	lost func(op string, n int) error
	// truncate makes Complete leave the last byte out.
	truncate bool
	// noSums, noMD5: the store keeps no SHA-256, and makes up its ETags.
	noSums, noMD5 bool
	// stored is when, in listings, parts were.
	stored time.Time

	mu      sync.Mutex
	calls   map[string]int
	objects map[string]object
	uploads map[string]*upload
	sent    []int // the parts that were sent, in order of arrival
	created int
	kept    []*providers.Block
}

type object struct {
	bytes []byte
	about multipart.Object
}

type upload struct {
	key   string
	parts map[int]stored
}

type stored struct {
	bytes []byte
	about multipart.Part
}

func newFake() *fake {
	return &fake{calls: map[string]int{}, objects: map[string]object{}, uploads: map[string]*upload{}}
}

var (
	errNoUpload   = multipart.Translate(errors.New("no such upload"), "NoSuchUpload", 404)
	errNoObject   = multipart.Translate(errors.New("no such key"), "NoSuchKey", 404)
	errBadPart    = multipart.Translate(errors.New("invalid part"), "InvalidPart", 400)
	errBadRequest = multipart.Translate(errors.New("invalid request"), "InvalidRequest", 400)
	errRefused    = multipart.Translate(errors.New("access denied"), "AccessDenied", 403)
	errLine       = errors.New("the line is dead")
)

// call runs one step, unless it is refused, and loses its answer if it is to be lost.
func (f *fake) call(ctx context.Context, op string, step func() error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls[op]++
	n := f.calls[op]
	if err := ctx.Err(); err != nil {
		return err
	}
	if f.before != nil {
		if err := f.before(op, n); err != nil {
			return err
		}
	}
	if err := step(); err != nil {
		return err
	}
	if f.lost != nil {
		return f.lost(op, n)
	}
	return nil
}

func (f *fake) etag(b []byte, suffix string) string {
	if f.noMD5 {
		f.created++
		return fmt.Sprintf(`"made-up-%d%s"`, f.created, suffix)
	}
	return fmt.Sprintf(`"%x%s"`, md5.Sum(b), suffix)
}

func (f *fake) PutWhole(ctx context.Context, key string, b *providers.Block, _ multipart.Retention) error {
	return f.call(ctx, "whole", func() error {
		f.kept = append(f.kept, b)
		all, err := io.ReadAll(b.Body)
		f.objects[key] = object{all, multipart.Object{Size: int64(len(all)), ETag: f.etag(all, "")}}
		return err
	})
}

func (f *fake) Create(ctx context.Context, key string, _ multipart.Retention) (id string, err error) {
	err = f.call(ctx, "create", func() error {
		f.created++
		id = fmt.Sprint("upload", f.created)
		f.uploads[id] = &upload{key, map[int]stored{}}
		return nil
	})
	return id, err
}

func (f *fake) Unfinished(ctx context.Context, prefix string) iter.Seq2[multipart.Upload, error] {
	return func(yield func(multipart.Upload, error) bool) {
		op, all := "uploads", []multipart.Upload{}
		if prefix == "" {
			op = "unfinished"
		}
		err := f.call(ctx, op, func() error {
			for _, id := range slices.Sorted(maps.Keys(f.uploads)) {
				if u := f.uploads[id]; strings.HasPrefix(u.key, prefix) {
					all = append(all, multipart.Upload{Key: u.key, ID: id, Begun: time.Now()})
				}
			}
			return nil
		})
		if err != nil {
			yield(multipart.Upload{}, err)
			return
		}
		for _, u := range all {
			if !yield(u, nil) {
				return
			}
		}
	}
}

func (f *fake) Parts(ctx context.Context, key, id string) (parts []multipart.Part, err error) {
	err = f.call(ctx, "parts", func() error {
		u := f.uploads[id]
		if u == nil {
			return errNoUpload
		}
		for _, n := range slices.Sorted(maps.Keys(u.parts)) {
			p := u.parts[n].about
			p.Stored = f.stored
			parts = append(parts, p)
		}
		return nil
	})
	return parts, err
}

func (f *fake) UploadPart(ctx context.Context, key, id string, b *providers.Block) (part multipart.Part, err error) {
	err = f.call(ctx, "part", func() error {
		f.kept = append(f.kept, b)
		u := f.uploads[id]
		if u == nil {
			return errNoUpload
		}
		all, err := io.ReadAll(io.NewSectionReader(b.Body, 0, b.Body.Size()))
		part = multipart.Part{Number: b.Index + 1, Size: int64(len(all)), ETag: f.etag(all, ""), SHA256: sha256.Sum256(all)}
		if f.noSums {
			part.SHA256 = [32]byte{}
		}
		u.parts[part.Number] = stored{all, part}
		f.sent = append(f.sent, part.Number)
		return err
	})
	return part, err
}

func (f *fake) Complete(ctx context.Context, key, id string, parts []multipart.Part) (etag string, err error) {
	err = f.call(ctx, "complete", func() error {
		u := f.uploads[id]
		if u == nil {
			return errNoUpload
		}
		var all, etags, sums []byte
		for _, p := range parts {
			have := u.parts[p.Number]
			p.Stored = time.Time{}
			if have.about != p {
				return errBadPart
			}
			all, sums = append(all, have.bytes...), append(sums, p.SHA256[:]...)
			sum := md5.Sum(have.bytes)
			etags = append(etags, sum[:]...)
		}
		if f.truncate {
			all = all[:len(all)-1]
		}
		about := multipart.Object{Size: int64(len(all)), ETag: f.etag(etags, fmt.Sprint("-", len(parts)))}
		if sum := sha256.Sum256(sums); !f.noSums {
			about.SHA256 = fmt.Sprintf("%s-%d", base64.StdEncoding.EncodeToString(sum[:]), len(parts))
		}
		f.objects[key] = object{all, about}
		etag = about.ETag
		delete(f.uploads, id)
		return nil
	})
	return etag, err
}

func (f *fake) Abort(ctx context.Context, key, id string) error {
	return f.call(ctx, "abort", func() error {
		if f.uploads[id] == nil {
			return errNoUpload
		}
		delete(f.uploads, id)
		return nil
	})
}

func (f *fake) Stat(ctx context.Context, key string) (about multipart.Object, err error) {
	err = f.call(ctx, "stat", func() error {
		o, ok := f.objects[key]
		if !ok {
			return errNoObject
		}
		about = o.about
		return nil
	})
	return about, err
}

func (f *fake) Remove(ctx context.Context, key string) error {
	return f.call(ctx, "remove", func() error {
		delete(f.objects, key)
		return nil
	})
}
