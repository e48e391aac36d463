package dir

import (
	"os"
	"path"
	"syscall"
)

// What root makes in another user's directory is that user's: the agent, as a service, has a user of its own, to whom its part of the target
// belongs, and root may push or repair by hand. Without this the agent could not write to what root has made. Where a file system does not
// let it be given (a NAS that takes root for nobody), it stays as it is: the backup is stored all the same.

// giveDirectory gives a directory that was just made to the owner of the one that it is in. It is opened before, and looked at, since whoever
// that owner is may put something else in its place at any time.
func giveDirectory(root *os.Root, name string) {
	if os.Geteuid() != 0 {
		return
	}
	if d, err := root.OpenFile(name, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW, 0); err == nil {
		giveFile(root, d, name)
		d.Close()
	}
}

// giveFile gives an open file of root's to the owner of its directory. One that has another name, too, may have come from elsewhere.
func giveFile(root *os.Root, f *os.File, name string) {
	if os.Geteuid() != 0 {
		return
	}
	in, err := root.Lstat(path.Dir(name))
	if err != nil {
		return
	}
	owner, known := in.Sys().(*syscall.Stat_t)
	var file syscall.Stat_t
	if err := syscall.Fstat(int(f.Fd()), &file); err != nil || !known || owner.Uid == 0 || file.Uid != 0 {
		return
	}
	if file.Mode&syscall.S_IFMT == syscall.S_IFREG && file.Nlink > 1 {
		return
	}
	f.Chown(int(owner.Uid), int(owner.Gid))
}
