package browsertest

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"unicode"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// Look makes the window so wide, a phone's below 500, and its system light or dark. What
// moves is told to keep still.
func (w *Window) Look(width int64, theme string) {
	w.T.Helper()
	var opts []chromedp.EmulateViewportOption
	if width < 500 {
		opts = append(opts, chromedp.EmulateMobile, chromedp.EmulateTouch)
	}
	w.width = width
	w.Do(chromedp.EmulateViewport(width, 900, opts...))
	w.show(theme)
}

func (w *Window) show(theme string) {
	w.T.Helper()
	w.Do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: theme}, {Name: "prefers-reduced-motion", Value: "reduce"}}})
		return err
	}))
	w.Run(`new Promise(requestAnimationFrame)`) // which comes once the page is laid out anew
	w.theme = theme
}

// Judge fails if what the window shows is wider than it, or axe finds fault with it in
// light or dark, and keeps a picture of both. Dark is other colours and nothing else, so
// there only the rules that look at colours are asked again.
func (w *Window) Judge(what string) {
	w.T.Helper()
	for _, look := range []struct{ theme, rules string }{{"light", ""}, {"dark", "runOnly: ['color-contrast', 'link-in-text-block']"}} {
		name := fmt.Sprintf("%s, %d, %s", what, w.width, look.theme)
		if w.theme != look.theme {
			w.show(look.theme)
		}
		w.Fits(name)
		w.axe(name, look.rules)
		w.Picture(strings.Trim(strings.Map(func(r rune) rune {
			if unicode.IsLetter(r) || unicode.IsDigit(r) {
				return r
			}
			return '-'
		}, name), "-"))
	}
	w.show("light")
}

// Fits fails if the page is wider than the window.
func (w *Window) Fits(what string) {
	w.T.Helper()
	if over, _ := w.Run(`document.documentElement.scrollWidth - document.documentElement.clientWidth`).(float64); over > 0 {
		w.T.Errorf("%s: %v pixels too wide", what, over)
	}
}

// axe fails for what axe finds on the page as it is now, with its dialog and its menus.
func (w *Window) axe(what, rules string) {
	w.T.Helper()
	if w.Run(`typeof axe`) == "undefined" {
		_, file, _, _ := goruntime.Caller(0)
		script, err := os.ReadFile(filepath.Join(filepath.Dir(file), "../../web/node_modules/axe-core/axe.min.js"))
		if err != nil {
			w.T.Fatal("axe-core is missing: run npm ci --ignore-scripts in web, or make web")
		}
		w.Run(string(script) + "; 0")
	}
	out := w.Run(`axe.run(document, {resultTypes: ['violations'], ` + rules + `}).then((r) => JSON.stringify(r.violations.map((v) => v.id + ': ' + v.help + ' ' + v.nodes.slice(0, 3).map((n) => n.html + ' ' + (n.any[0]?.message ?? '')).join(' | '))))`)
	var violations []string
	text, _ := out.(string)
	if err := json.Unmarshal([]byte(text), &violations); err != nil {
		w.T.Fatalf("%s: axe says %v", what, out)
	}
	for _, v := range violations {
		w.T.Errorf("%s: %s", what, v)
	}
}

// Picture keeps what the window shows in the folder that the environment names as PICTURES,
// if it does, for looking at.
func (w *Window) Picture(name string) {
	w.T.Helper()
	dir := os.Getenv("PICTURES")
	if dir == "" {
		return
	}
	png, err := chromedp.Run(w.ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644)
	}
	if err != nil {
		w.T.Error(err)
	}
}
