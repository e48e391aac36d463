package agent

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"

	"offsite/agent/journal"
	"offsite/agent/limit"
	"offsite/agent/vault"
	"offsite/providers"
)

// backfill copies to the target what it lacks of what other targets have and its policy keeps, and what the scrub found damaged on
// it. What the agent itself is to ship it leaves alone.
func (w *worker) backfill(ctx context.Context) error {
	if !w.target.Backfill {
		return nil
	}
	s, err := w.agent.takeStock(ctx, "")
	if s.on[w] == nil {
		return err
	}
	wanted := s.wanted(w)
	for object, b := range s.on[w] {
		if b.Unsound != "" {
			wanted[object] = true
		}
	}
	failed := []error{err}
	for _, object := range slices.Sorted(maps.Keys(wanted)) {
		if err := w.fill(ctx, s, object); err != nil {
			failed = append(failed, err)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return errors.Join(failed...)
}

// fill brings one backup to the target, if another one has it.
func (w *worker) fill(ctx context.Context, s *stock, object string) error {
	name, err := vault.Parse(object)
	if err != nil {
		return err
	}
	if d, err := w.agent.journal.ByID(name.ID); err != nil {
		return err
	} else if d != nil && d.Targets[w.target.Name].State == journal.Owed {
		return nil
	}
	verdicts, err := w.agent.journal.Verdicts(w.target.Name, []string{object})
	if err != nil {
		return err
	}
	all, err := w.agent.copiesOf(ctx, s, object, vault.Head)
	if err != nil {
		return err
	}
	b, err := best(all)
	if err != nil || b == nil {
		return err
	}
	own := all[slices.IndexFunc(all, func(c *copied) bool { return c.worker == w })]
	if v := verdicts[0]; v != nil && v.Damage != "" && own.condition == good {
		own.condition = damaged // as the scrub has seen, and Head does not
	}
	if own.condition != lacking && own.condition != damaged {
		return nil
	}
	done, err := w.agent.mend(ctx, own, b, all)
	if err == nil {
		w.log.Info("the target lacked a backup, or held it damaged", "object", object, "done", done)
	}
	return err
}

// limited is a source of which a target is given no more at a time than its limit allows.
type limited struct {
	providers.Source
	*limit.Limiter
}

// Block is that of the source, once the limit lets one more stream begin.
func (l limited) Block(ctx context.Context, i int) (*providers.Block, error) {
	end, err := l.Open(ctx)
	if err != nil {
		return nil, err
	}
	b, err := l.Source.Block(ctx, i)
	if err != nil {
		end()
		return nil, err
	}
	body := io.NewSectionReader(l.Reader(ctx, b.Body), 0, b.Body.Size())
	return providers.NewBlock(i, body, b.Sum, func() { b.Release(); end() }), nil
}
