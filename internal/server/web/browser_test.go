package web

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"leasehold/internal/control"
	"leasehold/internal/directory"
	"leasehold/internal/session"
	"leasehold/internal/wire"
)

// A window is a real browser on the site, signed in as the administrator.
type window struct {
	*site
	ctx   context.Context
	close func() // the test's end does too

	mu       sync.Mutex
	noise    []string // console errors and refused contents
	requests []string
}

func (s *site) window() *window {
	s.t.Helper()
	if _, err := exec.LookPath("chromium"); err != nil {
		s.t.Fatal("chromium is missing: apt-get install chromium")
	}
	if !s.web.assets.built() {
		s.t.Fatal("the pages' bundle is not built: run make web")
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-background-networking", true))
	actx, cancel := chromedp.NewExecAllocator(context.Background(), opts...)
	s.t.Cleanup(cancel)
	tctx, cancel := context.WithTimeout(actx, 2*time.Minute)
	s.t.Cleanup(cancel)
	ctx, closeTab := chromedp.NewContext(tctx)
	s.t.Cleanup(closeTab)
	w := &window{site: s, ctx: ctx, close: func() { closeTab(); cancel() }}
	w.do(chromedp.EmulateViewport(1440, 900))
	s.must(chromedp.Listen(ctx, w.hear))
	w.open("/sign-in")
	w.run(`document.querySelector('[name=username]').value = 'olga';
		document.querySelector('[name=password]').value = '` + password + `';
		document.querySelector('form').submit()`)
	w.wait(`location.pathname === '/'`)
	return w
}

func (w *window) hear(ev any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch e := ev.(type) {
	case *network.EventRequestWillBeSent:
		w.requests = append(w.requests, e.Request.URL)
	case *runtime.EventExceptionThrown:
		w.noise = append(w.noise, e.ExceptionDetails.Text)
	case *runtime.EventConsoleAPICalled:
		if e.Type == "error" || e.Type == "warning" {
			w.noise = append(w.noise, fmt.Sprint(e.Type, ": ", e.Args))
		}
	case *cdplog.EventEntryAdded:
		w.noise = append(w.noise, e.Entry.Text+" "+e.Entry.URL)
	}
}

func (w *window) do(a chromedp.Action[chromedp.Void]) {
	w.t.Helper()
	w.must(chromedp.Do(w.ctx, a))
}

func (w *window) open(path string) {
	w.t.Helper()
	w.do(chromedp.Navigate(w.http.URL + path))
}

// run evaluates an expression in the page, and waits if it is a promise.
func (w *window) run(js string) any {
	w.t.Helper()
	v, err := chromedp.Run(w.ctx, chromedp.Evaluate[any](js, func(p *runtime.EvaluateParams) { p.AwaitPromise = new(true) }))
	w.must(err)
	return v
}

// wait waits until an expression holds.
func (w *window) wait(js string) {
	w.t.Helper()
	for deadline := time.Now().Add(15 * time.Second); ; {
		v, err := chromedp.Run(w.ctx, chromedp.Evaluate[any]("!!("+js+")"))
		if err == nil && v == true {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("never came true: %s\npage: %v", js, w.run("location.href + '\\n' + document.body.innerText.slice(0, 1500)"))
		}
		time.Sleep(30 * time.Millisecond)
	}
}

func (w *window) key(k string) {
	w.t.Helper()
	w.do(chromedp.KeyEvent(k))
}

// quiet fails for what the browser complained of, such as inline styles that the
// content policy refused, and for requests to other origins.
func (w *window) quiet() {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range w.noise {
		w.t.Errorf("the browser complains: %s", n)
	}
	for _, u := range w.requests {
		if !strings.HasPrefix(u, w.http.URL+"/") && !strings.HasPrefix(u, "about:") && !strings.HasPrefix(u, "data:") { // the browser's own icons are data
			w.t.Errorf("a request to another origin: %s", u)
		}
	}
	w.noise = nil
}

func TestEvictInTheBrowser(t *testing.T) {
	s := newSite(t)
	app, _ := s.app("MATLAB")
	lab := s.device("LAB-204")
	id := s.launch(app.ID, lab, true)
	for range 3 {
		s.launch(app.ID, 0, false)
	}
	w := s.window()
	w.open("/admin/sessions?q=matlab")
	w.wait(`document.querySelector('#live:not(.wait):not(.off)')`)
	row := fmt.Sprintf("document.querySelector('#s%d')", id)

	// By the keyboard alone: the last row, its action, a reason, the verb.
	w.key("k")
	w.wait(row + `.classList.contains('at')`)
	w.key("e")
	w.wait(`document.querySelector('#dialog[open]') && document.activeElement.textContent.trim() === 'Cancel'`)
	w.wait(`document.querySelector('#dialog').innerText.includes('Evict Ann Berg’s MATLAB on LAB-204')`)
	w.run(`document.querySelector('#dialog [name=reason]').value = 'Exam'; document.querySelector('#dialog form').requestSubmit()`)
	w.wait(row + `.querySelector('.st').innerText.includes('evicted')`)
	w.wait(`document.querySelector('[data-toast] a').getAttribute('href') === '/admin/sessions/` + num(id) + `'`)
	if got := w.run(`location.pathname + location.search`); got != "/admin/sessions?q=matlab" {
		t.Errorf("the address is now %v", got)
	}
	// It counts down.
	was := w.run(row + `.querySelector('time.c').textContent`)
	w.wait(row + `.querySelector('time.c').textContent !== '` + was.(string) + `'`)

	// Cancel changes nothing and gives the focus back.
	w.run(row + `.querySelector('[data-act]').focus(); ` + row + `.querySelector('[data-act]').click()`)
	w.wait(`document.querySelector('#dialog[open] [data-cancel]')`)
	w.key("\r")
	w.wait(`!document.querySelector('#dialog[open]') && document.activeElement === ` + row + `.querySelector('[data-act]')`)
	w.quiet()
}

func TestLiveInTheBrowser(t *testing.T) {
	s := newSite(t)
	app, _ := s.app("MATLAB")
	lab := s.device("LAB-204")
	var all []int64
	for range 40 {
		all = append(all, s.launch(app.ID, lab, false))
	}
	id := all[39]
	s.observe(lab, id)
	w := s.window()
	w.open("/admin/sessions")
	w.wait(`document.querySelector('#live:not(.wait):not(.off)')`)
	w.run(`window.mark = true`)

	// Nothing in hand: a new session comes in by itself, without a reload.
	next := s.launch(app.ID, lab, false)
	w.wait(fmt.Sprintf(`document.querySelector('tbody tr').id === 's%d'`, next))

	// Ticked, scrolled and with the focus in the list: rows change in place, new ones wait.
	w.run(fmt.Sprintf(`window.scrollTo(0, 300); document.querySelector('#s%d .w-tick input').click(); document.querySelector('#s%d a').focus({preventScroll: true})`, id, all[20]))
	s.exit(lab, id)
	waits := s.launch(app.ID, lab, false)
	w.wait(fmt.Sprintf(`document.querySelector('#s%d .st').innerText.trim() === 'stopped'`, id))
	w.wait(`document.querySelector('#newer:not([hidden])')?.innerText === '1 new session'`)
	for js, want := range map[string]any{
		`window.mark`:    true,
		`window.scrollY`: 300.0,
		fmt.Sprintf(`document.querySelector('#s%d .w-tick input').checked`, id):             true,
		fmt.Sprintf(`document.activeElement === document.querySelector('#s%d a')`, all[20]): true,
		fmt.Sprintf(`document.querySelector('#s%d') === null`, waits):                       true,
		`document.querySelector('[data-ticked]').innerText`:                                 "1 ticked row",
		fmt.Sprintf(`document.querySelector('#s%d [data-act]').innerText`, id):              "Expire",
		`getComputedStyle(document.querySelector('.mass')).visibility`:                      "visible",
	} {
		if got := w.run(js); got != want {
			t.Errorf("%s is %v, want %v", js, got, want)
		}
	}
	w.run(`document.querySelector('#newer').click()`)
	w.wait(fmt.Sprintf(`document.querySelector('tbody tr').id === 's%d' && window.scrollY === 0 && document.querySelector('#newer').hidden`, waits))
	if w.run(fmt.Sprintf(`document.querySelector('#s%d .w-tick input').checked`, id)) != true {
		t.Error("the tick is lost")
	}

	// Searching changes the list and the address, keeps the focus, and Back goes back.
	w.run(`document.querySelectorAll('.w-tick input:checked').forEach((el) => el.click())`)
	// (chromedp would write the / into the box: it sends the letter whatever became of the key.)
	w.run(`document.body.dispatchEvent(new KeyboardEvent('keydown', {key: '/', bubbles: true}))`)
	w.wait(`document.activeElement.id === 'q'`)
	for _, k := range "stopped" {
		w.key(string(k))
	}
	w.wait(`location.search === '?q=stopped' && document.querySelectorAll('tbody tr').length === 1 && document.activeElement.id === 'q'`)
	w.run(`history.back()`)
	w.wait(`location.search === '' && document.querySelectorAll('tbody tr').length > 30 && document.querySelector('#q').value === ''`)
	if w.run(`window.mark`) != true {
		t.Error("the page was loaded anew")
	}
	w.quiet()

	// Without the server the page says since when it is stale, and recovers by itself.
	w.down.Store(true)
	w.http.CloseClientConnections()
	w.wait(`document.querySelector('#live.off') && !document.querySelector('#stale').hidden && document.querySelector('#stale').innerText.startsWith('No connection since')`)
	last := s.launch(app.ID, lab, false)
	w.down.Store(false)
	w.wait(`document.querySelector('#live:not(.wait):not(.off)') && document.querySelector('#stale').hidden`)
	w.wait(fmt.Sprintf(`document.querySelector('#s%d')`, last))
}

func TestLaunchInTheBrowser(t *testing.T) {
	s := newSite(t)
	s.app("MATLAB")
	lab := s.device("LAB-204")
	_, err := s.c.UpdateProvision(t.Context(), s.root, 1, control.Ending{}, func(p *directory.Provision) error {
		p.UserIDs = append(p.UserIDs, s.admin.ID)
		return nil
	})
	s.must(err)
	w := s.window()
	w.open("/")
	w.run(`document.querySelector('.tile form').requestSubmit()`)
	w.wait(`location.pathname.startsWith('/sessions/') && document.querySelector('[data-app-link]')`)
	link := w.run(`document.querySelector('[data-app-link]').href`).(string)
	_, err = s.c.Redeem(t.Context(), lab, &wire.Redeem{V: wire.Version, Ticket: ticketOf(t, link)}, "")
	s.must(err)
	ag := s.agentOf(lab)
	ag.report(t, 1, session.IsIdle, wire.Observation{Type: session.ObsAdded})
	w.wait(`document.querySelector('.sub').innerText.includes('added')`)
	ag.report(t, 1, session.IsRunning, wire.Observation{Type: session.ObsStarted, Run: 1})
	w.wait(`document.querySelector('.sub').innerText.includes('running') && document.querySelectorAll('.steps .done').length === 3`)
}

// TestLooks checks every page in a real browser: nothing runs over its width, nothing
// moves while it loads, and axe finds nothing to complain of.
func TestLooks(t *testing.T) {
	s := newSite(t)
	s.organisation()
	pages := []string{"/", "/launch/1", "/admin/sessions", "/admin/sessions?q=nosuch", "/admin/sessions?status=running&app_id=1", "/admin/sessions/4", "/admin/sessions/4/expire",
		"/admin/sessions/filter?by=app", "/admin/sessions/filter?by=started", "/admin/sessions?history=true&silent_seconds=900&older_seconds=60", "/admin/batches", "/admin/apps", "/admin/apps/1", "/admin/apps/1/suspend", "/admin/delivery-methods/new", "/admin/delivery-methods/4", "/admin/provisions", "/admin/provisions/1",
		"/admin/users", "/admin/users/2", "/admin/groups/1", "/admin/devices", "/admin/devices/1", "/admin/audit", "/admin/settings", "/admin/sessions/1/revoke", "/admin/delivery-methods/1", "/admin/nothing"}
	for _, look := range []struct {
		width int64
		theme string
		axe   bool
	}{{1440, "light", true}, {390, "dark", true}, {720, "dark", false}, {2560, "light", false}} {
		w := s.window()
		w.look(look.width, look.theme)
		for _, path := range pages {
			w.open(path)
			if over := w.run(`document.documentElement.scrollWidth - document.documentElement.clientWidth`).(float64); over > 0 {
				t.Errorf("%s at %d: %v pixels too wide", path, look.width, over)
			}
			// A thousandth is a font that came in the first frame; Google calls a tenth good.
			shift := w.run(`new Promise((done) => { let sum = 0, what = '';
				new PerformanceObserver((list) => { for (const e of list.getEntries()) { sum += e.value; what += e.sources?.map((s) => s.node?.outerHTML?.slice(0, 80)).join() } }).observe({type: 'layout-shift', buffered: true});
				setTimeout(() => done(sum > 0.001 ? sum + ' ' + what : ''), 60) })`)
			if shift != "" {
				t.Errorf("%s at %d: moves while it loads: %v", path, look.width, shift)
			}
			if !look.axe {
				continue
			}
			w.axe(fmt.Sprintf("%s at %d, %s", path, look.width, look.theme))
		}
		w.mu.Lock()
		w.noise = nil // the page that is none answers 404, which the browser logs
		w.mu.Unlock()
		w.quiet()
		w.close()
	}
}
