package agent

import (
	"encoding/json"
	"os"
	"syscall"

	"offsite/agent/dump"
	"offsite/agent/journal"
	"offsite/agent/vault"
	"offsite/agent/watch"
	"offsite/crypto"
)

// private is the part of the manifest that only the dump's recipients can read.
func (s *shipment) private(facts dump.Facts) ([]byte, error) {
	info, err := s.file.Stat()
	if err != nil {
		return nil, err
	}
	p := vault.Private{
		Path: vault.Text(s.dump.Path), Mode: uint32(info.Mode() & os.ModePerm), MTime: info.ModTime().UTC(),
		SHA256: facts.SHA256,
	}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		p.UID, p.GID = sys.Uid, sys.Gid
	}
	text, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	return crypto.SealBytes(s.agent.Recipients, text)
}

// fileOf is the journal's description of an open file.
func fileOf(f *os.File) (journal.File, error) {
	id, err := watch.FStat(f)
	return journal.File(id), err
}
