package page

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"leasehold/internal/agent"
)

// window is a real browser at the page.
type window struct {
	*site
	ctx context.Context

	mu    sync.Mutex
	noise []string // what the browser complains of, and requests to other origins
}

func (w *site) window() *window {
	w.t.Helper()
	if _, err := exec.LookPath("chromium"); err != nil {
		w.t.Fatal("chromium is missing: apt-get install chromium")
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-background-networking", true))
	actx, cancel := chromedp.NewExecAllocator(context.Background(), opts...)
	w.t.Cleanup(cancel)
	tctx, cancel := context.WithTimeout(actx, time.Minute)
	w.t.Cleanup(cancel)
	ctx, closeTab := chromedp.NewContext(tctx)
	w.t.Cleanup(closeTab)
	b := &window{site: w, ctx: ctx}
	b.show(1440, "light")
	if err := chromedp.Listen(ctx, b.hear); err != nil {
		w.t.Fatal(err)
	}
	b.visit(w.Address())
	b.await(`location.pathname === '` + w.base + `' && document.querySelector('table')`)
	return b
}

func (b *window) hear(ev any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := ev.(type) {
	case *network.EventRequestWillBeSent:
		if u := e.Request.URL; !strings.HasPrefix(u, "http://"+b.listener.Addr().String()) && !strings.HasPrefix(u, "about:") && !strings.HasPrefix(u, "data:") {
			b.noise = append(b.noise, "a request to another origin: "+u)
		}
	case *runtime.EventExceptionThrown:
		b.noise = append(b.noise, e.ExceptionDetails.Text)
	case *cdplog.EventEntryAdded:
		b.noise = append(b.noise, e.Entry.Text+" "+e.Entry.URL)
	}
}

func (b *window) do(a chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, a); err != nil {
		b.t.Fatal(err)
	}
}

func (b *window) visit(address string) {
	b.t.Helper()
	b.do(chromedp.Navigate(address))
}

func (b *window) eval(js string) any {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[any](js, func(p *runtime.EvaluateParams) { p.AwaitPromise = new(true) }))
	if err != nil {
		b.t.Fatal(err)
	}
	return v
}

func (b *window) await(js string) {
	b.t.Helper()
	for deadline := time.Now().Add(15 * time.Second); ; time.Sleep(30 * time.Millisecond) {
		v, err := chromedp.Run(b.ctx, chromedp.Evaluate[any]("!!("+js+")"))
		if err == nil && v == true {
			return
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("never came true: %s\npage: %v", js, b.eval("location.href + '\\n' + document.body.innerText.slice(0, 1500)"))
		}
	}
}

func (b *window) show(width int64, theme string) {
	b.t.Helper()
	var opts []chromedp.EmulateViewportOption
	if width < 500 {
		opts = append(opts, chromedp.EmulateMobile, chromedp.EmulateTouch)
	}
	b.do(chromedp.EmulateViewport(width, 800, opts...))
	b.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}}})
		return err
	}))
}

// picture keeps a screenshot in LEASEHOLD_SCREENSHOTS, where that is set.
func (b *window) picture(name string) {
	dir := os.Getenv("LEASEHOLD_SCREENSHOTS")
	if dir == "" {
		return
	}
	b.t.Helper()
	png, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644)
	}
	if err != nil {
		b.t.Error(err)
	}
}

// The page changes by itself, its times tick, and what is clicked is done.
func TestInTheBrowser(t *testing.T) {
	w := newSite(t)
	b := w.window()
	count := `document.querySelector('.count time').textContent`
	first := b.eval(count)
	b.await(count + ` !== '` + fmt.Sprint(first) + `'`)
	b.eval(`document.getElementById('start-48247').focus(); 0`)
	w.mu.Lock()
	w.state.Sessions[0].Status = agent.Stopped
	w.state.Link = agent.Link{Since: time.Now().Add(-time.Hour), Error: "down"}
	w.mu.Unlock()
	b.await(`document.getElementById('start-48213') && document.body.innerText.includes('Offline since')`)
	if id := b.eval(`document.activeElement.id`); id != "start-48247" {
		t.Errorf("the focus went to %v", id)
	}
	b.eval(`document.getElementById('start-48213').click()`)
	b.await(`document.body.innerText.includes('MATLAB starts.') && !location.search`)
	b.eval(`document.getElementById('return-48213').click()`)
	b.await(`document.querySelector('.ask') && document.activeElement.textContent === 'Cancel'`)
	b.eval(`document.querySelector('button.danger').click()`)
	b.await(`document.body.innerText.includes('The licence of MATLAB is returned.')`)
	w.mu.Lock()
	if got := strings.Join(w.done, " "); got != "start return" {
		t.Errorf("done: %s", got)
	}
	w.mu.Unlock()
	b.mu.Lock()
	for _, n := range b.noise {
		t.Errorf("the browser complains: %s", n)
	}
	b.mu.Unlock()
	// Its player has ended.
	w.Close()
	b.await(`!document.getElementById('lost').hidden`)
}

// Nothing is too wide, and axe finds nothing to complain of.
func TestLooks(t *testing.T) {
	axe, err := os.ReadFile("../../../../web/node_modules/axe-core/axe.min.js")
	if err != nil {
		t.Fatal("axe-core is missing: run npm ci --ignore-scripts in web, or make web")
	}
	w := newSite(t)
	b := w.window()
	for _, look := range []struct {
		name  string
		path  string
		state State
	}{
		{"online", "", sample(time.Now(), false)},
		{"offline", "", sample(time.Now(), true)},
		{"remove", "sessions/48213/remove", sample(time.Now(), false)},
		{"empty", "", State{Device: "LAB-204", Server: "https://apps.example.org", Link: agent.Link{Quarantined: true}}},
	} {
		w.mu.Lock()
		w.state = look.state
		w.mu.Unlock()
		for _, width := range []int64{1440, 390} {
			for _, theme := range []string{"light", "dark"} {
				b.show(width, theme)
				b.visit(w.root() + look.path)
				name := fmt.Sprintf("%s-%d-%s", look.name, width, theme)
				if over := b.eval(`document.documentElement.scrollWidth - document.documentElement.clientWidth`).(float64); over > 0 {
					t.Errorf("%s: %v pixels too wide", name, over)
				}
				b.picture(name)
				b.eval(string(axe) + "; 0")
				out := b.eval(`axe.run(document, {resultTypes: ['violations']}).then((r) => JSON.stringify(r.violations.map((v) => v.id + ': ' + v.help + ' ' + v.nodes.slice(0, 3).map((n) => n.html + ' ' + (n.any[0]?.message ?? '')).join(' | '))))`)
				var violations []string
				text, _ := out.(string)
				if err := json.Unmarshal([]byte(text), &violations); err != nil {
					t.Fatalf("%s: axe says %v", name, out)
				}
				for _, v := range violations {
					t.Errorf("%s: %s", name, v)
				}
			}
		}
	}
}
