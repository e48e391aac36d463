package vault

import "golang.org/x/sys/unix"

// buffer is memory for a block. A large one lies outside of the garbage collector's heap, which would let as much garbage gather
// as there are blocks.
type buffer struct {
	bytes  []byte
	mapped bool
}

func newBuffer(size int64) buffer {
	const large = 1 << 20
	if size >= large {
		if b, err := unix.Mmap(-1, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON); err == nil {
			return buffer{b, true}
		}
	}
	return buffer{make([]byte, size), false}
}

// free gives the memory back. Nothing may use it any more.
func (b buffer) free() {
	if b.mapped {
		unix.Munmap(b.bytes)
	}
}
