package page_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"offsite/agent/status"
	"offsite/cmd/offsite/page"
)

// The fleet at three widths in both themes: to be looked at by a person, and nothing may stick out to the side.
func TestScreenshotsOfTheFleet(t *testing.T) {
	now := time.Now()
	ctx, dir := chromium(t), artefacts(t)
	many, long := fleetOf(now, 60), fleetOf(now, 8)
	long.Hosts[0].Host, long.Hosts[0].Series[0].Name = strings.Repeat("a-very-long-name-", 12), strings.Repeat("x", 200)
	long.Hosts[0].Shared = []string{long.Hosts[1].Host}
	long.Strange = 3
	long.Sum()
	for name, r := range map[string]*reading{
		"fleet": {fleet: many}, "fleet-safe": {fleet: fleetOf(now, 5)}, "fleet-long": {fleet: long, err: errors.New("nas: the manifest db-1/shop/20261122T030001Z_5f3c9a1e_shop.sql.gz.age.manifest: access denied")},
		"fleet-unread": {err: errors.New("nas: list: access denied")}, "fleet-reading": {takes: time.Hour}, "fleet-empty": {fleet: &status.Fleet{Target: "nas", At: now, Whole: true, Checked: true}},
	} {
		addresses := map[string]string{name: "/fleet"}
		switch name {
		case "fleet":
			addresses["fleet-host"], addresses["fleet-found"], addresses["fleet-lost"], addresses["fleet-nav"] = "/fleet/"+many.Hosts[0].Host, "/fleet?q=WEB&level=ok", "/fleet?q=nobody", "/"
		case "fleet-safe":
			addresses["fleet-safe-host"] = "/fleet/" + r.fleet.Hosts[0].Host
		case "fleet-long":
			addresses["fleet-long-host"] = "/fleet/" + long.Hosts[0].Host
		}
		shoot(t, ctx, dir, withFleet(t, realistic(now, 5), r, time.Now, page.Access{Unix: true}, quiet()), addresses)
	}
}

// A page that says that the fleet is being read shows it by itself when it was; what somebody types meanwhile stays.
func TestTheFleetAppearsByItself(t *testing.T) {
	r := &reading{fleet: fleetOf(time.Now(), 40), held: make(chan struct{})}
	l := inBrowser(t, withFleet(t, empty(time.Now()), r, time.Now, page.Access{Unix: true}, quiet()), "/fleet?q=web")
	if got := js[string](l, `document.querySelector("h1").textContent`); got != "The fleet is being read" {
		t.Error(got)
	}
	close(r.held)
	l.until(`document.querySelector("h1").textContent === "3 of 40 hosts in trouble" && document.title.startsWith("3 of 40 hosts in trouble · fleet") && document.querySelectorAll("#hosts tbody tr").length === 10`)
	js[bool](l, `document.querySelector("input[name=q]").value = ""; true`)
	l.do(chromedp.SendKeys("input[name=q]", "web-0005"))
	l.do(chromedp.Click(".find button"))
	l.until(`location.search === "?q=web-0005&level=" && document.querySelectorAll("#hosts tbody tr").length === 1`)
	l.do(chromedp.Click("#hosts tbody a"))
	l.until(`document.querySelector("h1").textContent === "web-0005.prod.example.com" && document.getElementById("live").textContent === "Live"`)
	l.do(chromedp.Click("nav a"))
	l.until(`location.pathname === "/fleet" && location.search === "" && document.querySelectorAll("#hosts tbody tr").length === 40`)
	l.clean()
}

// Without JavaScript the form finds hosts all the same.
func TestFindsHostsWithoutJavaScript(t *testing.T) {
	l := inBrowser(t, openFleet(t, fleetOf(time.Now(), 40), time.Now), "/login")
	if _, err := chromedp.Call(l.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
		t.Fatal(err)
	}
	l.do(chromedp.Navigate(l.url+"/"), chromedp.Click(".to"), chromedp.SendKeys("input[name=q]", "web-0005"), chromedp.Click(".find button"), chromedp.Click("#hosts tbody a"))
	got, err := chromedp.Run(l.ctx, chromedp.Text("main"))
	if err != nil || !strings.Contains(got, "What to do:") || !strings.Contains(got, "web-0005.prod.example.com") {
		t.Errorf("%s, %v", got, err)
	}
}
