package page_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image/color"
	"image/png"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"offsite/agent/status"
	"offsite/cmd/offsite/page"
)

// chromium starts a headless browser, which is needed: its lack fails the test.
func chromium(t *testing.T) context.Context {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("chromium is missing: make packages (%v)", err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true))
	ctx, stop := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(stop)
	ctx, end := chromedp.NewContext(ctx)
	t.Cleanup(end)
	ctx, late := context.WithTimeout(ctx, 10*time.Minute)
	t.Cleanup(late)
	return ctx
}

// live is a page on a real listener in a browser that looks at it, with what the browser held against it.
type live struct {
	*testing.T
	ctx context.Context
	url string
}

func inBrowser(t *testing.T, handler http.Handler, address string) *live {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.BaseContext = func(net.Listener) context.Context { return t.Context() } // streams end with the test
	server.Start()
	t.Cleanup(server.Close)
	l := &live{t, chromium(t), server.URL}
	const watch = `window.refused = []; addEventListener("securitypolicyviolation", e => refused.push(e.violatedDirective + " " + e.blockedURI)); addEventListener("error", e => refused.push(e.message));`
	if _, err := chromedp.Call(l.ctx, cdppage.AddScriptToEvaluateOnNewDocument, cdppage.AddScriptToEvaluateOnNewDocumentParams{Source: watch}); err != nil {
		t.Fatal(err)
	}
	l.do(chromedp.EmulateViewport(1280, 900), chromedp.Navigate(server.URL+address))
	return l
}

func (l *live) do(steps ...chromedp.Action[chromedp.Void]) {
	l.Helper()
	if err := chromedp.Do(l.ctx, steps...); err != nil {
		l.Fatal(err)
	}
}

func js[T any](l *live, expression string) T {
	l.Helper()
	v, err := chromedp.Run(l.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		l.Fatalf("%s: %v", expression, err)
	}
	return v
}

// until waits until the page is as it should be.
func (l *live) until(expression string) {
	l.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if ok, err := chromedp.Run(l.ctx, chromedp.Evaluate[bool]("Boolean("+expression+")")); err == nil && ok { // an error: a page is being left
			return
		}
		if time.Now().After(end) {
			l.Fatalf("it does not come to %s:\n%s", expression, js[string](l, "document.body.innerText"))
		}
	}
}

// clean says that the browser had to refuse nothing.
func (l *live) clean() {
	l.Helper()
	if refused := js[[]string](l, "refused"); len(refused) > 0 {
		l.Errorf("the browser refused %q", refused)
	}
}

// artefacts is where screenshots go.
func artefacts(t *testing.T) string {
	if dir := os.Getenv("OFFSITE_TEST_ARTEFACTS"); dir != "" {
		return dir
	}
	return t.ArtifactDir()
}

func theme(t *testing.T, ctx context.Context, scheme string) {
	t.Helper()
	_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
	if err != nil {
		t.Fatal(err)
	}
}

// The page follows an upload, without being loaded anew, and leaves alone what has not changed.
func TestFollowsAnUpload(t *testing.T) {
	f := realistic(time.Now(), 3)
	l := inBrowser(t, open(t, f, time.Now), "/")
	l.until(`document.getElementById("live").textContent === "Live"`)
	js[bool](l, `window.marker = document.getElementById("verdict"); window.card = document.querySelector(".card").firstElementChild; document.querySelector("#next summary").focus(); document.querySelector("#next details").open = false; true`)
	transfer := status.Transfer{Target: "nas", Series: "pg/shop", Name: "shop.sql.gz", Total: 200e6, Rate: 1e6}
	for _, done := range []int64{10e6, 100e6, 190e6} {
		f.change(func(h *status.Host) {
			one := transfer
			one.Done = done
			h.Transfers = []status.Transfer{one}
		})
		l.until(fmt.Sprintf(`document.querySelector("#uploads progress")?.value === %d`, done/2e6))
	}
	if label := js[string](l, `document.getElementById(document.querySelector("progress").getAttribute("aria-labelledby")).textContent`); label != "pg/shop" {
		t.Error(label)
	}
	f.change(func(h *status.Host) {
		h.Transfers, h.Level = nil, status.Problem
		h.Alarms = []status.Alarm{{Key: "a", Level: status.Problem, Text: "The disk burns.", Since: time.Now()}}
	})
	l.until(`!document.querySelector("progress") && document.querySelector(".alarm")?.textContent.includes("The disk burns.")`)
	l.until(`document.title.startsWith("1 problem · ") && document.querySelector("link[rel=icon]").href.includes("problem.svg")`)
	if !js[bool](l, `document.getElementById("verdict") === marker && marker.getAttribute("aria-live") === "polite" && document.querySelector(".card").firstElementChild === card && document.activeElement.matches("#next summary")`) {
		t.Error("the page was loaded anew, or more of it was replaced than has changed")
	}
	f.mu.Lock()
	f.next = map[string][]status.Removal{}
	for name, all := range realistic(time.Now(), 3).next {
		f.next[name] = all[:1]
	}
	f.mu.Unlock()
	time.Sleep(5 * time.Second) // what goes next is not asked for more often
	f.change(func(h *status.Host) {
		h.Series = append([]status.Series(nil), h.Series...)
		h.Series[1].Overdue = true
	})
	l.until(`document.querySelector("#next summary").textContent.startsWith("3 backups") && document.querySelectorAll(".card")[1].textContent.includes("Overdue")`)
	if !js[bool](l, `document.activeElement.matches("#next summary") && !document.querySelector("#next details").open && document.querySelector(".card").firstElementChild === card`) {
		t.Error("the focus, or what was folded, is lost when a part is replaced")
	}
	l.clean()
}

// A database that comes and one that goes show as well; so does another program behind the page.
func TestFollowsTheListOfDatabases(t *testing.T) {
	now := time.Now()
	f, more := realistic(now, 3), realistic(now, 5)
	f.days, f.next = more.days, more.next
	l := inBrowser(t, open(t, f, time.Now), "/")
	l.until(`document.querySelectorAll(".card").length === 3 && document.getElementById("live").textContent === "Live"`)
	f.change(func(h *status.Host) { h.Series = more.host.Series })
	l.until(`document.querySelectorAll(".card").length === 5`)
	f.change(func(h *status.Host) { h.Series = more.host.Series[4:] })
	l.until(`document.querySelectorAll(".card").length === 1 && document.querySelector(".card h3").textContent.startsWith("redis/sessions")`)
	l.clean()
}

// A page that nobody looks at holds no connection, and is up to date when somebody does.
func TestPausesInTheBackground(t *testing.T) {
	f := realistic(time.Now(), 1)
	l := inBrowser(t, open(t, f, time.Now), "/")
	l.until(`document.getElementById("live").textContent === "Live"`)
	show := func(hidden bool) {
		js[bool](l, fmt.Sprintf(`Object.defineProperty(document, "hidden", { value: %v, configurable: true }); document.dispatchEvent(new Event("visibilitychange")); true`, hidden))
	}
	show(true)
	l.until(`document.getElementById("live").textContent === "Paused" && events.readyState === EventSource.CLOSED`)
	f.change(func(h *status.Host) {
		h.Transfers = []status.Transfer{{Target: "nas", Series: "pg/shop", Done: 1, Total: 2}}
	})
	show(false)
	l.until(`document.getElementById("live").textContent === "Live" && document.querySelector("progress")?.value === 50`)
	l.clean()
}

// The colours of the light theme, as they are on the screen.
var screen = map[kind]color.RGBA{
	'y': {0x0b, 0x2f, 0x5c, 255}, 'm': {0x1a, 0x54, 0x8c, 255}, 'w': {0x2c, 0x70, 0xab, 255}, 'd': {0x3f, 0x86, 0xbf, 255}, 'h': {0x3f, 0x86, 0xbf, 255},
	'p': {0x7d, 0x88, 0x96, 255}, 's': {0xa8, 0x64, 0x00, 255}, 'x': {0xb3, 0x26, 0x1e, 255}, 'n': {0xf0, 0xf3, 0xf6, 255},
}

type kind = byte

// Every day of a known year has its colour and its shape on the screen, and its words under the pointer.
func TestTheCalendarOnTheScreen(t *testing.T) {
	now := time.Now()
	f := realistic(now, 1)
	var days []status.Day
	var want []kind
	tiers := map[kind]string{'y': "yearly", 'm': "monthly", 'w': "weekly", 'd': "daily", 'h': "hourly"}
	for i := range 365 {
		k := "ymwdhpsxnppppddnx"[i*i%17]
		d := status.Day{Date: now.In(prague).AddDate(0, 0, i-364).Format(time.DateOnly), Dumps: 1, Tier: tiers[k]}
		switch k {
		case 's':
			d.Suspect = 1
		case 'x':
			d.Dumps, d.Missing = 0, true
		case 'n':
			d.Dumps = 0
		}
		days, want = append(days, d), append(want, k)
	}
	f.series["pg/shop"].Days = days
	l := inBrowser(t, open(t, f, time.Now), "/series/pg/shop")
	theme(t, l.ctx, "light")
	const scale = 3
	l.do(chromedp.EmulateViewport(1280, 900, chromedp.EmulateScale(scale)))
	box := js[[]float64](l, `(() => { const r = document.querySelector("#detail .year rect").getBoundingClientRect(); return [r.x + scrollX, r.y + scrollY, r.width, r.height] })()`)
	shot, err := chromedp.Run(l.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(bytes.NewReader(shot))
	if err != nil {
		t.Fatal(err)
	}
	first, err := time.Parse(time.DateOnly, days[0].Date)
	if err != nil {
		t.Fatal(err)
	}
	offset := (int(first.Weekday()) + 6) % 7
	cell := box[3] / 7
	at := func(i int, dx, dy float64) color.RGBA { // dx, dy: in cells, from the middle of the day
		x, y := box[0]+(float64((i+offset)/7)+.5+dx)*cell, box[1]+(float64((i+offset)%7)+.5+dy)*cell
		return color.RGBAModel.Convert(img.At(int(x*scale), int(y*scale))).(color.RGBA)
	}
	wrong := 0
	for i, k := range want {
		middle, edge := screen[k], screen['n']
		switch k {
		case 's', 'x': // hollow
			middle, edge = screen['n'], screen[k]
		case 'y', 'm':
			edge = screen[k]
		}
		if got, side := at(i, 0, 0), at(i, .39, 0); far(got, middle) || far(side, edge) {
			if wrong++; wrong < 10 {
				t.Errorf("%s (%c): %v in the middle and %v at the side, want %v and %v", days[i].Date, k, got, side, middle, edge)
			}
		}
	}
	if wrong > 0 {
		t.Errorf("%d days are wrong", wrong)
	}
	for _, i := range []int{0, 100, 364} {
		x, y := box[0]+(float64((i+offset)/7)+.5)*cell, box[1]+(float64((i+offset)%7)+.5)*cell
		js[bool](l, fmt.Sprintf(`document.querySelector("#detail .heat[data-from]").dispatchEvent(new PointerEvent("pointermove", { clientX: %f - scrollX, clientY: %f - scrollY, bubbles: true }))`, x, y))
		tip, date := js[string](l, `document.getElementById("tip").textContent`), first.AddDate(0, 0, i).Format("2 Jan 2006")
		if !strings.Contains(strings.ReplaceAll(tip, "Sept", "Sep"), date) {
			t.Errorf("the pointer is on %s, and the page says %q", date, tip)
		}
	}
	l.clean()
}

func far(a, b color.RGBA) bool {
	d := func(x, y uint8) bool { return max(x, y)-min(x, y) > 12 }
	return d(a.R, b.R) || d(a.G, b.G) || d(a.B, b.B)
}

func TestLoginInABrowser(t *testing.T) {
	token, hash := page.NewToken()
	l := inBrowser(t, behind(t, realistic(time.Now(), 1), time.Now, page.Access{TokenHash: hash}, quiet()), "/series/pg/shop")
	l.until(`document.querySelector("h1").textContent === "Log in"`)
	l.do(chromedp.SendKeys("#token", "wrong\r"))
	l.until(`document.querySelector("[role=alert]")?.textContent.includes("not the token")`)
	l.clean()
	l.do(chromedp.SendKeys("#token", token+"\r"))
	l.until(`document.querySelector("h1").textContent === "pg/shop" && document.getElementById("live").textContent === "Live"`)
	if cookie := js[string](l, "document.cookie"); cookie != "" {
		t.Errorf("a script can read %q", cookie)
	}
	l.clean()
	l.do(chromedp.Click(".bar button"))
	l.until(`document.querySelector("h1").textContent === "Log in"`)
	l.do(chromedp.Navigate(l.url))
	l.until(`document.querySelector("h1").textContent === "Log in"`)
}

// Whoever looks live when the login ends is led to the login.
func TestALostLoginInABrowser(t *testing.T) {
	token, hash := page.NewToken()
	f := realistic(time.Now(), 1)
	h := behind(t, f, time.Now, page.Access{TokenHash: hash}, quiet())
	l := inBrowser(t, h, "/")
	l.do(chromedp.SendKeys("#token", token+"\r"))
	l.until(`document.getElementById("live")?.textContent === "Live"`)
	js[int](l, `fetch("/logout", { method: "POST" }).then(r => r.status)`) // in another window
	f.change(func(h *status.Host) { h.Transfers = []status.Transfer{{Target: "nas", Done: 1, Total: 2}} })
	l.until(`document.querySelector("h1").textContent === "Log in"`)
}

// axe-core finds nothing that keeps anybody from using the page.
func TestEverybodyCanUseIt(t *testing.T) {
	tools := os.Getenv("OFFSITE_TEST_BIN")
	if tools == "" {
		tools = "../../../.cache/bin"
	}
	axe, err := os.ReadFile(filepath.Join(tools, "axe.min.js"))
	if err != nil {
		t.Fatalf("axe-core is missing: make servers (%v)", err)
	}
	now := time.Now()
	_, hash := page.NewToken()
	troubled := open(t, realistic(now, 5).troubled(now), time.Now)
	many := fleetOf(now, 120)
	fleet := withFleet(t, realistic(now, 5), &reading{fleet: many, err: errors.New("access denied")}, time.Now, page.Access{Unix: true}, quiet())
	unread := withFleet(t, empty(now), &reading{err: errors.New("nas: list: access denied")}, time.Now, page.Access{Unix: true}, quiet())
	for _, c := range []struct {
		handler http.Handler
		address string
	}{{troubled, "/"}, {troubled, "/series/mysql/wordpress"}, {troubled, "/series/none"}, {fleet, "/"}, {fleet, "/fleet"}, {fleet, "/fleet?q=web&level=warning"}, {fleet, "/fleet/" + many.Hosts[0].Host}, {unread, "/fleet"},
		{open(t, empty(now), time.Now), "/"}, {behind(t, empty(now), time.Now, page.Access{TokenHash: hash}, quiet()), "/"}} {
		l := inBrowser(t, c.handler, c.address)
		for _, width := range []int64{360, 1280} {
			for _, scheme := range []string{"light", "dark"} {
				theme(t, l.ctx, scheme)
				l.do(chromedp.EmulateViewport(width, 900), chromedp.Navigate(l.url+c.address))
				js[bool](l, `document.querySelectorAll("details").forEach(d => d.open = true); true`)
				js[string](l, string(axe)+`;axe.version`)
				found := js[[]string](l, `axe.run({ runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }).then(r =>
					r.violations.flatMap(v => v.nodes.map(n => v.id + ": " + n.html.slice(0, 200) + " " + n.failureSummary)).concat(r.passes.length < 10 ? ["only " + r.passes.length + " rules passed"] : []))`)
				for _, f := range found {
					t.Errorf("%s at %d, %s: %s", c.address, width, scheme, f)
				}
			}
		}
		l.clean()
	}
}

// Without JavaScript everything is there.
func TestWithoutJavaScript(t *testing.T) {
	now := time.Now()
	l := inBrowser(t, open(t, realistic(now, 2).troubled(now), time.Now), "/login")
	if _, err := chromedp.Call(l.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
		t.Fatal(err)
	}
	l.do(chromedp.Navigate(l.url))
	got, err := chromedp.Run(l.ctx, chromedp.Text("main"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"1 problem, 1 warning", "pg/shop", "minutes ago", "43 %", "Restore drills"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

// The script says how long ago something was in the same words as the page.
func TestTheScriptSpeaksTheSame(t *testing.T) {
	now := time.Now()
	f := realistic(now, 1)
	seconds := []int{0, 59, 60, 119, 3599, 3600, 7199, 172799, 172800, 5183999, 5184000, 63071999, 63072000, 1e9, -1, -59, -60, -3600, -90000, -200000}
	h := f.host
	h.Targets = nil
	for i, s := range seconds {
		h.Targets = append(h.Targets, status.Target{Name: fmt.Sprint("t", i), Delivered: now.Add(-time.Duration(s) * time.Second)})
	}
	words := []string{}
	for _, n := range nodes(t, get(t, open(t, f, func() time.Time { return now }), "/").Body.String()) {
		if n.Data == "time" && attr(n, "title") != "" && n.Parent.Parent.Parent.Parent != nil && attr(n.Parent.Parent.Parent.Parent, "class") == "grid" || n.Data == "time" && attr(n, "title") != "" && attr(n.Parent.Parent.Parent.Parent, "class") == "box target" {
			words = append(words, text(n))
		}
	}
	l := inBrowser(t, open(t, f, time.Now), "/")
	b, _ := json.Marshal(seconds)
	if got := js[[]string](l, string(b)+".map(ago)"); !slices.Equal(got, words) || len(words) != len(seconds) {
		t.Errorf("%q\nthe page says\n%q", got, words)
	}
}

// A command is copied as it is shown.
func TestCopiesACommand(t *testing.T) {
	now := time.Now()
	l := inBrowser(t, open(t, realistic(now, 1), time.Now), "/series/pg/shop")
	l.until(`document.querySelector(".command button")`)
	js[bool](l, `window.copied = ""; Object.defineProperty(navigator, "clipboard", { value: { writeText: async s => { copied = s } } }); true`)
	l.do(chromedp.Click(".command button"))
	l.until(`copied === "offsite restore --identity identity.txt pg/shop" && document.querySelector(".command button").textContent === "Copied"`)
}

// Every page at three widths in both themes: to be looked at by a person, and nothing may stick out to the side.
func TestScreenshots(t *testing.T) {
	now := time.Now()
	ctx, dir := chromium(t), artefacts(t)
	worlds := map[string]*fake{"usual": realistic(now, 5), "troubled": realistic(now, 5).troubled(now), "many": realistic(now, 50).troubled(now), "fresh": empty(now), "login": empty(now)}
	_, hash := page.NewToken()
	for name, f := range worlds {
		access := page.Access{Unix: true}
		if name == "login" {
			access.TokenHash = hash
		}
		addresses := map[string]string{name: "/"}
		if name == "troubled" {
			addresses["series"], addresses["lost"] = "/series/pg/shop", "/series/nothing"
		}
		shoot(t, ctx, dir, behind(t, f, time.Now, access, quiet()), addresses)
	}
}

// shoot takes pictures of addresses, by the names of the pictures.
func shoot(t *testing.T, ctx context.Context, dir string, handler http.Handler, addresses map[string]string) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	for shot, address := range addresses {
		for _, width := range []int64{360, 800, 1440} {
			for _, scheme := range []string{"light", "dark"} {
				theme(t, ctx, scheme)
				if err := chromedp.Do(ctx, chromedp.EmulateViewport(width, 900), chromedp.Navigate(server.URL+address)); err != nil {
					t.Fatal(err)
				}
				wide, err := chromedp.Run(ctx, chromedp.Evaluate[int64]("document.documentElement.scrollWidth"))
				if err != nil || wide > width {
					t.Errorf("%s at %d is %d wide: %v", shot, width, wide, err)
				}
				png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%s-%d-%s.png", shot, width, scheme)), png, 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}
