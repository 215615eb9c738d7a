//go:build linux

package e2e

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// browser is headless Chromium.
type browser struct{ ctx context.Context }

// window is somebody's own window, with cookies of its own.
type window struct {
	t   testing.TB
	ctx context.Context
	url string

	mu    sync.Mutex
	noise []string
}

func newBrowser(t testing.TB) *browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("chromium is missing: apt-get install chromium")
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox,
		chromedp.Flag("disable-gpu", true), chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true))
	alloc, cancel := chromedp.NewExecAllocator(context.Background(), opts...)
	t.Cleanup(cancel)
	bounded, cancel := context.WithTimeout(alloc, 5*time.Minute)
	t.Cleanup(cancel)
	ctx, cancel := chromedp.NewContext(bounded)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
		t.Fatal(err)
	}
	return &browser{ctx}
}

// window opens a window and signs in, by what a person does.
func (b *browser) window(t testing.TB, url, username, password string) *window {
	t.Helper()
	ctx, cancel := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	w := newTab(t, ctx, url)
	w.open("/")
	w.wait(`document.querySelector('[name=username]')`)
	if unbuilt, _ := w.eval(`document.querySelector('.unbuilt') !== null`); unbuilt == true {
		t.Fatal("the pages' bundle is not built: run make web")
	}
	w.do(chromedp.SendKeys(`[name=username]`, username), chromedp.SendKeys(`[name=password]`, password), chromedp.Click(`button[type=submit]`))
	w.wait(`location.pathname === '/' && document.querySelector('.user-button')`)
	return w
}

func newTab(t testing.TB, ctx context.Context, url string) *window {
	t.Helper()
	w := &window{t: t, ctx: ctx, url: url}
	w.do(chromedp.EmulateViewport(1440, 900))
	if err := chromedp.Listen(ctx, w.hear); err != nil {
		t.Fatal(err)
	}
	return w
}

// tab opens another tab of the same person. A tab that has followed a link of leasehold://
// takes no clicks: the browser asks there whether it may open the player.
func (w *window) tab() *window {
	w.t.Helper()
	ctx, cancel := chromedp.NewContext(w.ctx)
	w.t.Cleanup(cancel)
	return newTab(w.t, ctx, w.url)
}

func (w *window) hear(ev any) {
	if e, ok := ev.(*runtime.EventExceptionThrown); ok {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.noise = append(w.noise, e.ExceptionDetails.Text)
	}
}

// quiet fails for scripts that failed.
func (w *window) quiet() {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range w.noise {
		w.t.Errorf("a script failed in the browser: %s", n)
	}
}

func (w *window) do(steps ...chromedp.Action[chromedp.Void]) {
	w.t.Helper()
	if err := chromedp.Do(w.ctx, steps...); err != nil {
		w.t.Fatal(err)
	}
}

func (w *window) open(path string) {
	w.t.Helper()
	w.do(chromedp.Navigate(w.url + path))
}

// click clicks on the one thing that a selector finds, as a mouse does.
func (w *window) click(selector string) {
	w.t.Helper()
	w.wait(fmt.Sprintf(`document.querySelector(%q)`, selector))
	w.do(chromedp.Click(selector))
}

func (w *window) eval(js string) (any, error) {
	return chromedp.Run(w.ctx, chromedp.Evaluate[any](js))
}

func (w *window) run(js string) any {
	w.t.Helper()
	v, err := w.eval(js)
	if err != nil {
		w.t.Fatalf("%s: %v", js, err)
	}
	return v
}

func (w *window) text(js string) string {
	w.t.Helper()
	return strings.TrimSpace(fmt.Sprint(w.run(js)))
}

// wait waits until an expression holds in the page.
func (w *window) wait(js string) {
	w.t.Helper()
	ok := waitFor(20*time.Second, func() bool {
		v, err := w.eval("!!(" + js + ")")
		return err == nil && v == true
	})
	if !ok {
		v, _ := w.eval("location.href + '\\n' + document.body.innerText.slice(0, 2000)")
		w.t.Fatalf("never came true: %s\nthe page: %v", js, v)
	}
}

// wordOf is a function of the page that gives the status a row shows, without what stands
// beside it.
const wordOf = `(row) => [...row.querySelector('.st').childNodes].filter((n) => n.nodeType === Node.TEXT_NODE).map((n) => n.textContent).join('').trim()`

// watch has the page note every status that a row is seen with, and marks the page, so
// that a reload would show.
func (w *window) watch() {
	w.t.Helper()
	w.wait(`document.querySelector('#live:not(.wait):not(.off)')`)
	w.run(`window.mark = 'not reloaded';
		window.seen = {};
		const look = () => document.querySelectorAll('tr[data-rev][id]').forEach((row) => {
			const word = (` + wordOf + `)(row);
			const list = (window.seen[row.id] ??= []);
			if (list.at(-1) !== word) list.push(word);
		});
		look();
		new MutationObserver(look).observe(document.querySelector('main'), {subtree: true, childList: true, characterData: true, attributes: true});
		0`)
}

// seen are the statuses that a watched row was shown with, in order.
func (w *window) seen(id int64) string {
	w.t.Helper()
	if got := w.run(`window.mark`); got != "not reloaded" {
		w.t.Fatal("the page was loaded anew")
	}
	return w.text(fmt.Sprintf(`(window.seen['s%d'] ?? []).join(' → ')`, id))
}

// awaitRow waits until a row shows a status.
func (w *window) awaitRow(id int64, status string) {
	w.t.Helper()
	w.wait(fmt.Sprintf(`(%s)(document.querySelector('#s%d')) === %q`, wordOf, id, status))
}

// act ends a row's session by the dialog, giving a reason.
func (w *window) act(id int64, action, reason string) {
	w.t.Helper()
	w.click(fmt.Sprintf(`#s%d [data-act=%s]`, id, action))
	w.wait(`document.querySelector('#dialog[open] form[data-confirm]')`)
	w.do(chromedp.SendKeys(`#dialog [name=reason]`, reason), chromedp.Click(`#dialog button[type=submit]`))
}
