package page_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
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
	ctx, late := context.WithTimeout(ctx, 2*time.Minute)
	t.Cleanup(late)
	return ctx
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

// Every page at three widths in both themes: to be looked at by a person, and nothing may stick out to the side.
func TestScreenshots(t *testing.T) {
	now := time.Now()
	worlds := map[string]*fake{"usual": realistic(now, 5), "troubled": realistic(now, 5).troubled(now), "many": realistic(now, 50).troubled(now), "fresh": empty(now)}
	ctx, dir := chromium(t), artefacts(t)
	for name, f := range worlds {
		server := httptest.NewServer(open(t, f, time.Now))
		t.Cleanup(server.Close)
		addresses := map[string]string{name: "/"}
		if name == "troubled" {
			addresses["series"], addresses["lost"] = "/series/pg/shop", "/series/nothing"
		}
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
}
