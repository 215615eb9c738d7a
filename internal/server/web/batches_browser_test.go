package web

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"leasehold/internal/control"
	"leasehold/internal/session"
	"leasehold/internal/store"
	"leasehold/internal/wire"
)

// statuses reads what the sessions are in the store, with how each is wanted.
func (s *site) statuses(ids []int64) (out []session.Status) {
	s.t.Helper()
	rows, _, err := s.c.SessionRows(s.t.Context(), ids)
	s.must(err)
	for _, r := range rows {
		out = append(out, r.Status)
	}
	return out
}

// added stores sessions of an app that were added on a device and wait to be started.
func (s *site) added(n int, app, method, device int64) (ids []int64) {
	s.t.Helper()
	by := session.Source{Agent: session.Actor{Role: session.Agent, Name: "LAB"}}
	s.must(s.c.Store.Update(s.t.Context(), func(tx store.Tx) error {
		ids = nil
		for range n {
			x := session.Launch(session.Device, s.ann.ID, app, method, 1, session.Actor{Role: session.User, Name: "ann"}, tx.LeaseNow())
			x.AgentID = device
			x.Observe(session.Observation{Type: session.ObsAdded, At: tx.WallNow()}, by)
			if err := tx.CreateSession(x); err != nil {
				return err
			}
			ids = append(ids, x.ID)
		}
		return nil
	}))
	return ids
}

// mixed makes ten sessions of two apps: three run, the others are in seven other states.
func (s *site) mixed() (ids []int64) {
	s.t.Helper()
	matlab, _ := s.app("MATLAB")
	spss, _ := s.app("SPSS")
	n := 0
	launch := func(app int64, run bool) (int64, int64) {
		n++
		dev := s.device(fmt.Sprintf("LAB-%03d", 200+n))
		id := s.launch(app, dev, run)
		ids = append(ids, id)
		return dev, id
	}
	launch(matlab.ID, true)
	launch(matlab.ID, true)
	launch(spss.ID, true)
	for _, app := range []int64{matlab.ID, spss.ID} {
		dev, id := launch(app, true)
		s.exit(dev, id) // stopped
	}
	dev, id := launch(matlab.ID, false)
	s.agentOf(dev).report(s.t, id, session.IsIdle, wire.Observation{Type: session.ObsAdded})
	_, id = launch(matlab.ID, true)
	_, err := s.c.Act(s.t.Context(), s.root, id, session.Evict, "Exam")
	s.must(err)
	launch(matlab.ID, false) // launched
	dev, id = launch(spss.ID, true)
	s.exit(dev, id)
	_, err = s.c.Act(s.t.Context(), s.root, id, session.Expire, "Term is over")
	s.must(err)
	dev, id = launch(spss.ID, true)
	s.exit(dev, id)
	s.must(s.c.Store.Update(s.t.Context(), func(tx store.Tx) error {
		x, err := tx.LockSession(id)
		if err != nil {
			return err
		}
		before := store.Clone(x)
		x.NotNeeded(session.UnneededEntitlement, tx.WallNow())
		return tx.SaveSession(before, x)
	}))
	return ids
}

func TestBatchInTheBrowser(t *testing.T) {
	s := newSite(t)
	ids := s.mixed()
	before := s.statuses(ids)
	w := s.window()
	w.Open("/admin/sessions")
	w.Wait(`document.querySelector('#live:not(.wait):not(.off)') && document.querySelectorAll('tbody tr').length === 10`)
	ticks := func(n int) {
		t.Helper()
		w.Wait(fmt.Sprintf(`document.querySelectorAll('tbody .w-tick input:checked').length === %d`, n))
	}

	// All, none, one by the keyboard, and all again.
	w.Run(`document.querySelector('[data-tick=all]').click()`)
	ticks(10)
	w.Wait(`document.querySelector('[data-ticked]').textContent === '10 ticked rows'`)
	w.Run(`document.querySelector('[data-tick=none]').click()`)
	ticks(0)
	w.Key("j")
	w.Key("x")
	ticks(1)
	w.Wait(`document.querySelector('[data-ticked]').textContent === '1 ticked row'`)
	w.Run(`document.querySelector('[data-tick=all]').click()`)
	ticks(10)

	// The warning says what will be done to how many, and what is skipped and why.
	apply := func() {
		t.Helper()
		w.Run(`document.querySelector('.mass button').focus(); document.querySelector('.mass button').click()`)
		w.Wait(`document.querySelector('#dialog[open]') && document.activeElement.textContent.trim() === 'Cancel'`)
	}
	apply()
	said := w.Run(`document.querySelector('#dialog').innerText.replaceAll('\t', ' ')`).(string)
	for _, want := range []string{"Evict 3 sessions", "MATLAB running 2", "SPSS running 1", "7 sessions skipped", "their users can launch them again",
		"The session is stopped; evict applies to running", "1 MATLAB, 1 SPSS", "The session is added;", "The session is evicted;", "The session is launched;", "The session is expired;", "The session is awaiting expiry;"} {
		if !strings.Contains(said, want) {
			t.Errorf("the warning does not say %q:\n%s", want, said)
		}
	}
	if got := w.Run(`document.querySelector('#dialog .primary').textContent.trim()`); got != "Evict 3 sessions" {
		t.Errorf("the button says %v", got)
	}
	// Esc does nothing to any session, and gives the focus back.
	w.Key("\u001b")
	w.Wait(`!document.querySelector('#dialog[open]') && document.activeElement === document.querySelector('.mass button')`)
	if got := s.statuses(ids); fmt.Sprint(got) != fmt.Sprint(before) {
		t.Errorf("before it was accepted: %v, were %v", got, before)
	}

	apply()
	w.Run(`document.querySelector('#dialog [name=reason]').value = 'Exam'; document.querySelector('#dialog .primary').click()`)
	w.Wait(`document.querySelector('[data-toast]')?.innerText.includes('3 sessions evicted, 7 skipped.')`)
	w.Wait(`!document.querySelector('#dialog[open]') && document.activeElement === document.querySelector('.mass button')`)
	want := append([]session.Status{session.Evicted, session.Evicted, session.Evicted}, before[3:]...)
	if got := s.statuses(ids); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("after it: %v, want %v", got, want)
	}
	for i, id := range ids {
		w.Wait(fmt.Sprintf(`document.querySelector('#s%d .st').innerText.includes('%s')`, id, label(string(want[i]))))
	}
	ticks(0)
	w.Run(`document.querySelector('[data-toast] a').click()`)
	w.Wait(`location.pathname === '/admin/batches/2' && document.querySelectorAll('table.batch tbody tr').length === 10`)
	w.Run(`[...document.querySelectorAll('.tabs a')].at(-1).click()`)
	w.Wait(`location.search === '?outcome=skipped' && document.querySelectorAll('table.batch tbody tr').length === 7`)
	w.Quiet()
}

func TestBatchOfEverything(t *testing.T) {
	s := newSite(t)
	app, method := s.app("MATLAB")
	other, _ := s.app("SPSS")
	lab := s.device("LAB-204")
	ids := s.added(120, app.ID, method.ID, lab)
	rest := s.launch(other.ID, lab, false)
	w := s.window()
	w.Open("/admin/sessions?status=added&q=matlab")
	w.Wait(`document.querySelector('#live:not(.wait):not(.off)') && document.querySelectorAll('tbody tr').length === 50`)
	w.Wait(`document.querySelector('.mass select[name=of]').innerText.includes('Everything that matches (120)')`)
	w.Run(`document.querySelector('.mass select[name=of]').value = 'filter'; document.querySelector('.mass select[name=action]').value = 'expire'; document.querySelector('.mass button').click()`)
	w.Wait(`document.querySelector('#dialog[open] h1')?.textContent === 'Expire 120 sessions'`)
	w.Run(`document.querySelector('#dialog .primary').click()`)
	w.Wait(`document.querySelector('[data-toast]')?.innerText.includes('120 sessions expired.')`)
	for _, st := range s.statuses(append(ids, rest)) {
		if st != session.Expired && st != session.Launched {
			t.Fatalf("one is %s", st)
		}
	}
	if got := s.statuses([]int64{rest}); got[0] != session.Launched {
		t.Errorf("what the filter does not match is %s", got[0])
	}

	// Filters by time are chosen in menus, and chips take them off.
	w.Open("/admin/sessions")
	w.Wait(`document.querySelector('#live:not(.wait):not(.off)')`)
	w.Run(`[...document.querySelectorAll('.filters summary')].find((el) => el.innerText.startsWith('Silent')).click()`)
	w.Wait(`[...document.querySelectorAll('.filters [open] a')].find((el) => el.innerText.includes('15 minutes'))`)
	w.Run(`[...document.querySelectorAll('.filters [open] a')].find((el) => el.innerText.includes('15 minutes')).click()`)
	w.Wait(`location.search === '?silent_seconds=900' && document.querySelector('.chip')?.innerText.includes('15 minutes or more') && !document.querySelector('tbody tr')`)
	w.Run(`document.querySelector('.chip').click()`)
	w.Wait(`location.search === '' && document.querySelector('tbody tr') && !document.querySelector('.chip')`)
	w.Run(`[...document.querySelectorAll('.filters summary')].find((el) => el.innerText.startsWith('Started')).click()`)
	w.Wait(`document.querySelector('.filters [open] [name=from]')`)
	w.Run(`document.querySelector('.filters [open] [name=from]').value = '2001-01-01'; document.querySelector('.filters [open] .dates').requestSubmit()`)
	w.Wait(`location.search === '?from=2001-01-01' && document.querySelector('.chip')?.innerText.includes('2001-01-01') && document.querySelector('tbody tr')`)

	// A deleted session is found with the switch alone, and nothing can be done to it.
	s.remove(ids[119])
	row := fmt.Sprintf(`document.querySelector('#s%d')`, ids[119])
	w.Open("/admin/sessions?status=expired")
	w.Wait(`document.querySelector('tbody tr') && !` + row)
	w.Run(`document.querySelector('.toggle').click()`)
	w.Wait(row + `?.classList.contains('gone')`)
	w.Wait(row + `.innerText.includes('deleted') && !` + row + `.querySelector('[data-act], input') && location.search.includes('history=true')`)
	w.Quiet()
}

// A batch of more than a thousand has its own page. It goes on when that is closed, and
// one that is stopped keeps what it did.
func TestLongBatch(t *testing.T) {
	s := newSite(t)
	app, method := s.app("MATLAB")
	const n = 1400
	ids := s.added(n, app.ID, method.ID, s.device("LAB-204"))
	w := s.window()
	begin := func() string {
		t.Helper()
		w.Open("/admin/sessions?app_id=" + num(app.ID))
		w.Wait(`document.querySelector('#live:not(.wait):not(.off)')`)
		w.Run(`document.querySelector('.mass select[name=of]').value = 'filter'; document.querySelector('.mass select[name=action]').value = 'expire'; document.querySelector('.mass button').click()`)
		w.Wait(`document.querySelector('#dialog[open] .primary')?.textContent.trim().startsWith('Expire 1,')`)
		w.Run(`document.querySelector('#dialog .primary').click()`)
		w.Wait(`location.pathname.startsWith('/admin/batches/') && document.querySelector('progress')`)
		return w.Run(`location.pathname`).(string)
	}
	// part goes on with the batch and is broken off when it has got a little further.
	part := func() {
		t.Helper()
		ready, _, stop := s.c.Hub.WaitChanges()
		defer stop()
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-ready; cancel() }()
		if err := s.c.RunBatches(ctx); err == nil {
			t.Fatal("the batch was through before it could be watched")
		}
	}
	path := begin()
	w.Wait(`document.querySelector('.progress-line').innerText.includes('0 of 1,400') && document.querySelector('tbody .w-out').innerText.includes('waiting')`)
	part()
	w.Wait(`document.querySelector('progress').value > 0 && document.querySelector('progress').value < 1400 && document.querySelector('tbody .w-out').innerText.includes('expired')`)
	w.Open("/admin/audit")
	s.must(s.c.RunBatches(t.Context()))
	for _, st := range s.statuses(ids) {
		if st != session.Expired {
			t.Fatalf("one is %s", st)
		}
	}
	w.Open(path)
	w.Wait(`document.querySelector('.progress-line').innerText.includes('done') && document.querySelector('.progress-line').innerText.includes('1,400 applied') && !document.querySelector('[data-live]')`)
	if w.Run(`[...document.querySelectorAll('button')].some((b) => b.innerText === 'Stop')`) == true {
		t.Error("what is done can be stopped")
	}

	more := s.added(n, app.ID, method.ID, s.device("LAB-205"))
	w.Open("/admin/sessions?status=added")
	w.Wait(`document.querySelector('#live:not(.wait):not(.off)')`)
	path = begin()
	part()
	w.Wait(`document.querySelector('progress').value > 0`)
	w.Run(`[...document.querySelectorAll('#batch button')].find((b) => b.innerText === 'Stop').click()`)
	w.Wait(`location.pathname === '` + path + `' && document.querySelector('.progress-line').innerText.includes('stopped') && document.querySelector('.progress-line').innerText.includes('not reached')`)
	s.must(s.c.RunBatches(t.Context()))
	if got := s.statuses(more[n-1:]); got[0] != session.Added {
		t.Errorf("after the stop the last one is %s", got[0])
	}
	w.Quiet()
}

// TestBatchLooks checks the list with ticks, the warning and the batch's page as they
// look; with PICTURES set to a folder it keeps pictures of them there.
func TestBatchLooks(t *testing.T) {
	s := newSite(t)
	s.organisation()
	app, method := s.app("MATLAB R2026a")
	s.added(1100, app.ID, method.ID, s.device("LAB-205"))
	b, err := s.c.Preview(t.Context(), s.root, control.BatchRequest{Action: session.Expire, Reason: "The licence changes on Monday", Filter: &store.SessionQuery{Kind: session.Device}})
	s.must(err)
	_, err = s.c.RunBatch(t.Context(), s.root, b.ID, "")
	s.must(err)
	ready, _, stop := s.c.Hub.WaitChanges()
	defer stop()
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-ready; time.Sleep(10 * time.Millisecond); cancel() }()
	s.c.RunBatches(ctx) // breaks off in the middle
	s.remove(3)
	for _, width := range []int64{1440, 390} {
		w := s.window()
		w.Look(width, "light")
		w.Open("/admin/sessions?history=true&sort=id&older_seconds=0")
		w.Wait(`document.querySelector('#live:not(.wait):not(.off)')`)
		w.Run(`[...document.querySelectorAll('tbody .w-tick input')].slice(0, 12).forEach((el) => el.click())`)
		w.Judge("list")
		w.Run(`document.querySelector('.mass button').click()`)
		w.Wait(`document.querySelector('#dialog[open]')`)
		w.Judge("dialog")
		w.Open("/admin/batches/1")
		w.Wait(`document.querySelector('progress')`)
		w.Judge("batch")
		w.Open("/admin/batches/1?outcome=skipped")
		w.Judge("skipped")
		w.Open("/admin/batches")
		w.Judge("batches")
		w.Open("/admin/sessions?silent_seconds=1&status=added")
		if width > 500 {
			w.Run(`[...document.querySelectorAll('.filters summary')].find((el) => el.innerText.startsWith('Started')).click()`)
			w.Wait(`document.querySelector('.filters [open] [name=from]')`)
		}
		w.Judge("filters")
		w.Quiet()
		w.Close()
	}
}
