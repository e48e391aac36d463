package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"offsite/agent/dump"
	"offsite/agent/vault"
	"offsite/crypto"
)

// condition is how a target's copy of a backup is.
type condition int

const (
	good    condition = iota
	lacking           // it has none, or none with a manifest
	damaged           // its data or manifest is not what the host signed
	unknown           // it could not be looked at, or somebody else signed it
)

// copied is one target's copy of a backup.
type copied struct {
	*worker
	condition
	bare    bool            // lacking, but its data is there
	problem error           // what is wrong; nil for good and lacking ones
	m       *vault.Manifest // nil: none that is trusted
	signed  []byte
}

// copiesOf looks at the copies of a backup, in the order of the targets, on all of them at once.
func (a *Agent) copiesOf(ctx context.Context, s *stock, object string, level vault.Level) ([]*copied, error) {
	name, err := vault.Parse(object)
	if err != nil {
		return nil, err
	}
	var all []*copied
	group := new(errgroup.Group)
	for _, w := range a.workers {
		on, listed := s.on[w]
		if !listed {
			continue
		}
		_, bare := s.bare[w][object]
		c := &copied{worker: w, condition: lacking, bare: bare}
		all = append(all, c)
		if _, there := on[object]; there {
			group.Go(func() error { c.look(ctx, name, level); return nil })
		}
	}
	group.Wait()
	return all, ctx.Err()
}

// look finds out how the copy is, as closely as level says.
func (c *copied) look(ctx context.Context, name vault.Name, level vault.Level) {
	m, signed, err := c.vault.Signed(ctx, name)
	switch {
	case isMissing(err):
		c.condition = lacking
	case errors.Is(err, vault.ErrUntrusted):
		c.condition, c.problem = unknown, err
	case err != nil:
		c.condition, c.problem = conditionOf(err), err
	default:
		c.m, c.signed = m, signed
		c.problem = c.vault.VerifyData(ctx, m, level)
		c.condition = conditionOf(c.problem)
	}
}

// conditionOf is what an error of looking at a copy says of it.
func conditionOf(err error) condition {
	switch {
	case err == nil:
		return good
	case errors.Is(err, vault.ErrIntegrity) || errors.Is(err, crypto.ErrCorrupt):
		return damaged
	}
	return unknown
}

// best is the copy whose manifest knows most; nil: no target has one that is trusted. All manifests of an object must be of the
// same bytes, since no name is ever used for others.
func best(all []*copied) (*copied, error) {
	var b *copied
	for _, c := range all {
		switch {
		case c.m == nil:
		case b == nil:
			b = c
		case c.m.Stored != b.m.Stored || c.m.BlockSize != b.m.BlockSize || !slices.Equal(c.m.Blocks, b.m.Blocks):
			return nil, fmt.Errorf("%s: the manifests of %s and %s are of different data, though both are signed: nothing was done",
				c.m.Object, b.target.Name, c.target.Name)
		case knows(c) > knows(b):
			b = c
		}
	}
	return b, nil
}

// knows ranks manifests: one with a verdict before one without, and what a person accepted before all.
func knows(c *copied) int {
	switch {
	case !c.m.Health.Accepted.IsZero():
		return 3
	case c.m.Health.State == dump.Pending:
		return 1
	}
	return 2
}

// sources are the copies from which the data can be read, those that are good first; and the names of those.
func sources(all []*copied) (from vault.Copies, whole []string) {
	add := func(want condition) {
		for _, c := range all {
			if c.condition == want && (want != lacking || c.bare) {
				from.Vaults, from.Names = append(from.Vaults, c.vault), append(from.Names, c.target.Name)
			}
		}
	}
	add(good)
	whole = slices.Clone(from.Names)
	add(lacking) // data that lost its manifest may be whole all the same, which another one's proves
	add(unknown)
	add(damaged)
	return from, whole
}
