package faults_test

import (
	"context"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// broken is a file system over a directory whose writes and syncs fail with EIO while it is told so, as those of a disk that
// dies.
type broken struct {
	*fs.LoopbackNode
	eio *atomic.Bool
}

// WrapChild is part of fs.NodeWrapChilder.
func (b *broken) WrapChild(_ context.Context, child fs.InodeEmbedder) fs.InodeEmbedder {
	return &broken{child.(*fs.LoopbackNode), b.eio}
}

// mountBroken mounts one over dir at path until the end of the test, and gives its switch.
func mountBroken(t *testing.T, dir, path string) *atomic.Bool {
	t.Helper()
	eio := new(atomic.Bool)
	root := &fs.LoopbackRoot{Path: dir}
	top := &broken{&fs.LoopbackNode{RootData: root}, eio}
	root.RootNode = top
	server, err := fs.Mount(path, top, &fs.Options{MountOptions: fuse.MountOptions{DirectMountStrict: true, AllowOther: true, Name: "broken"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Unmount(); err != nil {
			syscall.Unmount(path, syscall.MNT_DETACH)
		}
	})
	return eio
}

// Create is part of fs.NodeCreater.
func (b *broken) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	if b.eio.Load() {
		return nil, nil, 0, syscall.EIO
	}
	inode, f, fuseFlags, errno := b.LoopbackNode.Create(ctx, name, flags, mode, out)
	return inode, b.file(f), fuseFlags, errno
}

// Open is part of fs.NodeOpener.
func (b *broken) Open(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	f, fuseFlags, errno := b.LoopbackNode.Open(ctx, flags)
	return b.file(f), fuseFlags, errno
}

func (b *broken) file(f fs.FileHandle) fs.FileHandle {
	if f == nil {
		return nil
	}
	return &brokenFile{f.(*fs.LoopbackFile), b.eio}
}

type brokenFile struct {
	*fs.LoopbackFile
	eio *atomic.Bool
}

// Write is part of fs.FileWriter.
func (f *brokenFile) Write(ctx context.Context, data []byte, off int64) (uint32, syscall.Errno) {
	if f.eio.Load() {
		return 0, syscall.EIO
	}
	return f.LoopbackFile.Write(ctx, data, off)
}

// Fsync is part of fs.FileFsyncer.
func (f *brokenFile) Fsync(ctx context.Context, flags uint32) syscall.Errno {
	if f.eio.Load() {
		return syscall.EIO
	}
	return f.LoopbackFile.Fsync(ctx, flags)
}

// PassthroughFd keeps the kernel from writing past Write.
func (f *brokenFile) PassthroughFd() (int, bool) { return 0, false }
