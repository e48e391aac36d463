package retention

import "time"

// OnItsWay is how young a dump may be that a target lacks because it is not there yet.
const OnItsWay = 24 * time.Hour

// Lacking are the backups of one series elsewhere that a target lacks, and that the policy would keep if the target had them beside
// its own. Unsound ones are passed over, and what is of a dump that the target has in another object. What may be on its way is
// coming: found within OnItsWay, and after all that the target has of the series.
func Lacking(now time.Time, policy Policy, own, elsewhere []Backup) (lacking, coming []Backup) {
	there, dumps := map[string]bool{}, map[string]bool{}
	var last time.Time // the target has what was found before
	for _, b := range own {
		there[b.Object] = true
		if b.Unsound == "" && b.Dump != "" {
			dumps[b.Dump] = true
		}
		last = later(last, b.Found)
	}
	all := own[:len(own):len(own)]
	missing := map[string]bool{}
	for _, b := range elsewhere {
		if b.Unsound == "" && !there[b.Object] && !missing[b.Object] && !dumps[b.Dump] {
			missing[b.Object] = true
			if b.Dump != "" {
				dumps[b.Dump] = true
			}
			all = append(all, b)
		}
	}
	for _, d := range Make(now, policy, all).Keep {
		switch {
		case !missing[d.Object]:
		case now.Sub(d.Found) >= OnItsWay || d.Found.Before(last):
			lacking = append(lacking, d.Backup)
		default:
			coming = append(coming, d.Backup)
		}
	}
	return lacking, coming
}
