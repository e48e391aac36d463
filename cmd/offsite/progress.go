package main

import (
	"io"
	"os"
	"sync"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"
)

// progress draws a bar for each transfer, on a terminal only.
type progress struct {
	bars *mpb.Progress // nil: not a terminal
	mu   sync.Mutex
	by   map[string]*mpb.Bar
}

func newProgress(w io.Writer) *progress {
	p := &progress{by: map[string]*mpb.Bar{}}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		p.bars = mpb.New(mpb.WithOutput(w), mpb.WithWidth(40))
	}
	return p
}

// over is where to write while bars may be drawn on w: above them.
func (p *progress) over(w io.Writer) io.Writer {
	if p.bars == nil {
		return w
	}
	return p.bars
}

// Started is part of agent.Observer.
func (p *progress) Started(target, file string, total int64) {
	if p.bars == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.by[target+file] != nil {
		return
	}
	p.by[target+file] = p.bars.AddBar(total,
		mpb.PrependDecorators(decor.Name(target+" "+harmless(file)+" ")),
		mpb.AppendDecorators(decor.CountersKibiByte("% .1f / % .1f"), decor.Name(" "), decor.AverageSpeed(decor.SizeB1024(0), "% .1f"),
			decor.Name(" "), decor.AverageETA(decor.ET_STYLE_GO)))
}

// Had is part of agent.Observer: the bar begins there.
func (p *progress) Had(target, file string, n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if b := p.by[target+file]; b != nil {
		b.IncrInt64(n)
		b.SetRefill(b.Current())
	}
}

// Sent is part of agent.Observer.
func (p *progress) Sent(target, file string, n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if b := p.by[target+file]; b != nil {
		b.IncrInt64(n)
	}
}

// Ended is part of agent.Observer.
func (p *progress) Ended(target, file string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if b := p.by[target+file]; b != nil {
		if err != nil {
			b.Abort(false)
		} else {
			b.SetTotal(b.Current(), true)
		}
		delete(p.by, target+file)
	}
}

// wait lets the bars be drawn to their ends.
func (p *progress) wait() {
	if p.bars == nil {
		return
	}
	p.mu.Lock()
	for _, b := range p.by {
		b.Abort(false)
	}
	p.mu.Unlock()
	p.bars.Wait()
}
