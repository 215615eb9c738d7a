//go:build linux

package e2e

import (
	"fmt"

	"github.com/chromedp/chromedp"

	"leasehold/internal/browsertest"
)

// window is somebody's own window, signed in.
type window struct{ *browsertest.Window }

// signedIn opens a window and signs in, by what a person does.
func signedIn(b *browsertest.Browser, url, username, password string) *window {
	w := &window{b.Window(url)}
	w.T.Helper()
	w.Open("/")
	w.Wait(`document.querySelector('[name=username]')`)
	if w.Run(`document.querySelector('.unbuilt') !== null`) == true {
		w.T.Fatal("the pages' bundle is not built: run make web")
	}
	w.Do(chromedp.SendKeys(`[name=username]`, username), chromedp.SendKeys(`[name=password]`, password), chromedp.Click(`button[type=submit]`))
	w.Wait(`['/', '/admin/sessions'].includes(location.pathname) && document.querySelector('.user-button')`)
	return w
}

// wordOf is a function of the page that gives the status a row shows, without what stands
// beside it.
const wordOf = `(row) => [...row.querySelector('.st').childNodes].filter((n) => n.nodeType === Node.TEXT_NODE).map((n) => n.textContent).join('').trim()`

// watch has the page note every status that a row is seen with, and marks the page, so
// that a reload would show.
func (w *window) watch() {
	w.T.Helper()
	w.Wait(`document.querySelector('#live:not(.wait):not(.off)')`)
	w.Run(`window.mark = 'not reloaded';
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
	w.T.Helper()
	if got := w.Run(`window.mark`); got != "not reloaded" {
		w.T.Fatal("the page was loaded anew")
	}
	return w.Text(fmt.Sprintf(`(window.seen['s%d'] ?? []).join(' → ')`, id))
}

// awaitRow waits until a row shows a status.
func (w *window) awaitRow(id int64, status string) {
	w.T.Helper()
	w.Wait(fmt.Sprintf(`(%s)(document.querySelector('#s%d')) === %q`, wordOf, id, status))
}

// act ends a row's session by the dialog, giving a reason.
func (w *window) act(id int64, action, reason string) {
	w.T.Helper()
	w.Click(fmt.Sprintf(`#s%d [data-act=%s]`, id, action))
	w.Wait(`document.querySelector('#dialog[open] form[data-confirm]')`)
	w.Do(chromedp.SendKeys(`#dialog [name=reason]`, reason), chromedp.Click(`#dialog button[type=submit]`))
}
