package web

import (
	"fmt"
	"strings"
	"testing"

	"leasehold/internal/control"
	"leasehold/internal/directory"
	"leasehold/internal/session"
	"leasehold/internal/store"
	"leasehold/internal/wire"
)

func TestSessionSaysWhatHappensNext(t *testing.T) {
	s := newSite(t)
	app, _ := s.app("MATLAB")
	lab := s.device("LAB-204")
	id := s.launch(app.ID, lab, false)
	page := "/admin/sessions/" + num(id)
	olga := s.as("olga")
	olga.get(page).is(200).has("What happens next", "It is added when the device checks in", "no set time", "Why it is launched", "The user clicked Launch")

	ag := s.agentOf(lab)
	ag.states[id] = &wire.SessionState{Session: id, State: session.IsAbsent, Progress: 42}
	ag.tell(t)
	a := olga.get(page).has("Adding the app to the device", "42%", `<progress max="100" value="42"`)
	s.as("ann").get("/").has("adding 42%")
	s.as("ann").get("/sessions/" + num(id)).has("adding 42%")
	ag.states[id].Problem = "It could not be added: The checksum is not what it should be."
	ag.tell(t)
	b := olga.get(page).has("It could not be added: The checksum is not what it should be.")
	if revIn(a) == revIn(b) {
		t.Error("the page's revision is the same: it would not be brought up to date")
	}
	s.as("ann").get("/sessions/"+num(id)).has("could not be added", "The checksum is not what it should be.", "administrator")

	ag.states[id].Progress, ag.states[id].Problem = 0, ""
	s.observe(lab, id)
	olga.get(page).has("Its lease can be renewed by the next check-in", "Why it is running", `href="`+page+`/revoke"`)
	olga.post(page+"/evict", vals("reason", "Exam at ten")).is(200)
	olga.get(page).has("The app is closed, whether or not the device answers", "within ", "Exam at ten", "Why it is evicted", "by olga, ")
}

// tell checks in with what is known of every session and nothing new.
func (a *agent) tell(t *testing.T) {
	t.Helper()
	a.number++
	m := &wire.CheckIn{V: wire.Version, Number: a.number, Epoch: 1, Complete: true, Token: a.token}
	for _, s := range a.states {
		m.Sessions = append(m.Sessions, *s)
	}
	ans, err := a.site.c.CheckIn(t.Context(), a.id, m, "")
	a.site.must(err)
	if ans.Token != "" {
		a.token = ans.Token
	}
}

func revIn(a *answer) string {
	_, after, _ := strings.Cut(a.body, ` data-rev="`)
	rev, _, _ := strings.Cut(after, `"`)
	return rev
}

func TestRevokeAccess(t *testing.T) {
	s := newSite(t)
	app, _ := s.app("MATLAB")
	lab := s.device("LAB-204")
	runs, rests := s.launch(app.ID, lab, true), s.launch(app.ID, s.device("ANN-X1"), false)
	olga := s.as("olga")
	page := "/admin/sessions/" + num(runs)
	// A group's provision is kept for the group: it gets an exception.
	g := &directory.Group{Name: "Engineers", UserIDs: []int64{s.ann.ID}}
	s.must(s.c.CreateGroup(t.Context(), s.root, g))
	s.must(s.c.CreateProvision(t.Context(), s.root, &directory.Provision{Name: "All engineers", GroupIDs: []int64{g.ID}, DeliveryMethodIDs: []int64{1}, Enabled: true}))

	olga.get(page+"/evict").is(200).has("It does not take the app away", `href="`+page+`/revoke"`, "Revoke access instead")
	olga.get(page+"/revoke").is(200).has("Revoke Ann Berg’s access to MATLAB", "cannot launch MATLAB any more", "Ann Berg’s name is removed",
		"All engineers", "gets an exception for Ann Berg and this app; the rest of Engineers keep it", "is evicted: the app closes after its warnings",
		"No. "+num(rests)+" on ANN-X1", "It does not touch anybody else", ">Revoke access</button>")
	if s.status(runs) != session.Running {
		t.Fatal("the preview has changed something")
	}
	s.as("ann").get(page + "/revoke").is(403)
	s.as("ann").post(page+"/revoke", nil).is(403)

	olga.post(page+"/revoke", vals("reason", "Left the project")).is(200).has("Ann Berg has no access to MATLAB any more; 2 sessions ended.")
	if got := s.status(runs); got != session.Evicted {
		t.Errorf("the running session is %s", got)
	}
	s.as("ann").get("/").has("not available now")
	s.as("ann").get("/launch/"+num(app.ID)).is(403).has("your access was revoked", "Ask your administrator")
	olga.get("/admin/audit").has("access revoke", "Left the project")

	// The provision shows the exception, and how to let them in again.
	olga.get("/admin/provisions/2").is(200).has("except Ann Berg for MATLAB", "Let in again")
	again := fmt.Sprintf("/admin/provisions/2/let-in-%d-%d", s.ann.ID, app.ID)
	olga.get(again).is(200).has("Let Ann Berg in again", "MATLAB")
	olga.post(again, nil).is(200).has("Let in again.")
	s.as("ann").get("/").has("Launch MATLAB")

	// Nothing left to take away: it says so and has no button.
	_, err := s.c.RevokeAccess(t.Context(), s.root, s.ann.ID, app.ID, "", false)
	s.must(err)
	s.must(s.c.DeleteApp(t.Context(), s.root, app.ID, control.Ending{}))
	olga.get(page + "/revoke").is(200).has("There is no access to revoke").lacks(">Revoke access</button>")
	olga.get("/admin/sessions/999/revoke").is(404)
}

// From the dialog of Evict to the preview, and to the end of the app in the store.
func TestRevokeInTheBrowser(t *testing.T) {
	s := newSite(t)
	app, _ := s.app("MATLAB")
	lab := s.device("LAB-204")
	id := s.launch(app.ID, lab, true)
	w := s.window()
	w.Open("/admin/sessions/" + num(id))
	w.Wait(`document.querySelector('[data-live-state]:not(.wait)')`)
	w.Run(`document.querySelector('[data-act=evict]').click()`)
	w.Wait(`document.querySelector('#dialog[open]')?.innerText.includes('Revoke access instead')`)
	w.Run(`document.querySelector('#dialog a[data-dialog]').click()`)
	w.Wait(`document.querySelector('#dialog[open] h1').innerText.includes('access to MATLAB') && document.activeElement.textContent.trim() === 'Cancel'`)
	w.Wait(`document.querySelector('#dialog').innerText.includes('name is removed') && document.querySelector('#dialog').innerText.includes('is evicted')`)
	w.Run(`document.querySelector('#dialog [name=reason]').value = 'Left'; document.querySelector('#dialog form').requestSubmit()`)
	w.Wait(`document.querySelector('[data-toast]')?.innerText.includes('has no access to MATLAB any more')`)
	w.Wait(`document.querySelector('.sub').innerText.includes('evicted') && document.querySelector('.steps .next')`)
	w.Quiet()

	// The device carries it out, and nothing of it can run any more.
	ag := s.agentOf(lab)
	rows, _, err := s.c.SessionRows(t.Context(), []int64{id})
	s.must(err)
	upTo := rows[0].Order.UpTo
	ag.report(t, id, session.IsRunning, wire.Observation{Type: session.ObsRevoked, UpTo: upTo})
	s.exit(lab, id)
	ag.states[id].Ended, ag.states[id].Holds = upTo, false
	ag.tell(t)
	w.Wait(`document.querySelector('.order .steps li:last-child.done')`)
	d, err := s.c.Session(t.Context(), id)
	s.must(err)
	if d.Row.Order.Open() || d.Row.Observed == session.IsRunning {
		t.Errorf("the app has not ended: %s, %+v", d.Row.Observed, d.Row.Order)
	}
	p, err := s.c.Portal(t.Context(), control.WhoIs(s.ann, "test"))
	s.must(err)
	if len(p.Offers) > 0 && p.Offers[0].Refusal == nil {
		t.Error("she may still launch it")
	}
}

// A deleted session is off the list and still read whole, by its old address.
func TestDeletedSessionIsStillRead(t *testing.T) {
	s := newSite(t)
	app, _ := s.app("MATLAB")
	lab := s.device("LAB-204")
	id := s.launch(app.ID, lab, true)
	s.exit(lab, id)
	olga := s.as("olga")
	page := "/admin/sessions/" + num(id)
	olga.post(page+"/expire", vals("reason", "Term is over")).is(200)
	s.must(s.c.Store.Update(t.Context(), func(tx store.Tx) error {
		x, err := tx.LockSession(id)
		if err != nil {
			return err
		}
		before := store.Clone(x)
		x.Delete(tx.WallNow())
		return tx.SaveSession(before, x)
	}))
	olga.get("/admin/sessions").lacks(page)
	olga.get(page).is(200).has("This session is deleted.", "everything that happened is kept below", "launched", "running", "stopped", "Term is over", "Its history is deleted for good").
		lacks(page+"/revoke", `data-act=`)
}

// The user sees that a newer version is on its way, and that it is ready.
func TestPortalFollowsAnUpgrade(t *testing.T) {
	s := newSite(t)
	app, _ := s.app("MATLAB")
	lab := s.device("LAB-204")
	id := s.launch(app.ID, lab, true)
	s.must(s.c.Store.Update(t.Context(), func(tx store.Tx) error {
		x, err := tx.LockSession(id)
		if err != nil {
			return err
		}
		before := store.Clone(x)
		x.Status, x.Progress = session.UpgradeRequested, 30
		return tx.SaveSession(before, x)
	}))
	ann := s.as("ann")
	ann.get("/sessions/"+num(id)).has("A newer version is on its way to LAB-204", "Adding the newer version to the device", "30%")
	ann.get("/").has("newer version: adding 30%")
}
