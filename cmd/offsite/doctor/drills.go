package doctor

import (
	"time"

	"offsite/agent/drill"
)

func (p *Patient) drills() Group {
	g := Group{Title: "drills"}
	if len(p.Config.Drills) == 0 {
		g.warning("drills", "write one under drills:, as example.yaml shows, and let a timer run `offsite drill --due` each day", "there is no drill: that a backup can be restored is believed, not proven")
		return g
	}
	book, err := drill.ReadBook(p.Config.State)
	if err != nil {
		g.problem("drills", "remove that file, and run `offsite drill`", "%v", err)
		return g
	}
	zone, err := time.LoadLocation(p.Config.Zone)
	if err != nil {
		zone = time.UTC
	}
	for _, d := range p.Config.Drills {
		by := map[string][]drill.Record{}
		var series []string
		for _, r := range book[d.Name] {
			if by[r.Series] == nil {
				series = append(series, r.Series)
			}
			by[r.Series] = append(by[r.Series], r)
		}
		if len(series) == 0 {
			g.warning("drill", "offsite drill "+d.Name, "drill %s was never run", d.Name)
		}
		for _, s := range series {
			last := by[s][len(by[s])-1]
			switch {
			case !last.Passed():
				g.problem("drill", "offsite drill "+d.Name, "drill %s of %s has failed %s, from target %s: %s", d.Name, s, on(last.Began), last.Target, last.Reason)
			case !d.Every.Never() && drill.Due(by[s], d.Every, p.Now().In(zone)):
				g.warning("drill", "offsite drill "+d.Name+", and let a timer run `offsite drill --due` each day", "drill %s of %s passed last %s, and is due again since %s", d.Name, s, on(last.Began), on(d.Every.Next(last.Began.In(zone))))
			default:
				g.ok("drill", "drill %s of %s passed %s, from target %s, in %s", d.Name, s, on(last.Began), last.Target, last.Took.Round(time.Second))
			}
		}
	}
	return g
}

// on is a day for people.
func on(t time.Time) string { return "on " + t.UTC().Format(time.DateOnly) }
