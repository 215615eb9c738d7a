//go:build linux

package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"leasehold/internal/browsertest"
)

// TestLife is one session's life as people see it: a user launches in the portal, an
// administrator sees it run, ends it, sees it closed, and lets it expire.
func TestLife(t *testing.T) {
	s := newServer(t)
	s.up()
	root := s.signIn(adminName, adminPassword)
	org := seed(root)
	file := filepath.Join(t.TempDir(), "pids")
	// A heartbeat so long that what happens soon, happens by push.
	org.app("Titration", 20, []int{4, 2}, "--children", "2", "--pid-file", file)
	d := enrol(t, root, s.url, "LAB-204")
	d.up()

	b := browsertest.New(t)
	admin := signedIn(b, s.url, adminName, adminPassword)
	ann := signedIn(b, s.url, "ann", userPassword)
	admin.Open("/admin/sessions")
	admin.watch()

	// Launch in the portal; the link is what the desktop hands to the player.
	first := launchInPortal(ann, "Titration")
	admin.awaitRow(first, "launched")
	link := ann.Text(`document.querySelector('[data-app-link]').href`)
	d.do("launch", link)
	admin.awaitRow(first, "running")
	eventually(t, 20*time.Second, "the app, its children and their children run", func() bool { return complete(file, 2) })
	// The player reports that it has added the app and that it runs in one check-in, so
	// the table may show running at once; the history has both.
	if got := admin.seen(first); got != "launched → running" && got != "launched → added → running" {
		t.Errorf("the row went %s", got)
	}
	if got := history(root, first); got != "launched added running" {
		t.Errorf("the history is %s", got)
	}
	ann.Wait(`document.querySelectorAll('.steps .done').length === 3`)

	// Evict: the row changes at once, the warnings come in order, nothing is left.
	clicked := time.Now()
	admin.act(first, "evict", "Fire drill")
	admin.awaitRow(first, "evicted")
	if took := time.Since(clicked); took > 3*time.Second {
		t.Errorf("the row took %v to change", took)
	}
	if n := len(alive(pids(file))); n != 5 {
		t.Errorf("%d processes run while the user is being warned", n)
	}
	o := root.awaitClosed(first)
	if took := o.DeliveredAt.Sub(o.RequestedAt); took > 3*time.Second {
		t.Errorf("the order took %v to the device, though it is pushed", took)
	}
	checkWarnings(t, d, first, o, "Fire drill", 4, 2)
	if left := alive(pids(file)); len(left) > 0 {
		t.Errorf("still alive: %v", left)
	}
	admin.Wait(fmt.Sprintf(`document.querySelector('#s%d .st').innerText.includes('closed')`, first))

	// The user runs it again from the player, and closes it.
	d.do("start", fmt.Sprint(first))
	admin.awaitRow(first, "running")
	eventually(t, 20*time.Second, "the app runs again", func() bool { return complete(file, 2) })
	closeApp(t, file)
	admin.awaitRow(first, "stopped")
	if got := admin.seen(first); !strings.HasSuffix(got, "running → evicted → running → stopped") {
		t.Errorf("the row went %s", got)
	}

	// Launched anew from the portal it goes to the device that the user used, by push.
	ann.Quiet()
	ann = &window{ann.Tab()}
	ann.Open("/")
	ann.Wait(`document.querySelector('.tile')?.innerText.includes('opens on LAB-204')`)
	second := launchInPortal(ann, "Titration")
	admin.awaitRow(second, "running")
	admin.awaitRow(first, "awaiting expiry") // superseded
	eventually(t, 20*time.Second, "the app runs once more", func() bool { return complete(file, 2) })
	closeApp(t, file)
	admin.awaitRow(second, "stopped")
	admin.act(second, "expire", "End of term")
	admin.awaitRow(second, "expired")
	admin.act(first, "expire", "End of term")
	admin.awaitRow(first, "expired")
	if got := admin.seen(second); !strings.HasSuffix(got, "running → stopped → expired") {
		t.Errorf("the row went %s", got)
	}
	// Expired it may not run: it starts, because an app never waits for the network, and
	// is closed after its warnings.
	d.do("start", fmt.Sprint(second))
	eventually(t, 20*time.Second, "it starts all the same", func() bool { return complete(file, 2) })
	eventually(t, 30*time.Second, "it is closed", func() bool { return len(alive(pids(file))) == 0 })
	if got := root.session(second).Status; got != "expired" {
		t.Errorf("it is %s", got)
	}

	// The session's page tells the whole story, and the audit log who did what.
	admin.Quiet()
	admin.Open(fmt.Sprintf("/admin/sessions/%d", first))
	admin.Wait(`document.querySelector('.timeline')`)
	for _, want := range []string{"launched", "added", "running", "evicted", "stopped", "expired", "Fire drill", "End of term", adminName, "LAB-204"} {
		if !strings.Contains(strings.ToLower(admin.Text(`document.querySelector('.timeline').innerText`)), strings.ToLower(want)) {
			t.Errorf("the timeline does not tell of %q: %s", want, admin.Text(`document.querySelector('.timeline').innerText`))
		}
	}
	admin.Open("/admin/audit")
	for _, want := range []string{"session evict", "session expire", "Fire drill", "End of term"} {
		admin.Wait(fmt.Sprintf(`document.querySelector('main').innerText.includes(%q)`, want))
	}
	admin.Quiet()
	ann.Quiet()
}

// launchInPortal clicks Launch and returns the session.
func launchInPortal(w *window, app string) int64 {
	w.T.Helper()
	w.Click(fmt.Sprintf(`[aria-label="Launch %s"]`, app))
	w.Wait(`location.pathname.startsWith('/sessions/')`)
	var id int64
	if _, err := fmt.Sscanf(w.Text(`location.pathname`), "/sessions/%d", &id); err != nil {
		w.T.Fatal(err)
	}
	return id
}

// history is the statuses that a session went through. It must be a chain.
func history(a *api, id int64) string {
	a.t.Helper()
	var list []string
	last := ""
	for _, tr := range a.transitions(id) {
		if tr.From != last {
			a.t.Errorf("session %d: from %q after %q", id, tr.From, last)
		}
		last = tr.To
		list = append(list, last)
	}
	return strings.Join(list, " ")
}

// closeApp closes the app and what it started, as its user does: as long as anything of
// it lives, the run goes on.
func closeApp(t *testing.T, file string) {
	t.Helper()
	for _, pid := range alive(pids(file)) {
		_ = syscall.Kill(pid, syscall.SIGTERM) // its parent's end may have ended it
	}
	eventually(t, 20*time.Second, "the app and what it started are gone", func() bool { return len(alive(pids(file))) == 0 })
}

// checkWarnings checks what the player said on its terminal against the order: each
// warning once, in order, so long before the app closed.
func checkWarnings(t *testing.T, d *device, session int64, o *order, reason string, seconds ...int) {
	t.Helper()
	found := d.out.find(fmt.Sprintf("WARNING (session %d)", session))
	if len(found) != len(seconds) {
		t.Fatalf("%d warnings, want %d: %v", len(found), len(seconds), found)
	}
	for i, n := range seconds {
		want := fmt.Sprintf("will close in %d second", n)
		if !strings.Contains(found[i].text, want) || !strings.Contains(found[i].text, reason) {
			t.Errorf("warning %d is %q, want %q and %q", i+1, found[i].text, want, reason)
		}
		// The app closes when it is asked to, but what it started only by force, which
		// comes the force margin later. The guard's timer and ours are not one.
		lead := o.ClosedAt.Sub(found[i].at)
		if low, high := time.Duration(n)*time.Second-300*time.Millisecond, time.Duration(n)*time.Second+force+time.Second; lead < low || lead > high {
			t.Errorf("warned %v before the app closed, want %d s", lead, n)
		}
	}
	if gap := found[0].at.Sub(*o.WarnedAt); gap < -100*time.Millisecond || gap > 2*time.Second {
		t.Errorf("the order was warned %v before the terminal showed it", gap)
	}
}
