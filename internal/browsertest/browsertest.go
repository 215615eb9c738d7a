// Package browsertest drives a real, headless Chromium in tests: windows with cookies of
// their own, what a person does there, and what must hold of every page: that the browser
// complains of nothing, that nothing is asked of another origin, that axe finds no fault.
package browsertest

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// limit bounds what one browser does, and within what a page does what is waited for.
const (
	limit  = 5 * time.Minute
	within = 20 * time.Second
)

// Browser is a running Chromium, which ends with its test.
type Browser struct {
	t   testing.TB
	ctx context.Context
}

// New starts a browser.
func New(t testing.TB) *Browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("chromium is missing: apt-get install chromium")
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.Flag("disable-gpu", true),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-background-networking", true))
	alloc, cancel := chromedp.NewExecAllocator(context.Background(), opts...)
	t.Cleanup(cancel)
	bounded, cancel := context.WithTimeout(alloc, limit)
	t.Cleanup(cancel)
	ctx, cancel := chromedp.NewContext(bounded)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
		t.Fatal(err)
	}
	return &Browser{t, ctx}
}

// Window is a window at one origin, as "http://127.0.0.1:8420".
type Window struct {
	T      testing.TB
	Origin string
	Close  func() // the test's end does too

	ctx   context.Context
	width int64
	theme string
	mu    sync.Mutex
	noise []string // what the browser complains of, and requests to other origins
}

// Window opens a window with cookies of its own, 1440 pixels wide.
func (b *Browser) Window(origin string) *Window {
	b.t.Helper()
	ctx, cancel := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext())
	return newWindow(b.t, ctx, cancel, origin)
}

// Tab opens another tab of the same person. A tab that has followed a link of leasehold://
// takes no clicks: the browser asks there whether it may open the player.
func (w *Window) Tab() *Window {
	w.T.Helper()
	ctx, cancel := chromedp.NewContext(w.ctx)
	return newWindow(w.T, ctx, cancel, w.Origin)
}

func newWindow(t testing.TB, ctx context.Context, cancel func(), origin string) *Window {
	t.Helper()
	t.Cleanup(cancel)
	w := &Window{T: t, Origin: origin, Close: cancel, ctx: ctx}
	w.Look(1440, "light")
	if err := chromedp.Listen(ctx, w.hear); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *Window) hear(ev any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch e := ev.(type) {
	case *network.EventRequestWillBeSent:
		// The browser's own icons are data:, and links to the player leasehold:.
		if u := e.Request.URL; strings.HasPrefix(u, "http") && !strings.HasPrefix(u, w.Origin+"/") {
			w.noise = append(w.noise, "a request to another origin: "+u)
		}
	case *runtime.EventExceptionThrown:
		w.noise = append(w.noise, e.ExceptionDetails.Text)
	case *runtime.EventConsoleAPICalled:
		if e.Type == "error" || e.Type == "warning" {
			w.noise = append(w.noise, fmt.Sprint(e.Type, ": ", e.Args))
		}
	case *cdplog.EventEntryAdded:
		if string(e.Entry.Level) == "info" {
			return // it tells what it did, as that it cleared its storage at sign-out
		}
		w.noise = append(w.noise, e.Entry.Text+" "+e.Entry.URL)
	}
}

// Downloads has the browser keep what this window downloads in a folder.
func (w *Window) Downloads(dir string) {
	w.T.Helper()
	w.Do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, browser.SetDownloadBehavior, browser.SetDownloadBehaviorParams{Behavior: browser.SetDownloadBehaviorBehaviorAllow,
			BrowserContextID: chromedp.FromContext(w.ctx).BrowserContextID, DownloadPath: dir})
		return err
	}))
}

// Quiet fails for what the browser complained of since it was last asked, such as inline
// styles that the content policy refused, and for requests to other origins.
func (w *Window) Quiet() {
	w.T.Helper()
	for _, n := range w.Hush() {
		w.T.Errorf("the browser complains: %s", n)
	}
}

// Hush returns and forgets what the browser complained of, where a test expects it.
func (w *Window) Hush() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.noise
	w.noise = nil
	return n
}

// Do does steps.
func (w *Window) Do(steps ...chromedp.Action[chromedp.Void]) {
	w.T.Helper()
	if err := chromedp.Do(w.ctx, steps...); err != nil {
		w.T.Fatal(err)
	}
}

// Open opens an address, or a path of the origin.
func (w *Window) Open(address string) {
	w.T.Helper()
	if strings.HasPrefix(address, "/") {
		address = w.Origin + address
	}
	w.Do(chromedp.Navigate(address))
}

// Run evaluates an expression in the page, and waits if it is a promise.
func (w *Window) Run(js string) any {
	w.T.Helper()
	v, err := chromedp.Run(w.ctx, chromedp.Evaluate[any](js, func(p *runtime.EvaluateParams) { p.AwaitPromise = new(true) }))
	if err != nil {
		w.T.Fatalf("%s: %v", js, err)
	}
	return v
}

// Text is an expression's value as text, without space around it.
func (w *Window) Text(js string) string {
	w.T.Helper()
	return strings.TrimSpace(fmt.Sprint(w.Run(js)))
}

// Wait waits until an expression holds in the page, which may be loaded anew meanwhile.
func (w *Window) Wait(js string) {
	w.T.Helper()
	for deadline := time.Now().Add(within); ; time.Sleep(30 * time.Millisecond) {
		v, err := chromedp.Run(w.ctx, chromedp.Evaluate[any]("!!("+js+")"))
		if err == nil && v == true {
			return
		}
		if time.Now().After(deadline) {
			w.T.Fatalf("never came true: %s\nthe page: %v", js, w.Run("location.href + '\\n' + document.body.innerText.slice(0, 2000)"))
		}
	}
}

// Key presses a key.
func (w *Window) Key(k string) {
	w.T.Helper()
	w.Do(chromedp.KeyEvent(k))
}

// Click clicks on the one thing that a selector finds, as a mouse does.
func (w *Window) Click(selector string) {
	w.T.Helper()
	w.Wait(fmt.Sprintf(`document.querySelector(%q)`, selector))
	ctx, cancel := context.WithTimeout(w.ctx, within) // for it to be seen
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.Click(selector)); err != nil {
		w.T.Fatalf("click on %s: %v\nthe page: %v", selector, err, w.Run("location.href + '\\n' + document.body.innerText.slice(0, 2000)"))
	}
}
