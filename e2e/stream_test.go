//go:build linux

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"leasehold/internal/agent/runner"
	"leasehold/internal/agent/runner/display"
	"leasehold/internal/browsertest"
)

// streamHost is leasehold host run, with its state folder and that of its sessions.
type streamHost struct {
	program
	dir, sessions string
}

// enrolHost makes a stream host of the server. At the end of the test nothing of it is left.
func enrolHost(t testing.TB, a *api, url string) *streamHost {
	t.Helper()
	root, err := os.MkdirTemp("", "lh")
	if err == nil {
		err = os.Chmod(root, 0o711) // the sessions' own accounts must get there
	}
	if err != nil {
		t.Fatal(err)
	}
	h := &streamHost{dir: filepath.Join(root, "state"), sessions: filepath.Join(root, "s")}
	if out, err := command(t, nil, "host", "enroll", "--server", url, "--key", a.enrolmentKey("host"), "--name", "HOST-1", "--state", h.dir); err != nil {
		t.Fatalf("enroll: %v: %s", err, out)
	}
	h.program = program{t: t, name: "the host", args: []string{"host", "run", "--state", h.dir, "--sessions", h.sessions, "--slots", "10"}}
	t.Cleanup(h.logTail)
	t.Cleanup(func() {
		h.stop(syscall.SIGTERM)
		h.endSessions()
		os.RemoveAll(root)
	})
	return h
}

// endSessions ends what outlives the host: its sessions.
func (h *streamHost) endSessions() {
	h.t.Helper()
	r, err := display.New(display.Config{
		Runs: filepath.Join(h.dir, "runs"), Sessions: h.sessions,
		Clean: func(dir string) []string { return []string{leasehold, "stage", "clean", dir} },
	})
	if err != nil {
		h.t.Error(err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	runs, err := r.Recover(ctx)
	if err != nil {
		h.t.Error(err)
	}
	for _, run := range runs {
		if _, err := runner.End(ctx, run, "end of the test"); err != nil {
			h.t.Error(err)
		}
	}
}

// left lists what is there of sessions on the host.
func (h *streamHost) left() []string {
	entries, _ := os.ReadDir(h.sessions)
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

// typed is what the app of a session has written down.
func (h *streamHost) typed(session int64) string {
	files, _ := filepath.Glob(filepath.Join(h.sessions, fmt.Sprintf("%d.1", session), "*", "typed"))
	var all []string
	for _, f := range files {
		b, _ := os.ReadFile(f)
		all = append(all, string(b))
	}
	return strings.Join(all, "")
}

// streamed adds an app that writes down, line by line, what is typed into it.
func (o *organisation) streamed(name string, settings object) int64 {
	o.t.Helper()
	app := o.create("apps", object{"name": name, "description": "Writes down what is typed."})
	method := o.create("delivery-methods", object{
		"app_id": app, "name": name + ", streamed", "kind": "stream", "stream": settings,
		"packages": []object{{"type": "command", "command": []string{"xterm", "-e", "sh", "-c", `cat >> "$HOME/typed"`}}},
	})
	o.create("provisions", object{"name": name + " for chemists", "group_ids": []int64{o.group}, "delivery_method_ids": []int64{method}, "enabled": true})
	return app
}

// launchStream launches the app in the portal and waits until it is seen.
func launchStream(w *window, app string) int64 {
	w.T.Helper()
	w.Open("/")
	w.Click(fmt.Sprintf(`button[aria-label="Launch %s"]`, app))
	w.Wait(`location.pathname.startsWith('/streams/')`)
	w.seeApp()
	var id int64
	fmt.Sscanf(w.Text(`location.pathname`), "/streams/%d", &id)
	return id
}

// seeApp waits until the viewer shows the app.
func (w *window) seeApp() {
	w.T.Helper()
	w.Wait(`document.querySelector('#viewer').dataset.phase === 'shown'`)
}

// TestStreams: a streamed app in the browser, from its launch to each of its ends, and the
// screen that ends them.
func TestStreams(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	s := newServer(t, "--data", data)
	s.up()
	root := s.signIn(adminName, adminPassword)
	org := seed(root)
	app := org.streamed("Writer", object{"geometry": "1000x700", "reconnect_seconds": 6, "idle_seconds": 0, "max_seconds": 0, "pool": ""})
	h := enrolHost(t, root, s.url)
	if err := h.start(); err != nil {
		t.Fatal(err)
	}
	user := s.signIn("ann", userPassword)
	eventually(t, 30*time.Second, "the host takes sessions", func() bool {
		l, err := user.launch(app, 0)
		if err == nil {
			root.awaitStatus(l.Session.ID, "connected")
			root.call("POST", fmt.Sprintf("/sessions/%d/kill", l.Session.ID), object{}, nil)
		}
		return err == nil
	})
	b := browsertest.New(t)
	admin := signedIn(b, s.url, adminName, adminPassword)
	ann := signedIn(b, s.url, "ann", userPassword)
	admin.Open("/admin/streams")

	// What is typed arrives on the host; after a reload it is the same app.
	first := launchStream(ann, "Writer")
	ann.Write("hello from the browser\r")
	eventually(t, 20*time.Second, "what was typed is in a file on the host", func() bool { return strings.Contains(h.typed(first), "hello from the browser\n") })
	ann.Picture("stream-live")
	ann.Do(chromedp.Reload())
	ann.seeApp()
	ann.Write("and again\r")
	eventually(t, 20*time.Second, "it is the same app", func() bool { return h.typed(first) == "hello from the browser\nand again\n" })
	admin.Open("/admin/streams")
	admin.awaitRow(first, "connected")

	// Nobody watches it; and then nobody comes back.
	ann.Open("/")
	admin.Wait(fmt.Sprintf(`document.querySelector('#s%d .st').innerText.includes('nobody watching')`, first))
	admin.awaitRow(first, "disconnected")
	if st := root.session(first); st.StatusReason != "nobody came back within 6 s" {
		t.Errorf("reason %q", st.StatusReason)
	}
	eventually(t, 20*time.Second, "nothing of it is left", func() bool { return len(h.left()) == 0 })

	// A kill: the viewer says so, and the processes are gone.
	second := launchStream(ann, "Writer")
	root.call("POST", fmt.Sprintf("/sessions/%d/message", second), object{"text": "The exam ends."}, nil)
	ann.Wait(`document.querySelector('.v-text')?.textContent === 'The exam ends.'`)
	admin.Open(fmt.Sprintf("/admin/sessions/%d", second))
	admin.Wait(`document.querySelector('main').innerText.includes('message shown')`)
	admin.Open("/admin/streams")
	admin.act(second, "kill", "it hangs")
	admin.awaitRow(second, "killed")
	ann.Wait(`document.querySelector('#viewer').dataset.phase === 'ended' && document.querySelector('#cover-text').innerText.includes('It hangs')`)
	ann.Picture("stream-killed")
	eventually(t, 20*time.Second, "its processes are gone", func() bool { return len(h.left()) == 0 })

	// Its user ends it.
	third := launchStream(ann, "Writer")
	ann.Run(`document.querySelector('#end').click()`)
	ann.Wait(`document.querySelector('#end-dialog[open]')`)
	ann.Click(`#end-sure`)
	ann.Wait(`document.querySelector('#viewer').dataset.phase === 'ended'`)
	if st := root.awaitStatus(third, "disconnected"); st.StatusReason != "ended by its user" {
		t.Errorf("reason %q", st.StatusReason)
	}

	// Five of eight are ticked and killed; the others go on.
	var ids []int64
	for range 8 {
		ids = append(ids, user.mustLaunch(app, 0).Session.ID)
	}
	for _, id := range ids {
		root.awaitStatus(id, "connected")
	}
	admin.Open("/admin/streams")
	for _, id := range ids[:5] {
		admin.Click(fmt.Sprintf(`#s%d input[type=checkbox]`, id))
	}
	admin.Click(`.mass button[type=submit]`)
	admin.Wait(`document.querySelector('#dialog[open] form[data-confirm]')`)
	admin.Picture("streams-kill-five")
	admin.Click(`#dialog button[type=submit]`)
	for _, id := range ids[:5] {
		admin.awaitRow(id, "killed")
	}
	admin.Wait(`document.querySelector('.toast')?.innerText.includes('5')`)
	for _, id := range ids[5:] {
		if st := root.session(id).Status; st == "killed" {
			t.Errorf("session %d is killed, and was not ticked", id)
		}
	}

	// What was exported is what the database has.
	for _, id := range ids[5:] {
		root.call("POST", fmt.Sprintf("/sessions/%d/kill", id), object{}, nil)
	}
	compareExport(t, exportStreams(t, admin.Window), streamsInDatabase(t, filepath.Join(data, "leasehold.db")))
}
