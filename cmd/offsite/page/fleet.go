package page

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"offsite/agent/status"
)

// hostsNamed is how many of those in trouble the summary names.
const hostsNamed = 5

func (p *Page) serveFleet(w http.ResponseWriter, r *http.Request) {
	p.fleet.await(r.Context())
	v, err := p.fleetView(r.Context(), newFilter(r.URL.Query()))
	if err != nil {
		p.failed(w, r, err)
		return
	}
	p.serveView(w, r, v)
}

// serveFleetJSON answers with the last reading, whole, and what the try after it came to.
func (p *Page) serveFleetJSON(w http.ResponseWriter, r *http.Request) {
	l := p.fleet.await(r.Context())
	if l.Fleet == nil {
		text := "the fleet is being read; ask again in a moment"
		if l.err != "" {
			text = "the fleet cannot be read: " + l.err
		}
		setRetryAfter(w, fleetRetry)
		http.Error(w, text, http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.Encode(struct {
		*status.Fleet
		Tried time.Time `json:"tried"`
		Error string    `json:"error,omitempty"`
	}{l.Fleet, l.tried.UTC(), l.err})
}

// fleetView is the page of all hosts.
func (p *Page) fleetView(ctx context.Context, f filter) (view, error) {
	here, err := p.keeper.host(ctx)
	if err != nil {
		return view{}, err
	}
	l, c := p.fleet.look(), clock{p.Now(), p.Zone}
	top := fleetTopOf(l)
	v := view{
		title: top.Headline + " · fleet · " + here.host.Host, host: here.host.Host, version: here.host.Version, level: top.Level, fleet: true, reading: l.Fleet == nil,
		query: "?view=fleet",
		parts: []part{{"verdict", digest(top), "fleet-top", top, nil}},
	}
	if q := f.values().Encode(); q != "" {
		v.query += "&" + q
	}
	if l.Fleet == nil {
		v.parts = append(v.parts, emptyParts("facts", "find", "hosts")...)
		return v, nil
	}
	hosts := hostsOf(c, l, f)
	v.parts = append(v.parts,
		part{"facts", digest(fleetSums(l.Fleet), l.reading), "fleet-facts", fleetFacts{c, l}, nil},
		part{"find", digest(f.Q, f.Level), "fleet-find", f, nil}, // by itself, so that nothing takes away what somebody is typing
		part{"hosts", digest(l.version, f, f.page), "fleet-hosts", hosts, nil})
	return v, nil
}

// emptyParts keep the places of parts that come later.
func emptyParts(ids ...string) (all []part) {
	for _, id := range ids {
		all = append(all, part{id, "none", "empty", nil, nil})
	}
	return all
}

// fleetSums is the fleet without its hosts.
func fleetSums(f *status.Fleet) status.Fleet {
	sums := *f
	sums.Hosts = nil
	return sums
}

type fleetFacts struct {
	Say clock
	fleetLook
}

// Reading says that the fleet is being read again.
func (f fleetFacts) Reading() bool { return f.reading }

// Every is how old what is shown may be.
func (f fleetFacts) Every() time.Duration { return f.every }

// fleetTop is whether all hosts are safe, and if not, which are not.
type fleetTop struct {
	Level         status.Level
	Headline, Sub string
	Said          string // before the names
	Named         []hostLink
	More          int // hosts that are as bad and not named
	Idle          bool
	Notes         []note
}

// note is something to know of what is shown.
type note struct {
	Level  status.Level
	Text   string
	Remedy string
}

// hostLink is a host, as text and as the address of its page.
type hostLink struct{ Text, URL string }

func linkOf(h *status.FleetHost) hostLink { return hostLink{printable(h.Host), hostURL(h.Host)} }

// Look is how it looks.
func (t fleetTop) Look() string {
	if t.Idle {
		return "idle"
	}
	return string(t.Level)
}

func fleetTopOf(l fleetLook) fleetTop {
	switch {
	case l.Fleet == nil && l.err == "":
		return fleetTop{Level: status.OK, Idle: true, Headline: "The fleet is being read", Sub: "The target is listed, and the newest manifests of each series are read. It shows here as soon as that is done."}
	case l.Fleet == nil:
		return fleetTop{Level: status.Problem, Headline: "The fleet cannot be read", Sub: l.err + ".", Notes: []note{{status.Problem, "Nothing is known of the other hosts.",
			"Look whether the target is there, and this host’s keys may list and read all of it: `offsite fleet` tries that at once. Here it is tried again while somebody looks."}}}
	}
	t := fleetTop{Level: l.Level, Notes: notesOf(l)}
	for _, n := range t.Notes {
		t.Level = status.Worse(t.Level, n.Level)
	}
	bad := map[status.Level]int{}
	for i := range l.Hosts {
		bad[l.Hosts[i].Level]++
	}
	problems, warnings, all := bad[status.Problem], bad[status.Warning], len(l.Hosts)
	switch {
	case all == 0:
		t.Idle, t.Headline, t.Sub = true, "No hosts yet", fmt.Sprintf("Nothing on %s is a backup.", l.Target)
	case problems > 0:
		t.Headline, t.Said = fmt.Sprintf("%s of %s in trouble", counted(problems), plural(all, "host")), "In trouble: "
		if warnings > 0 {
			t.Sub = plural(warnings, "more host") + " to look at."
		}
		t.name(l.Hosts[:problems])
	case warnings > 0:
		t.Headline, t.Said = fmt.Sprintf("%s of %s to look at", counted(warnings), plural(all, "host")), "To look at: "
		t.name(l.Hosts[:warnings])
	case t.Level != status.OK:
		t.Headline, t.Sub = "No trouble is known", plural(all, "host")+", as far as the fleet could be read."
	case all == 1:
		t.Headline, t.Sub = "The only host is safe", safely(l.Fleet)
	default:
		t.Headline, t.Sub = fmt.Sprintf("All %s are safe", plural(all, "host")), safely(l.Fleet)
	}
	return t
}

// safely says what it means that all hosts are safe, and of how much it does not mean that.
func safely(f *status.Fleet) string {
	text := "Nothing is overdue, and the newest backups are healthy and signed by keys that are trusted here."
	unknown := 0
	for i := range f.Hosts {
		for k := range f.Hosts[i].Series {
			unknown += one(f.Hosts[i].Series[k].Due.IsZero())
		}
	}
	if unknown > 0 {
		text += " " + counted(unknown) + " of " + counted(f.Series) + " series have too few backups to say when the next one is due."
	}
	return text
}

// name names the first of these.
func (t *fleetTop) name(hosts []status.FleetHost) {
	named := min(len(hosts), hostsNamed)
	for i := range hosts[:named] {
		t.Named = append(t.Named, linkOf(&hosts[i]))
	}
	t.More = len(hosts) - named
}

// notesOf are what whoever looks must know, so as not to believe too much.
func notesOf(l fleetLook) (all []note) {
	if l.err != "" {
		text := "Not all of the fleet could be read: " + l.err + "."
		if l.old {
			text = "The last try to read the fleet failed: " + l.err + ". What is shown here is older."
		}
		all = append(all, note{status.Warning, text, "Look whether the target is there, and this host’s keys may list and read all of it: `offsite fleet` tries that at once."})
	}
	if !l.Whole {
		all = append(all, note{status.Warning, "Not all of the target could be listed: hosts may be missing here.", ""})
	}
	if !l.Checked {
		all = append(all, note{status.Warning, "Who signed the backups was not checked.", "Put the hosts’ verifier keys under `trust` in the configuration."})
	}
	if l.Strange > 0 {
		all = append(all, note{"", isAre(l.Strange, "object") + " there that offsite did not name. They are left alone.", ""})
	}
	return all
}

// counted is a number at the beginning of a sentence.
func counted(n int) string { return clock{}.Count(n) }

// hostURL is the address of a host of the fleet.
func hostURL(name string) string { return nameURL("/fleet/", name) }
