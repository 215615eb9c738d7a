package web

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"leasehold/internal/control"
	"leasehold/internal/session"
	"leasehold/internal/store"
)

// Without the script the mass actions are plain forms and pages.
func TestBatch(t *testing.T) {
	s := newSite(t)
	app, _ := s.app("MATLAB")
	lab := s.device("LAB-204")
	runs, idle := s.launch(app.ID, lab, true), s.launch(app.ID, 0, false)
	olga := s.as("olga")
	list := olga.get("/admin/sessions?q=mat").has(`name="filter" value="q=mat"`, "Everything that matches (2)", `value="evict"`, `value="expire"`)
	list.lacks(`value="kill"`)
	olga.get("/admin/sessions").has("All sessions (2)")

	back := "/admin/sessions?q=mat"
	ticks := vals("action", "evict", "of", "ticked", "session", num(runs), "session", num(idle), "return", back)
	a := olga.post("/admin/batches", ticks).is(200).has("Evict 1 session</h1>", "MATLAB", "1 session skipped", "The session is launched; evict applies to", "1 MATLAB", "can launch them again", `name="reason"`)
	if !strings.HasPrefix(a.path, "/admin/batches/1?") {
		t.Errorf("asked at %s", a.path)
	}
	olga.get("/admin/sessions").has("running") // nothing is done yet
	olga.post("/admin/batches/1/run", vals("reason", strings.Repeat("x", 501), "return", back)).is(422).has("Must have at most 500 characters.", `aria-invalid="true"`)
	a = olga.post("/admin/batches/1/run", vals("reason", "tidying", "return", back)).is(200).has("1 session evicted, 1 skipped.", `href="/admin/batches/1"`)
	if a.path != back {
		t.Errorf("back at %s", a.path)
	}
	olga.get("/admin/batches/1").is(200).has("Evict 2 sessions", "2 ticked rows", "tidying", "done", "1 applied · 1 skipped", "admin olga", "evicted", "The session is launched"[4:], "/admin/sessions/"+num(runs))
	olga.get("/admin/batches/1?outcome=skipped").has("launched").lacks(fmt.Sprintf(`id="b%d"`, runs))
	olga.get("/admin/batches/1?outcome=nonsense").is(400).has("Outcome")
	olga.get("/admin/batches/1?after=x").is(400).has("After")
	olga.get("/admin/batches").has("Evict 2 sessions", "1 applied, 1 skipped", "tidying")
	olga.get("/admin/audit").has("batch evict", `href="/admin/batches/1"`)
	olga.get("/admin/batches/99").is(404)
	// Accepting it twice does it once.
	olga.post("/admin/batches/1/run", vals("return", back)).is(200).has("1 session evicted, 1 skipped.")
	// Whoever wanted it for another reason learns that it is not what happened.
	olga.post("/admin/batches/1/run", vals("reason", "a fire", "return", back)).is(409).has("Nothing was begun", "batch 1 was begun already, by admin olga with the reason “tidying”").lacks(`name="reason"`)

	olga.post("/admin/batches", vals("action", "evict", "of", "ticked")).is(422).has("No row is ticked").lacks(`name="reason"`)
	olga.post("/admin/batches", vals("action", "explode", "of", "ticked", "session", "1")).is(400).has("Action")
	olga.post("/admin/batches", vals("action", "expire", "session", num(idle))).is(200).has("Nothing to expire", "Expire applies to none").lacks(`name="reason"`)
	olga.post("/admin/batches", vals("action", "expire", "session", "4711")).is(200).has("There is no session of this number")
	olga.post("/admin/batches", vals("action", "expire", "of", "filter", "filter", "q=nosuch")).is(200).has("Nothing matches")
	olga.post("/admin/batches", vals("action", "expire", "of", "filter", "filter", "app_id=x")).is(400)
	s.as("ann").post("/admin/batches", ticks).is(403)

	// Where a reason is a duty the form says so, and the server too.
	_, err := s.c.UpdateSettings(t.Context(), s.root, func(set *control.Settings) error { set.ReasonRequired = true; return nil })
	s.must(err)
	a = olga.post("/admin/batches", vals("action", "expire", "of", "filter", "filter", "status=evicted")).is(200).has("Expire 1 session", `aria-required="true"`)
	id := regexp.MustCompile(`action="(/admin/batches/\d+)/run"`).FindStringSubmatch(a.body)[1]
	olga.post(id+"/run", vals("reason", " ")).is(422).has("Is required by the settings")
	olga.post(id+"/run", vals("reason", "term is over")).is(200).has("1 session expired.")
	olga.get(id).has("Everything that matched status: evicted", "term is over")
}

// Filters by time stand in the address, are chips, and keep their pages together.
func TestFiltersByTime(t *testing.T) {
	s := newSite(t)
	app, _ := s.app("MATLAB")
	for range 3 {
		s.launch(app.ID, 0, false)
	}
	olga := s.as("olga")
	olga.get("/admin/sessions?older_seconds=3600").is(200).has("started:</span> more than 1 hour ago", "No sessions match these filters")
	olga.get("/admin/sessions?silent_seconds=900").is(200).has("silent for:</span> 15 minutes or more", "No sessions match these filters")
	today := time.Now().UTC().Format(time.DateOnly)
	olga.get("/admin/sessions?from="+today+"&to="+today).is(200).has("3 sessions", "started from:</span> "+today, "started to:</span> "+today)
	olga.get("/admin/sessions?from=2001-01-01&to=2001-01-02").is(200).has("No sessions match")
	for bad, says := range map[string]string{"from=yesterday": "From", "from=2026-02-02&to=2026-02-01": "To must not be before", "older_seconds=x": "Started must be a whole number", "user_id=-1": "User must be at least 1", "silent_seconds=99999999999999": "Silent for must be at most 100 years"} {
		olga.get("/admin/sessions?" + bad).is(400).has(says)
	}
	olga.get("/admin/sessions/filter?by=silent&status=added").is(200).has("15 minutes or more", "silent_seconds=900&amp;status=added")
	olga.get("/admin/sessions/filter?by=started&older_seconds=86400&q=x").is(200).has("More than 1 day ago", `aria-current="true"`, `type="date"`, `name="q" value="x"`)

	now := time.Now()
	q, err := readSessionQuery(session.Device, vals("silent_seconds", "300", "page_token", "t"), now, time.UTC)
	s.must(err)
	again, err := readSessionQuery(session.Device, q.values(), now.Add(time.Hour), time.UTC)
	s.must(err)
	if !again.SilentSince.Equal(q.SilentSince) {
		t.Errorf("the next page counts back to %s, the first to %s", again.SilentSince, q.SilentSince)
	}
	if q.with(func(*sessionQuery) {}).values().Has("as_of") {
		t.Error("the first page is not of now")
	}
}

// remove takes a session off the list, as housekeeping does after its days.
func (s *site) remove(id int64) {
	s.t.Helper()
	s.must(s.c.Store.Update(s.t.Context(), func(tx store.Tx) error {
		x, err := tx.LockSession(id)
		if err != nil {
			return err
		}
		before := store.Clone(x)
		x.Delete(tx.WallNow())
		return tx.SaveSession(before, x)
	}))
}

// Deleted sessions stay findable, and nothing can be done to them.
func TestHistory(t *testing.T) {
	s := newSite(t)
	app, _ := s.app("MATLAB")
	lab := s.device("LAB-204")
	id := s.launch(app.ID, lab, true)
	s.exit(lab, id)
	_, err := s.c.Act(t.Context(), s.root, id, session.Expire, "")
	s.must(err)
	s.remove(id)
	olga := s.as("olga")
	olga.get("/admin/sessions").is(200).has("No sessions yet")
	olga.get("/admin/sessions?history=true").is(200).has("expired", "deleted", `class="gone"`, `href="/admin/sessions/`+num(id)+`"`).lacks("data-act", `name="session"`)
}

// What keeps an app from being added, and how far that is, stands beside the status.
func TestStatusSaysWhatIsInTheWay(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		s    session.Session
		want string
	}{
		{session.Session{Status: session.Launched, Progress: 42}, "adding 42%"},
		{session.Session{Status: session.Launched, Progress: 42, Problem: "The disk is full"}, "could not be added"},
		{session.Session{Status: session.UpgradeRequested, Problem: "The disk is full"}, "could not be upgraded"},
		{session.Session{Status: session.Added, Progress: 100}, ""},
		{session.Session{Status: session.Removed, Problem: "The disk is full"}, ""},
	} {
		st := statusOf(&store.SessionRow{Session: &c.s}, now)
		if st.Extra != c.want {
			t.Errorf("%s: %q, want %q", c.s.Status, st.Extra, c.want)
		}
		if c.want != "" && c.s.Problem != "" && st.Note != c.s.Problem {
			t.Errorf("%s: the problem is not told: %q", c.s.Status, st.Note)
		}
	}
}
