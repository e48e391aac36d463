package sftp

import (
	"context"
	"io/fs"
	"sync"
	"time"
)

// rest is how long a connection that nobody uses stays open: not long, since servers and routers drop idle ones
// without a word.
const rest = 20 * time.Second

// pool lends connections, and keeps those that are returned for a while.
type pool struct {
	dial  func(ctx context.Context) (*conn, error)
	calls chan struct{} // one slot for each call that may have a connection
	dials chan struct{} // servers refuse too many logins at once (MaxStartups in sshd_config(5))

	mu     sync.Mutex
	idle   []*idleConn
	lent   map[*conn]bool
	closed bool
}

type idleConn struct {
	*conn
	bedtime *time.Timer
}

func newPool(connections int, dial func(ctx context.Context) (*conn, error)) *pool {
	return &pool{dial: dial, calls: make(chan struct{}, connections), dials: make(chan struct{}, connections), lent: map[*conn]bool{}}
}

// take lends a connection for a call that will end by itself, once few enough others are under way.
func (p *pool) take(ctx context.Context) (c *conn, give func(well bool), err error) {
	if err := enter(ctx, p.calls); err != nil {
		return nil, nil, err
	}
	c, giveBack, err := p.takeForReader(ctx)
	if err != nil {
		<-p.calls
		return nil, nil, err
	}
	return c, func(well bool) {
		giveBack(well)
		<-p.calls
	}, nil
}

// takeForReader lends a connection at once: it may be held for as long as a caller likes, who may wait for other
// calls meanwhile.
func (p *pool) takeForReader(ctx context.Context) (c *conn, give func(well bool), err error) {
	c, err = p.any(ctx)
	if err != nil {
		return nil, nil, err
	}
	return c, func(well bool) { p.give(c, well) }, nil
}

func enter(ctx context.Context, slots chan struct{}) error {
	select {
	case slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// any is an idle connection that lives, or a new one.
func (p *pool) any(ctx context.Context) (*conn, error) {
	p.mu.Lock()
	for len(p.idle) > 0 && !p.closed {
		last := p.idle[len(p.idle)-1]
		p.idle = p.idle[:len(p.idle)-1]
		if last.bedtime.Stop() && last.alive() {
			p.lent[last.conn] = true
			p.mu.Unlock()
			return last.conn, nil
		}
		defer last.conn.Close()
	}
	closed := p.closed
	p.mu.Unlock()
	if closed {
		return nil, fs.ErrClosed
	}
	if err := enter(ctx, p.dials); err != nil {
		return nil, err
	}
	c, err := p.dial(ctx)
	<-p.dials
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		defer c.Close()
		return nil, fs.ErrClosed
	}
	p.lent[c] = true
	return c, nil
}

// give takes a connection back: for the next call if it is well, to be closed if not.
func (p *pool) give(c *conn, well bool) {
	p.mu.Lock()
	delete(p.lent, c)
	keep := well && c.alive() && !p.closed
	if keep {
		i := &idleConn{conn: c}
		i.bedtime = time.AfterFunc(rest, func() { p.retire(i) })
		p.idle = append(p.idle, i)
	}
	p.mu.Unlock()
	if !keep {
		c.Close()
	}
}

// retire closes a connection that nobody wanted for a while.
func (p *pool) retire(i *idleConn) {
	p.mu.Lock()
	for at, other := range p.idle {
		if other == i {
			p.idle = append(p.idle[:at], p.idle[at+1:]...)
			break
		}
	}
	p.mu.Unlock()
	i.Close()
}

// Close closes all connections, those under way too.
func (p *pool) Close() {
	p.mu.Lock()
	p.closed = true
	var all []*conn
	for _, i := range p.idle {
		i.bedtime.Stop()
		all = append(all, i.conn)
	}
	p.idle = nil
	for c := range p.lent {
		all = append(all, c)
	}
	p.mu.Unlock()
	for _, c := range all {
		c.Close()
	}
}
