package web

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"leasehold/internal/catalog"
	"leasehold/internal/control"
	"leasehold/internal/directory"
	"leasehold/internal/export"
	"leasehold/internal/lease"
	"leasehold/internal/servertest"
	"leasehold/internal/session"
	"leasehold/internal/store"
	"leasehold/internal/wire"
)

// streams is a stream host that says what the test has it say, and an app of its.
type streams struct {
	s      *site
	host   int64
	app    int64
	number uint64
	seq    uint64
	token  string
	grant  uint64
	states map[int64]*wire.SessionState
}

func (s *site) streams() *streams {
	s.t.Helper()
	ctx := s.t.Context()
	key, _, err := s.c.NewEnrolmentKey(ctx, s.root, control.KeyTerms{Kind: wire.Host, Approved: true})
	s.must(err)
	e, err := s.c.Enrol(ctx, &wire.Enrol{V: wire.Version, Key: key, Kind: wire.Host, Name: "HOST-1", OS: "linux", Arch: "amd64", Version: "1"}, "test")
	s.must(err)
	a := &catalog.App{Name: "Blender", Description: "Modelling and rendering"}
	s.must(s.c.CreateApp(ctx, s.root, a))
	d := &catalog.DeliveryMethod{AppID: a.ID, Name: "Blender streamed", Kind: session.Stream, Packages: []catalog.Package{{Type: catalog.Command, Command: []string{"blender"}}}}
	s.must(s.c.CreateDeliveryMethod(ctx, s.root, d))
	p := &directory.Provision{Name: "Design", UserIDs: []int64{s.ann.ID, s.admin.ID}, DeliveryMethodIDs: []int64{d.ID}, Enabled: true}
	s.must(s.c.CreateProvision(ctx, s.root, p))
	h := &streams{s: s, host: e.AgentID, app: a.ID, states: map[int64]*wire.SessionState{}}
	h.say()
	s.c.Beat(ctx)
	return h
}

func (h *streams) say(list ...wire.Observation) {
	h.s.t.Helper()
	h.number++
	m := &wire.CheckIn{V: wire.Version, Number: h.number, Token: h.token, Granted: h.grant, Epoch: 1, Complete: true, Slots: 50}
	for _, o := range list {
		h.seq++
		o.Seq, o.At = h.seq, time.Now()
		m.Observations = append(m.Observations, o)
	}
	for _, st := range h.states {
		m.Sessions = append(m.Sessions, *st)
	}
	a, err := h.s.c.CheckIn(h.s.t.Context(), h.host, m, "")
	h.s.must(err)
	if a.Token != "" {
		h.token, h.grant = a.Token, a.Number
	}
	for _, d := range a.Directives {
		if d.Type == wire.DirAdd {
			h.states[d.Session] = &wire.SessionState{Session: d.Session, State: session.IsRunning, Run: 1, Guard: true, Method: d.App.DeliveryMethod, RunMethod: d.App.DeliveryMethod}
		}
	}
}

// launch makes a session of a user's; up: it is connected.
func (h *streams) launch(who control.Who, up bool) int64 {
	h.s.t.Helper()
	l, err := h.s.c.Launch(h.s.t.Context(), who, h.app, 0)
	h.s.must(err)
	id := l.Session.ID
	if up {
		h.say()
		st := h.states[id]
		st.Up, st.Viewers = true, 1
		h.say(wire.Observation{Type: session.ObsStarted, Session: id, Run: 1}, wire.Observation{Type: session.ObsUp, Session: id, Run: 1})
		st.Holds = true
	}
	return id
}

// end lets a session's run end.
func (h *streams) end(id int64, reason string) {
	h.s.t.Helper()
	delete(h.states, id)
	h.say(wire.Observation{Type: session.ObsExited, Session: id, Run: 1, Reason: reason}, wire.Observation{Type: session.ObsRemoved, Session: id, UpTo: 1})
}

// TestStreamsScreen: what the screen of streamed sessions shows and does, without scripts.
func TestStreamsScreen(t *testing.T) {
	s := newSite(t)
	h := s.streams()
	ann, olga := control.WhoIs(s.ann, "test"), control.WhoIs(s.admin, "test")
	watched, ended, unwatched, starting := h.launch(ann, true), h.launch(ann, true), h.launch(olga, true), h.launch(olga, false)
	h.end(ended, "nobody came back within 5 min")
	now := time.Now()
	h.states[unwatched].Viewers, h.states[unwatched].UnwatchedSince = 0, &now
	h.say()

	page := s.as("olga").get(streamsPath).is(200).
		has("streamed apps", "Session ID", "Name", "Email", "App name", "Start time", "Duration", "Status", "Operations", "Kill the selected session(s)", "Update").
		has("Ann Berg", `<small class="under">ann</small>`, "Blender", "connected", "nobody watching", "disconnected", "nobody came back within 5 min", "starting")
	row := func(id int64) string {
		t.Helper()
		_, after, ok := strings.Cut(page.body, fmt.Sprintf(`<tr id="s%d"`, id))
		if !ok {
			t.Fatalf("session %d is not listed", id)
		}
		r, _, _ := strings.Cut(after, "</tr>")
		return r
	}
	// The box is active, and the link there, only where a kill applies.
	for id, can := range map[int64]bool{watched: true, unwatched: true, ended: false, starting: false} {
		if got := !strings.Contains(row(id), " disabled"); got != can {
			t.Errorf("session %d can be ticked: %v, want %v", id, got, can)
		}
		if got := strings.Contains(row(id), `data-act="kill"`); got != can {
			t.Errorf("session %d has Kill: %v, want %v", id, got, can)
		}
	}
	if strings.Index(page.body, fmt.Sprintf(`id="s%d"`, starting)) > strings.Index(page.body, fmt.Sprintf(`id="s%d"`, watched)) {
		t.Error("the first sort is not by session id, newest first")
	}

	// Filter: Username or Email, and contains.
	s.as("olga").get(streamsPath+"/filter?by=person").is(200).has("Username", "Email", "Contains", "Reset")
	s.as("olga").get(streamsPath+"?field=username&contains=ERG").has("2 sessions", "username contains").lacks(`id="s` + num(unwatched) + `"`)
	s.as("olga").get(streamsPath + "?email=zzz").has("No sessions match these filters")
	s.as("olga").get(streamsPath + "?status=connected&host_id=" + num(h.host)).has("2 sessions").lacks(`id="s` + num(ended) + `"`)
	// Device apps are elsewhere.
	s.as("olga").get(sessionsPath).lacks("Blender")

	// Kill one, with its dialog.
	s.as("olga").get("/admin/sessions/"+num(watched)+"/kill").is(200).has("Kill Ann Berg’s Blender on HOST-1", "ends at once", "saves nothing", "Revoke access")
	s.as("olga").post("/admin/sessions/"+num(watched)+"/kill", vals("reason", "it hangs")).is(200).has("is killed")
	s.as("olga").get("/admin/sessions/"+num(watched)).has("killed", "it hangs", "Host", "HOST-1")
	// Many, of which those that it does not apply to are skipped.
	s.as("olga").post("/admin/batches", vals("of", "ticked", "action", "kill", "return", streamsPath, "session", num(unwatched), "session", num(ended))).is(200).
		has("Kill 1 session", "1 session skipped", "ends at once, without a warning")
	// A starting one can be cancelled on its page.
	s.as("olga").get("/admin/sessions/"+num(starting)).has("It is connected when its display and its app are up", "/cancel")
	s.as("olga").get("/admin/hosts").has("HOST-1", "default", "50")
	s.as("olga").get("/admin/hosts/"+num(h.host)).has("on this host", "Pool")
	s.as("olga").post("/admin/hosts/"+num(h.host), vals("name", "HOST-1", "pool", "gpu")).is(200).has("gpu")
	// What the list calls it may be typed.
	s.as("olga").post("/admin/hosts/"+num(h.host), vals("name", "HOST-1", "pool", "default")).is(200).has("default")
	s.as("olga").get("/admin/hosts/" + num(h.host)).has(`name="pool" type="text" value=""`)
	s.as("olga").post("/admin/hosts/"+num(h.host), vals("name", "HOST-1", "pool", "gpu")).is(200)
	s.as("ann").get(streamsPath).is(403)
}

// A stream whose lease is over is not running, whatever its host was last heard to say; a
// device's app may be, in the authorisation wait.
func TestEndedStreamIsNotSeenRunning(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		s    session.Session
		want string
	}{
		{session.Session{Kind: session.Stream, Status: session.Disconnected}, ""},
		{session.Session{Kind: session.Stream, Status: session.Killed, Lease: &lease.Grant{}}, "still seen running"},
		{session.Session{Kind: session.Device, Status: session.Expired}, "still seen running"},
	} {
		c.s.Observed = session.IsRunning
		if got := statusOf(&store.SessionRow{Session: &c.s}, now).Extra; (got == "still seen running") != (c.want != "") {
			t.Errorf("%s: %q", c.s.Status, got)
		}
	}
}

// TestStreamsSort: a click on a header sorts by it, a second click reverses.
func TestStreamsSort(t *testing.T) {
	s := newSite(t)
	h := s.streams()
	ann, olga := control.WhoIs(s.ann, "test"), control.WhoIs(s.admin, "test")
	for _, who := range []control.Who{ann, olga, ann} {
		h.launch(who, who == ann)
	}
	w := s.window()
	w.Open(streamsPath)
	order := `[...document.querySelectorAll('#list tbody tr')].map((r) => r.id).join(' ')`
	for _, c := range []struct{ header, first, second string }{
		{"Session ID", "s1 s2 s3", "s3 s2 s1"},
		{"Name", "s1 s3 s2", "s2 s3 s1"}, // Ann Berg, olga
		{"App name", "s1 s2 s3", "s3 s2 s1"},
		{"Start time", "s1 s2 s3", "s3 s2 s1"},
		{"Status", "s1 s3 s2", "s2 s3 s1"}, // connected, starting
		{"Duration", "s3 s2 s1", "s1 s2 s3"},
	} {
		for _, want := range []string{c.first, c.second} {
			w.Run(fmt.Sprintf(`[...document.querySelectorAll('#list thead a')].find((a) => a.innerText.trim() === %q).click()`, c.header))
			w.Wait(fmt.Sprintf(`document.querySelector('#list thead th[aria-sort]')?.innerText.trim() === %q && %s === %q`, c.header, order, want))
		}
	}
}

// TestStreamsByDuration: the list goes by how long sessions have been, those that have ended
// among those that go on, first to last and back; a second click reverses.
func TestStreamsByDuration(t *testing.T) {
	s := newSite(t)
	h := s.streams()
	ann := control.WhoIs(s.ann, "test")
	short := h.launch(ann, true)
	h.end(short, "its user left")
	long, middle := h.launch(ann, true), h.launch(ann, false)
	d, err := s.c.Session(t.Context(), short)
	s.must(err)
	time.Sleep(d.Row.Duration(d.Now) + 10*time.Millisecond) // so that the others have been longer
	olga := s.as("olga")
	header := func(a *answer) string {
		t.Helper()
		_, after, _ := strings.Cut(a.body, `<th scope="col" class="w-for"`)
		h, _, ok := strings.Cut(after, "</th>")
		if !ok {
			t.Fatal("there is no column of durations")
		}
		return h
	}
	first := []string{num(long), num(middle), num(short)}
	for i, sort := range []string{"-duration", "duration"} {
		a := olga.get(streamsPath + "?sort=" + sort).is(200)
		same := func(a *answer, want ...string) *answer {
			t.Helper()
			if got := rowsOf(a); !slices.Equal(got, want) {
				t.Errorf("%s: rows %v, want %v", a.path, got, want)
			}
			return a
		}
		if i == 1 {
			slices.Reverse(first)
		}
		same(a, first...)
		if got, want := header(a), []string{`aria-sort="descending"`, `aria-sort="ascending"`}[i]; !strings.Contains(got, want) || !strings.Contains(got, "sort="+[]string{"duration", "-duration"}[i]+`"`) {
			t.Errorf("sorted by %s, its header is %s", sort, got)
		}
		one := same(olga.get(streamsPath+"?page_size=1&sort="+sort), first[0])
		two := same(olga.get(link(t, one, "Next")), first[1])
		same(olga.get(link(t, olga.get(link(t, two, "Next")), "Previous")), first[1])
		same(olga.get(link(t, two, "Previous")), first[0])
		last := same(olga.get(link(t, two, "Last")), first[2]).has(`aria-disabled="true">Next`)
		same(olga.get(link(t, last, "Previous")), first[1])
		same(olga.get(streamsPath+"?status=connected&status=starting&sort="+sort), slices.DeleteFunc(slices.Clone(first), func(id string) bool { return id == num(short) })...)
		// A place in another order is none in this one.
		olga.get(strings.Replace(link(t, one, "Next"), "duration", "started_at", 1)).is(400).has("This page of the list is gone")
	}
	if !strings.Contains(header(olga.get(streamsPath)), `sort=duration"`) {
		t.Error("the first click does not put the shortest first")
	}
	olga.get(sessionsPath + "?sort=-duration").is(200)
}

// TestStreamMethodForm: an administrator makes and changes a streamed delivery method in the
// pages; each mistake is said at its field.
func TestStreamMethodForm(t *testing.T) {
	s := newSite(t)
	a := &catalog.App{Name: "Blender"}
	s.must(s.c.CreateApp(t.Context(), s.root, a))
	olga := s.as("olga")
	form := func(more ...string) url.Values {
		v := vals("app_id", num(a.ID), "kind", "stream", "name", "Blender streamed", "heartbeat_seconds", "10 s", "licence.seats", "5",
			"stream.geometry", "1600x900", "stream.reconnect_seconds", "5 min", "stream.idle_seconds", "1 h", "stream.max_seconds", "", "stream.pool", "gpu", "clipboard", "true",
			"packages", "1", "packages.0.type", "command", "packages.0.command", "blender")
		for i := 0; i < len(more); i += 2 {
			v.Set(more[i], more[i+1])
		}
		return v
	}
	olga.get("/admin/delivery-methods/new").is(200).has("Where it runs", "streamed into the browser", "Reconnection window", `value="1280x800"`)
	olga.post("/admin/delivery-methods", form("stream.idle_seconds", "soon")).is(422).has("Must be a length of time", `value="soon"`, `value="stream" selected`)
	olga.post("/admin/delivery-methods", form("stream.geometry", "wide")).is(422).has("Must be width x height", `value="wide"`)
	olga.post("/admin/delivery-methods", form("stream.allow", "10.1.2.3")).is(422).has("Must be networks with a port", `value="10.1.2.3"`)
	olga.post("/admin/delivery-methods", form("stream.sandbox", "off")).is(422)
	olga.post("/admin/delivery-methods", form("stream.sandbox", "nested", "stream.allow", "10.1.2.3:27000, 10.9.0.0/16:443")).is(200).has("The delivery method is made.")
	d, err := s.c.DeliveryMethod(t.Context(), 1)
	s.must(err)
	want := catalog.StreamSettings{Geometry: "1600x900", ReconnectSeconds: 300, IdleSeconds: 3600, Pool: "gpu",
		Sandbox: catalog.NestedSandbox, Network: catalog.Internet, Allow: []string{"10.1.2.3:27000", "10.9.0.0/16:443"}}
	if d.Kind != session.Stream || d.Stream == nil || !reflect.DeepEqual(*d.Stream, want) || d.Licence.Seats != 5 || len(d.WarningsSeconds) != 0 || d.HeartbeatSeconds != 10 {
		t.Errorf("made %+v, %+v", d, d.Stream)
	}
	page := "/admin/delivery-methods/1"
	olga.get(page).is(200).has("runs on a host", `value="nested" selected`, `value="10.1.2.3:27000, 10.9.0.0/16:443"`, `value="gpu"`, `value="5 min"`, "/admin/streams?delivery_method_id=1").lacks("Where it runs", `name="warnings_seconds"`, `name="licence.type"`)
	olga.post(page, vals("name", "Blender streamed", "heartbeat_seconds", "10 s", "licence.seats", "", "stream.geometry", "800x600", "stream.reconnect_seconds", "0",
		"stream.idle_seconds", "", "stream.max_seconds", "8 h", "stream.pool", "", "packages", "1", "packages.0.type", "command", "packages.0.command", "blender")).is(200)
	if d, err = s.c.DeliveryMethod(t.Context(), 1); err != nil || !reflect.DeepEqual(*d.Stream, catalog.StreamSettings{Geometry: "800x600", MaxSeconds: 8 * 3600, ClipboardOff: true, Sandbox: catalog.StrictSandbox, Network: catalog.Internet}) || d.Licence.Seats != 0 {
		t.Errorf("changed to %+v, %v", d.Stream, err)
	}
}

// TestExportStreamsInTheBrowser: the file has every streamed session of the period, prior
// ones too, and no other, cell by cell as the database.
func TestExportStreamsInTheBrowser(t *testing.T) {
	s := newSite(t)
	other, _ := s.app("MATLAB")
	s.launch(other.ID, 0, false)
	h := s.streams()
	ann, olga := control.WhoIs(s.ann, "test"), control.WhoIs(s.admin, "test")
	ended := h.launch(ann, true)
	h.end(ended, "=the app was closed, \"by itself\"")
	h.launch(olga, true)
	h.launch(ann, false)
	_, err := s.c.Act(t.Context(), s.root, h.launch(ann, true), session.Kill, "it hangs")
	s.must(err)

	w := s.window()
	dir := t.TempDir()
	w.Downloads(dir)
	w.Open(streamsPath + "?page_size=2") // what is on screen does not count
	w.Click(`#list a[href*="/export"]`)
	w.Wait(`document.querySelector('#dialog[open] h1')?.innerText === 'Select range'`)
	w.Click(`#dialog button[type=submit]`)
	w.Wait(`document.querySelector('#told [data-told]')`)
	today := time.Now().UTC()
	file := filepath.Join(dir, fmt.Sprintf("sessions-%s01-to-%s.csv", today.Format("2006-01-"), today.Format(time.DateOnly)))
	servertest.Eventually(t, 20*time.Second, file+" is in the download folder", func() bool {
		st, err := os.Stat(file)
		return err == nil && st.Size() > 0
	})
	b, err := os.ReadFile(file)
	s.must(err)
	got, err := csv.NewReader(bytes.NewReader(b)).ReadAll()
	s.must(err)
	db := s.fromDatabase(session.Stream, time.UTC)
	if len(got) != len(db)+1 || len(db) != 4 {
		t.Fatalf("%d sessions in the database: %q", len(db), got)
	}
	for i, row := range db {
		for j, cell := range row {
			if export.Columns[j] == "Duration (seconds)" {
				if n, err := strconv.Atoi(got[i+1][j]); err != nil || n > 60 {
					t.Errorf("session %s lasted %q", row[0], got[i+1][j]) // no column has it: it goes on
				}
				continue
			}
			if got[i+1][j] != export.Cell(cell) {
				t.Errorf("session %s, %s: %q, in the database %q", row[0], export.Columns[j], got[i+1][j], cell)
			}
		}
	}
	w.Quiet()
}
