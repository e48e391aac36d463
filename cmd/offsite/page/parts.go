package page

import (
	"bytes"
	"context"
	"html/template"
	"io"
	"iter"
	"net/http"
	"net/url"
	"slices"

	"offsite/agent/status"
)

// view is a page: its parts from top to bottom, and what its frame shows.
type view struct {
	title, host, version string
	level                status.Level
	home                 bool   // it is the first page
	fleet, reading       bool   // it is of the fleet, which was never read yet
	query                string // with which events and parts are asked for this view
	parts                []part
}

// refresh is after how many seconds the page is loaded again where there is no script: the fleet is read seldom, and its page has a form
// that somebody may be filling in.
func (v view) refresh() int {
	switch {
	case v.reading:
		return 5
	case v.fleet:
		return 300
	}
	return 30
}

// part is a piece of a page that is fetched again when its version has changed. Its version tells all that it shows, but how long ago
// something is.
type part struct {
	id, version string
	template    string
	data        any
	inner       []part // parts within it
}

// all goes through the parts and those within them.
func (v view) all() iter.Seq[part] {
	return func(yield func(part) bool) {
		for _, p := range v.parts {
			if !yield(p) {
				return
			}
			for _, q := range p.inner {
				if !yield(q) {
					return
				}
			}
		}
	}
}

func (v view) versions() map[string]string {
	all := map[string]string{}
	for p := range v.all() {
		all[p.id] = p.version
	}
	return all
}

// rendered is what the template of a part gets.
type rendered struct {
	ID, Version string
	Data        any
	Inner       template.HTML
}

func (p *Page) renderPart(w io.Writer, q part) error {
	var inner bytes.Buffer
	for _, i := range q.inner {
		if err := p.renderPart(&inner, i); err != nil {
			return err
		}
	}
	return p.tmpl.ExecuteTemplate(w, q.template, rendered{q.id, q.version, q.data, template.HTML(inner.String())}) // escaped by their templates
}

// asked is the view that a request of the script is about.
func (p *Page) asked(ctx context.Context, r *http.Request) (view, error) {
	q := r.URL.Query()
	if q.Has("series") {
		return p.seriesView(ctx, q.Get("series"))
	}
	if p.fleet != nil && q.Get("view") == "fleet" {
		if q.Has("host") {
			return p.fleetHostView(ctx, q.Get("host"))
		}
		return p.fleetView(ctx, newFilter(q))
	}
	l, err := p.keeper.host(ctx)
	if err != nil {
		return view{}, err
	}
	return p.hostView(l), nil
}

// seriesQuery asks for the view of a series.
func seriesQuery(name string) string { return "?series=" + url.QueryEscape(name) }

// serveParts answers with the parts that are asked for by ?id=, one after the other.
func (p *Page) serveParts(w http.ResponseWriter, r *http.Request) {
	v, err := p.asked(r.Context(), r)
	if err != nil {
		p.failed(w, r, err)
		return
	}
	ids := r.URL.Query()["id"]
	var b bytes.Buffer
	for q := range v.all() {
		if !slices.Contains(ids, q.id) {
			continue
		}
		if err := p.renderPart(&b, q); err != nil {
			p.failed(w, r, err)
			return
		}
	}
	writeHTML(w, http.StatusOK, b.String())
}
