package web

import (
	"context"
	"encoding/json"
	"os"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// look makes the window so wide and its system light or dark.
func (w *window) look(width int64, theme string) {
	w.t.Helper()
	var opts []chromedp.EmulateViewportOption
	if width < 500 {
		opts = append(opts, chromedp.EmulateMobile, chromedp.EmulateTouch)
	}
	w.do(chromedp.EmulateViewport(width, 900, opts...))
	w.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}}})
		return err
	}))
}

// axe fails for what axe finds on the page as it is now, with its dialog and its menus.
func (w *window) axe(what string) {
	w.t.Helper()
	if w.run(`typeof axe`) == "undefined" {
		script, err := os.ReadFile("../../../web/node_modules/axe-core/axe.min.js")
		if err != nil {
			w.t.Fatal("axe-core is missing: run npm ci --ignore-scripts in web, or make web")
		}
		w.run(string(script) + "; 0")
	}
	out := w.run(`axe.run(document, {resultTypes: ['violations']}).then((r) => JSON.stringify(r.violations.map((v) => v.id + ': ' + v.help + ' ' + v.nodes.slice(0, 3).map((n) => n.html + ' ' + (n.any[0]?.message ?? '')).join(' | '))))`)
	var violations []string
	text, _ := out.(string)
	if err := json.Unmarshal([]byte(text), &violations); err != nil {
		w.t.Fatalf("%s: axe says %v", what, out)
	}
	for _, v := range violations {
		w.t.Errorf("%s: %s", what, v)
	}
}
