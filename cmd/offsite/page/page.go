package page

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/gzhttp"

	"offsite/agent/status"
)

// Source is what the page shows. Its methods may be called at once, and what they give is not written to by anybody.
type Source interface {
	// Status is the host now.
	Status(ctx context.Context) (*status.Host, error)
	// Series is one series with all that is known of it; fs.ErrNotExist if there is none of that name.
	Series(ctx context.Context, name string) (*status.SeriesDetail, error)
	// Days are the years of all series, by their names.
	Days(ctx context.Context) (map[string][]status.Day, error)
	// Next is what retention removes next of all series, by their names.
	Next(ctx context.Context) (map[string][]status.Removal, error)
	// Changed is closed when something worth showing has changed since it was asked for. Ask again for the next.
	Changed() <-chan struct{}
}

// Options are what the page needs. All but Config, Metrics and Fleet must be set.
type Options struct {
	Source Source
	// Zone is that of the times it shows.
	Zone *time.Location
	Now  func() time.Time
	// Config is the configuration that the commands it shows are to name; empty: they find it by themselves.
	Config string
	// Metrics, if set, answers /metrics, to the same people.
	Metrics http.Handler
	// Fleet, if set, reads what a target holds of all hosts, for the view of the fleet. It is called by Run alone, once at a time and only
	// while somebody looks. What it gives counts beside an error, as far as it goes; the error is shown, so it must not have secrets in it.
	Fleet func(ctx context.Context) (*status.Fleet, error)
	// FleetEvery is for how long a reading holds; 0: 15 minutes.
	FleetEvery time.Duration
	Log        *slog.Logger
}

// Page is the page of a host.
type Page struct {
	Options
	keeper  *keeper
	fleet   *fleetKeeper // nil: there is no view of a fleet
	assets  assets
	tmpl    *template.Template
	streams atomic.Int64
}

//go:embed assets
var assetFiles embed.FS

//go:embed templates
var templateFiles embed.FS

// New makes the page. It starts nothing; Run does what it does in the background.
func New(o Options) (*Page, error) {
	assets, err := loadAssets()
	if err != nil {
		return nil, err
	}
	tmpl, err := template.New("").Funcs(template.FuncMap{"asset": assets.url, "code": code, "badge": badge, "healthBadge": healthBadge}).ParseFS(templateFiles, "templates/*.html")
	if err != nil {
		return nil, err
	}
	return &Page{Options: o, keeper: newKeeper(o.Source, o.Now, o.Log), fleet: newFleetKeeper(o), assets: assets, tmpl: tmpl}, nil
}

// Behind is the page as one listener serves it, to those whom access lets in. Sessions and failed tries are the listener's own.
func (p *Page) Behind(access Access) (http.Handler, error) {
	d, err := newDoor(p, access)
	if err != nil {
		return nil, err
	}
	packed := func(h http.HandlerFunc) http.Handler { return d.known(gzhttp.GzipHandler(h)) }
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", packed(p.serveHost))
	mux.Handle("GET /series/{name...}", packed(p.serveSeries))
	mux.Handle("GET /parts", packed(p.serveParts))
	mux.Handle("GET /events", d.known(http.HandlerFunc(p.serveEvents)))
	mux.Handle("GET /status.json", packed(p.serveJSON))
	if p.fleet != nil {
		mux.Handle("GET /fleet", packed(p.serveFleet))
		mux.Handle("GET /fleet/{name...}", packed(p.serveFleetHost))
		mux.Handle("GET /fleet.json", packed(p.serveFleetJSON))
	}
	if p.Metrics != nil {
		mux.Handle("GET /metrics", d.known(p.Metrics))
	}
	mux.Handle("GET /assets/{name}", gzhttp.GzipHandler(p.assets))
	mux.HandleFunc("GET /login", d.serveForm)
	mux.HandleFunc("POST /login", d.serveLogin)
	mux.HandleFunc("POST /logout", d.serveLogout)
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		p.sorry(w, http.StatusNotFound, "There is no such page.")
	})
	return d.guard(http.NewCrossOriginProtection().Handler(mux)), nil
}

func (p *Page) serveHost(w http.ResponseWriter, r *http.Request) {
	l, err := p.keeper.host(r.Context())
	if err != nil {
		p.failed(w, r, err)
		return
	}
	p.serveView(w, r, p.hostView(l))
}

func (p *Page) serveSeries(w http.ResponseWriter, r *http.Request) {
	v, err := p.seriesView(r.Context(), nameOf(r))
	if err != nil {
		p.failed(w, r, err)
		return
	}
	p.serveView(w, r, v)
}

// serveView answers with a whole page.
func (p *Page) serveView(w http.ResponseWriter, r *http.Request, v view) {
	var body bytes.Buffer
	for _, part := range v.parts {
		if err := p.renderPart(&body, part); err != nil {
			p.failed(w, r, err)
			return
		}
	}
	p.serveTemplate(w, http.StatusOK, "layout", layout{
		Title: v.title, Level: v.level, Host: v.host, Home: v.home, Fleet: p.fleet != nil, InFleet: v.fleet, Refresh: v.refresh(), Query: v.query, Assets: p.assets.version, LoggedIn: isSession(r.Context()),
		Kinds: kindTexts(), Version: strings.TrimPrefix(v.version, "offsite "), At: exact(p.Now().In(p.Zone)), Body: template.HTML(body.String()), // escaped by the templates of the parts
	})
}

// layout is what the frame of a page shows.
type layout struct {
	Title, Host, Version, Query, Assets, At string
	Kinds                                   string // JSON: what is said of a day of each kind
	Level                                   status.Level
	Home, LoggedIn, Fleet, InFleet          bool
	Refresh                                 int // seconds after which it is loaded again where there is no script
	Body                                    template.HTML
}

func (p *Page) serveTemplate(w http.ResponseWriter, code int, name string, data any) {
	var b bytes.Buffer
	if err := p.tmpl.ExecuteTemplate(&b, name, data); err != nil {
		p.Log.Error("the page cannot be shown", "template", name, "err", err)
		http.Error(w, "the page cannot be shown; the agent's log says why", http.StatusInternalServerError)
		return
	}
	writeHTML(w, code, b.String())
}

// turning are characters that turn text around or hide between others, so that a name looks like another one.
var turning = func() *strings.Replacer {
	var pairs []string
	for _, r := range "\u061c\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff" {
		pairs = append(pairs, string(r), "\ufffd")
	}
	return strings.NewReplacer(pairs...)
}()

// writeHTML answers with a document, in whose texts nothing turns around, wherever they come from.
func writeHTML(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(code)
	turning.WriteString(w, text)
}

func (p *Page) serveJSON(w http.ResponseWriter, r *http.Request) {
	l, err := p.keeper.host(r.Context())
	if err != nil {
		p.failed(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.Encode(l.host)
}

// failed answers with what went wrong. Its cause is for the log: it may have more in it than whoever looks is to know.
func (p *Page) failed(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case r.Context().Err() != nil: // nobody reads the answer
	case errors.Is(err, errNoHost):
		p.sorry(w, http.StatusNotFound, "There is no host of this name in the fleet.")
	case errors.Is(err, fs.ErrNotExist):
		p.sorry(w, http.StatusNotFound, "There is no series of this name.")
	default:
		p.Log.Error("the page cannot be shown", "path", r.URL.Path, "err", err)
		p.sorry(w, http.StatusInternalServerError, "The state of this host cannot be read. The agent’s log says why.")
	}
}

func (p *Page) sorry(w http.ResponseWriter, code int, text string) {
	p.serveTemplate(w, code, "sorry", map[string]any{"Title": http.StatusText(code), "Text": text})
}

// seriesURL is the address of a series.
func seriesURL(name string) string { return nameURL("/series/", name) }

// nameURL is the address of what is called name below base. A name with segments that a browser or a proxy would tidy away goes into the
// query.
func nameURL(base, name string) string {
	segments := strings.Split(name, "/")
	for i, s := range segments {
		if s == "" || s == "." || s == ".." {
			return base + "?name=" + url.QueryEscape(name)
		}
		segments[i] = url.PathEscape(s)
	}
	return base + strings.Join(segments, "/")
}

// nameOf is the name that an address of nameURL is about.
func nameOf(r *http.Request) string {
	name := r.PathValue("name")
	if name == "" && r.URL.Query().Has("name") {
		name = r.URL.Query().Get("name")
	}
	return name
}

// assets are the files that every page needs, under names that change with what is in them.
type assets struct {
	version string
	files   map[string][]byte
}

func loadAssets() (assets, error) {
	a := assets{files: map[string][]byte{}}
	sum := sha256.New()
	err := fs.WalkDir(assetFiles, "assets", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := assetFiles.ReadFile(name)
		a.files[path.Base(name)] = b
		fmt.Fprintf(sum, "%s %d\n%s", name, len(b), b)
		return err
	})
	a.version = hex.EncodeToString(sum.Sum(nil)[:5])
	return a, err
}

func (a assets) url(name string) string { return "/assets/" + name + "?" + a.version }

var assetTypes = map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}

func (a assets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, ok := a.files[r.PathValue("name")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", assetTypes[path.Ext(r.PathValue("name"))])
	if r.URL.RawQuery == a.version {
		w.Header().Set("Cache-Control", "private, max-age=31536000, immutable")
	}
	w.Write(b)
}
