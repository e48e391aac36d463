package main

import (
	"errors"
	"net"
	"os"

	"github.com/coreos/go-systemd/v22/activation"
)

// given are the sockets that systemd has opened for this process (sd_listen_fds(3)). They stay open when an agent ends and another begins:
// whoever asks meanwhile waits.
type given struct {
	status []*os.File // FileDescriptorName=status: for questions
	page   []*os.File // all others
}

// takeGiven takes them, once.
func takeGiven() (g given) {
	for _, f := range activation.Files(true) {
		if f.Name() == "status" {
			g.status = append(g.status, f)
		} else {
			g.page = append(g.page, f)
		}
	}
	return g
}

// listeners listen at sockets, which stay open when they are closed. What is no stream socket is left out, and the error says so.
func listeners(files []*os.File) (all []net.Listener, err error) {
	for _, f := range files {
		l, failed := net.FileListener(f)
		if failed != nil {
			err = errors.Join(err, failed)
			continue
		}
		all = append(all, l)
	}
	return all, err
}
