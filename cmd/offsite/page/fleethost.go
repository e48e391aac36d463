package page

import (
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"

	"offsite/agent/status"
)

// seriesAtOnce is how many series the page of a host has: somebody who writes to the target may name any number.
const seriesAtOnce = 1000

// errNoHost is answered to who asks for a host that the fleet does not have.
var errNoHost = fmt.Errorf("no such host in the fleet: %w", fs.ErrNotExist)

func (p *Page) serveFleetHost(w http.ResponseWriter, r *http.Request) {
	name := nameOf(r)
	if name == "" && !r.URL.Query().Has("name") {
		http.Redirect(w, r, "/fleet", http.StatusSeeOther)
		return
	}
	p.fleet.await(r.Context())
	v, err := p.fleetHostView(r.Context(), name)
	if err != nil {
		p.failed(w, r, err)
		return
	}
	p.serveView(w, r, v)
}

// fleetHostView is the page of one host of the fleet: what is wrong with it, what to do, and its series.
func (p *Page) fleetHostView(ctx context.Context, name string) (view, error) {
	here, err := p.keeper.host(ctx)
	if err != nil {
		return view{}, err
	}
	l, c := p.fleet.look(), clock{p.Now(), p.Zone}
	v := view{host: here.host.Host, version: here.host.Version, fleet: true, query: "?view=fleet&host=" + url.QueryEscape(name)}
	if l.Fleet == nil {
		top := fleetTopOf(l)
		v.title, v.level, v.reading = top.Headline+" · fleet · "+v.host, top.Level, true
		v.parts = append([]part{{"verdict", digest(top), "fleet-top", top, nil}}, emptyParts("detail")...)
		return v, nil
	}
	for i := range l.Hosts {
		if h := &l.Hosts[i]; h.Host == name {
			one := fleetHostOf(c, l, h)
			v.title, v.level = one.Headline+": "+levelName(h.Level)+" · fleet · "+v.host, h.Level
			v.parts = []part{
				{"verdict", digest(one.Headline, one.Sub, h.Level, one.Notes), "fleet-host-top", one, nil},
				{"detail", digest(h, l.At, l.reading), "fleet-host", one, nil},
			}
			return v, nil
		}
	}
	return view{}, errNoHost
}

// fleetHost is what the page of a host of the fleet shows.
type fleetHost struct {
	Say clock
	fleetLook
	One           *status.FleetHost
	Headline, Sub string
	Notes         []note // of the fleet as a whole
	Troubles      []trouble
	Series        []status.FleetSeries
	More          int // series that are not shown, none of them worse
}

// Reading says that the fleet is being read again.
func (h fleetHost) Reading() bool { return h.reading }

// trouble is all that is wrong with a series, or with the host if it has none.
type trouble struct {
	Series string
	Level  status.Level
	Texts  []string
	Remedy string
}

func fleetHostOf(c clock, l fleetLook, h *status.FleetHost) fleetHost {
	v := fleetHost{Say: c, fleetLook: l, One: h, Headline: printable(h.Host), Notes: notesOf(l)}
	v.Sub = "The newest backup of each of its series is there, healthy, and not overdue."
	if said := seriesWrongs(h); said != "" {
		v.Sub = "Of its " + counted(len(h.Series)) + " series: " + said + "."
	}
	if len(h.Shared) > 0 {
		v.Troubles = append(v.Troubles, trouble{Level: status.Warning, Texts: []string{"Its signing key signs for other hosts too: " + shortened(h.Shared) + "."},
			Remedy: "One of them is a copy of the other, or somebody has its key. Give the copy one of its own: move its `signing.key` away there, and run `offsite init`."})
	}
	v.Series = h.Series[:min(len(h.Series), seriesAtOnce)]
	v.More = len(h.Series) - len(v.Series)
	for i := range v.Series {
		if s := &v.Series[i]; len(s.Problems) > 0 {
			t := trouble{Series: s.Name, Level: s.Level, Remedy: remedyOf(s)}
			for _, text := range s.Problems {
				t.Texts = append(t.Texts, capital(text)+".")
			}
			v.Troubles = append(v.Troubles, t)
		}
	}
	return v
}

// remedyOf says what to do about the worst of a series.
func remedyOf(s *status.FleetSeries) string {
	switch {
	case s.Untrusted > 0:
		return "If that is a key of this host, add it to `trust` in the configuration here: the second line of the host’s `signing.key`. If it is not, somebody else writes under its name: find out who has keys of this target, and change them."
	case s.Damaged > 0 || s.Lost > 0:
		return "Run `offsite verify` on that host: it says which backups are affected. `offsite repair` brings them back from another target, or from the dump."
	case s.Overdue:
		return "Run `offsite status` on that host: it says what is kept from going, or that no dump comes any more; then look at the job that writes them."
	case s.Health == "suspect":
		return "Look at the job that wrote the dump. If the dump is fine, `offsite accept` on that host says so for good."
	case s.Unread > 0:
		return "It is read again with the next reading. If that does not help, look whether this host’s keys may read there."
	case s.Future > 0:
		return "Look at the clock of that host."
	}
	return "A first upload may be under way. If it stays like that, run `offsite status` on that host."
}

// shortened are some of the names.
func shortened(names []string) string {
	text := ""
	for i, name := range names {
		switch {
		case i == hostsNamed:
			return text + fmt.Sprintf(" and %d more", len(names)-i)
		case i > 0:
			text += ", "
		}
		text += printable(name)
	}
	return text
}

// capital begins a sentence.
func capital(s string) string {
	if s != "" && s[0] >= 'a' && s[0] <= 'z' {
		return string(s[0]-'a'+'A') + s[1:]
	}
	return s
}
