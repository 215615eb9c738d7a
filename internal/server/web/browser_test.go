package web

import (
	"fmt"
	"strings"
	"testing"

	"leasehold/internal/browsertest"
	"leasehold/internal/control"
	"leasehold/internal/directory"
	"leasehold/internal/session"
	"leasehold/internal/wire"
)

// A window is a real browser on the site, signed in as the administrator.
type window struct {
	*site
	*browsertest.Window
}

func (s *site) window() *window {
	s.t.Helper()
	if !s.web.assets.built() {
		s.t.Fatal("the pages' bundle is not built: run make web")
	}
	w := &window{s, browsertest.New(s.t).Window(s.http.URL)}
	w.Open("/sign-in")
	w.Run(`document.querySelector('[name=username]').value = 'olga';
		document.querySelector('[name=password]').value = '` + password + `';
		document.querySelector('form').submit()`)
	w.Wait(`['/', '/admin/sessions'].includes(location.pathname)`)
	return w
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
	w.Open("/admin/sessions?q=matlab")
	w.Wait(`document.querySelector('#live:not(.wait):not(.off)')`)
	row := fmt.Sprintf("document.querySelector('#s%d')", id)

	// By the keyboard alone: the last row, its action, a reason, the verb.
	w.Key("k")
	w.Wait(row + `.classList.contains('at')`)
	w.Key("e")
	w.Wait(`document.querySelector('#dialog[open]') && document.activeElement.textContent.trim() === 'Cancel'`)
	w.Wait(`document.querySelector('#dialog').innerText.includes('Evict Ann Berg’s MATLAB on LAB-204')`)
	w.Run(`document.querySelector('#dialog [name=reason]').value = 'Exam'; document.querySelector('#dialog form').requestSubmit()`)
	w.Wait(row + `.querySelector('.st').innerText.includes('evicted')`)
	w.Wait(`document.querySelector('[data-toast] a').getAttribute('href') === '/admin/sessions/` + num(id) + `'`)
	if got := w.Run(`location.pathname + location.search`); got != "/admin/sessions?q=matlab" {
		t.Errorf("the address is now %v", got)
	}
	// It counts down.
	was := w.Run(row + `.querySelector('time.c').textContent`)
	w.Wait(row + `.querySelector('time.c').textContent !== '` + was.(string) + `'`)

	// Cancel changes nothing and gives the focus back.
	w.Run(row + `.querySelector('[data-act]').focus(); ` + row + `.querySelector('[data-act]').click()`)
	w.Wait(`document.querySelector('#dialog[open] [data-cancel]')`)
	w.Key("\r")
	w.Wait(`!document.querySelector('#dialog[open]') && document.activeElement === ` + row + `.querySelector('[data-act]')`)

	// A dialog that opens as soon as another one is closed is not emptied by the event that
	// comes of the closing.
	w.Key("?")
	w.Wait(`document.querySelector('#dialog[open] .keys')`)
	w.Run(`document.querySelector('#dialog').close(); document.body.dispatchEvent(new KeyboardEvent('keydown', {key: '?', bubbles: true}))`)
	w.Run(`new Promise((done) => setTimeout(done, 100))`)
	w.Wait(`document.querySelector('#dialog[open] .keys')`)
	w.Run(`document.querySelector('#dialog').close()`)
	w.Wait(`!document.querySelector('#dialog').children.length`)

	// Whoever is signed out meanwhile keeps what they wrote, and learns that nothing was done.
	w.Run(row + `.querySelector('[data-act]').click()`)
	w.Wait(`document.querySelector('#dialog[open] [name=reason]')`)
	w.Run(`document.querySelector('#dialog [name=reason]').value = 'Term is over'`)
	w.Run(`fetch('/sign-out', {method: 'POST'})`)
	w.Run(`document.querySelector('#dialog form').requestSubmit()`)
	w.Wait(`document.querySelector('#toasts').innerText.includes('You are signed out, and nothing was done.') && document.querySelector('#dialog [name=reason]').value === 'Term is over'`)
	for _, n := range w.Hush() {
		if !strings.Contains(n, "/events") && !strings.Contains(n, "401") { // the list hears of it too
			t.Errorf("the browser complains: %s", n)
		}
	}
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
	w.Open("/admin/sessions")
	w.Wait(`document.querySelector('#live:not(.wait):not(.off)')`)
	w.Run(`window.mark = true`)

	// Nothing in hand: a new session comes in by itself, without a reload.
	next := s.launch(app.ID, lab, false)
	w.Wait(fmt.Sprintf(`document.querySelector('tbody tr').id === 's%d'`, next))

	// Ticked, scrolled and with the focus in the list: rows change in place, new ones wait.
	w.Run(fmt.Sprintf(`window.scrollTo(0, 300); document.querySelector('#s%d .w-tick input').click(); document.querySelector('#s%d a').focus({preventScroll: true})`, id, all[20]))
	s.exit(lab, id)
	waits := s.launch(app.ID, lab, false)
	w.Wait(fmt.Sprintf(`document.querySelector('#s%d .st').innerText.trim() === 'stopped'`, id))
	w.Wait(`document.querySelector('#newer:not([hidden])')?.innerText === '1 new session'`)
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
		if got := w.Run(js); got != want {
			t.Errorf("%s is %v, want %v", js, got, want)
		}
	}
	w.Run(`document.querySelector('#newer').click()`)
	w.Wait(fmt.Sprintf(`document.querySelector('tbody tr').id === 's%d' && window.scrollY === 0 && document.querySelector('#newer').hidden`, waits))
	if w.Run(fmt.Sprintf(`document.querySelector('#s%d .w-tick input').checked`, id)) != true {
		t.Error("the tick is lost")
	}

	// Searching changes the list and the address, keeps the focus, and Back goes back.
	w.Run(`document.querySelectorAll('.w-tick input:checked').forEach((el) => el.click())`)
	// (chromedp would write the / into the box: it sends the letter whatever became of the key.)
	w.Run(`document.body.dispatchEvent(new KeyboardEvent('keydown', {key: '/', bubbles: true}))`)
	w.Wait(`document.activeElement.id === 'q'`)
	for _, k := range "stopped" {
		w.Key(string(k))
	}
	w.Wait(`location.search === '?q=stopped' && document.querySelectorAll('tbody tr').length === 1 && document.activeElement.id === 'q'`)
	w.Run(`history.back()`)
	w.Wait(`location.search === '' && document.querySelectorAll('tbody tr').length > 30 && document.querySelector('#q').value === ''`)
	if w.Run(`window.mark`) != true {
		t.Error("the page was loaded anew")
	}
	w.Quiet()

	// Without the server the page says since when it is stale, and recovers by itself.
	w.down.Store(true)
	w.http.CloseClientConnections()
	w.Wait(`document.querySelector('#live.off') && !document.querySelector('#stale').hidden && document.querySelector('#stale').innerText.startsWith('No connection since')`)
	last := s.launch(app.ID, lab, false)
	w.down.Store(false)
	w.Wait(`document.querySelector('#live:not(.wait):not(.off)') && document.querySelector('#stale').hidden`)
	w.Wait(fmt.Sprintf(`document.querySelector('#s%d')`, last))
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
	w.Open("/")
	w.Run(`document.querySelector('.tile form').requestSubmit()`)
	w.Wait(`location.pathname.startsWith('/sessions/') && document.querySelector('[data-app-link]')`)
	link := w.Run(`document.querySelector('[data-app-link]').href`).(string)
	_, err = s.c.Redeem(t.Context(), lab, &wire.Redeem{V: wire.Version, Ticket: ticketOf(t, link)}, "")
	s.must(err)
	ag := s.agentOf(lab)
	ag.report(t, 1, session.IsIdle, wire.Observation{Type: session.ObsAdded})
	w.Wait(`document.querySelector('.sub').innerText.includes('added')`)
	ag.report(t, 1, session.IsRunning, wire.Observation{Type: session.ObsStarted, Run: 1})
	w.Wait(`document.querySelector('.sub').innerText.includes('running') && document.querySelectorAll('.steps .done').length === 3`)
}
