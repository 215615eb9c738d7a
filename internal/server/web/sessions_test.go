package web

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"leasehold/internal/session"
	"leasehold/internal/wire"
)

// rowsOf lists the numbers of the sessions that a page shows, in order.
func rowsOf(a *answer) []string {
	var out []string
	for _, m := range regexp.MustCompile(`<tr id="s(\d+)"`).FindAllStringSubmatch(a.body, -1) {
		out = append(out, m[1])
	}
	return out
}

// link finds the address of the link with this text.
func link(t *testing.T, a *answer, text string) string {
	t.Helper()
	m := regexp.MustCompile(`<a[^>]*href="([^"]*)"[^>]*>` + regexp.QuoteMeta(text) + `</a>`).FindStringSubmatch(a.body)
	if m == nil {
		t.Fatalf("%s: no link %q\n%s", a.path, text, a.main())
	}
	return strings.ReplaceAll(m[1], "&amp;", "&")
}

func TestSessionsList(t *testing.T) {
	s := newSite(t)
	matlab, _ := s.app("MATLAB")
	spss, _ := s.app("SPSS")
	lab := s.device("LAB-204")
	one := s.launch(matlab.ID, lab, true)
	two := s.launch(spss.ID, lab, false)
	olga := s.as("olga")

	a := olga.get("/admin/sessions").is(200).has("2 sessions", "Ann Berg", "MATLAB online", "LAB-204", "running", "launched",
		fmt.Sprintf(`href="/admin/sessions/%d/evict"`, one))
	if got := rowsOf(a); fmt.Sprint(got) != fmt.Sprint([]string{num(two), num(one)}) {
		t.Errorf("rows %v: want the newest first", got)
	}
	// A launched session offers nothing; the table says so, not the page.
	a.lacks(fmt.Sprintf("/admin/sessions/%d/evict", two), fmt.Sprintf("/admin/sessions/%d/expire", two))

	olga.get("/admin/sessions?q=atl").is(200).has("1 session<", `value="atl"`).lacks("SPSS online")
	olga.get("/admin/sessions?q=nosuch").is(200).has("No sessions match <strong>nosuch</strong>", "Clear search")
	olga.get("/admin/sessions?status=running").is(200).has(">status:</span> running", "1 session<").lacks("SPSS online")
	a = olga.get("/admin/sessions?status=running&status=launched&app_id="+num(spss.ID)).is(200).has("app:</span> SPSS", "Clear all").lacks("MATLAB online")
	// Taking one filter off leaves the others.
	if off := link(t, a, "Clear all"); off != "/admin/sessions" {
		t.Errorf("Clear all leads to %s", off)
	}
	olga.get("/admin/sessions?app_id=999").is(200).has("app:</span> no. 999", "No sessions match these filters")

	olga.get("/admin/sessions").has(`href="/admin/sessions?history=true"`)
	olga.get("/admin/sessions?history=true&q=atl").is(200).has(`href="/admin/sessions?q=atl"`, "deleted ones too", "1 session<")
	for _, bad := range []string{"status=nonsense", "app_id=x", "sort=colour", "page_size=9999"} {
		olga.get("/admin/sessions?"+bad).is(400).has("This address is not right", "Without what is wrong", "Request <code>")
	}
	olga.get("/admin/sessions?page_token=forged").is(400).has("This page of the list is gone", "First page")
}

func TestSessionsPaging(t *testing.T) {
	s := newSite(t)
	app, _ := s.app("MATLAB")
	var want []string
	for range 7 {
		want = append([]string{num(s.launch(app.ID, 0, false))}, want...)
	}
	olga := s.as("olga")
	same := func(a *answer, from, to int) *answer {
		t.Helper()
		if got := rowsOf(a); fmt.Sprint(got) != fmt.Sprint(want[from:to]) {
			t.Errorf("%s: rows %v, want %v", a.path, got, want[from:to])
		}
		return a
	}
	a := same(olga.get("/admin/sessions?page_size=3"), 0, 3).has(`aria-disabled="true">Previous`, `aria-disabled="true">First`)
	b := same(olga.get(link(t, a, "Next")), 3, 6)
	c := same(olga.get(link(t, b, "Next")), 6, 7).has(`aria-disabled="true">Next`, `aria-disabled="true">Last`)
	same(olga.get(link(t, c, "Previous")), 3, 6)
	same(olga.get(link(t, b, "First")), 0, 3)
	// From the end: whole pages back to the beginning, none skipped and none twice.
	l := same(olga.get(link(t, a, "Last")), 4, 7).has(`aria-disabled="true">Next`)
	p := same(olga.get(link(t, l, "Previous")), 1, 4)
	same(olga.get(link(t, p, "Next")), 4, 7)
	same(olga.get(link(t, p, "Previous")), 0, 1)
	// A token belongs to its query.
	olga.get(strings.Replace(link(t, a, "Next"), "page_size=3", "page_size=3&q=matlab", 1)).is(400)
	// A second click on a header reverses.
	a = olga.get("/admin/sessions").has(`aria-sort="descending"`)
	if !strings.Contains(a.body, `href="/admin/sessions?sort=id"`) {
		t.Error("the number’s header does not reverse the order")
	}
	if got := rowsOf(olga.get("/admin/sessions?sort=id")); got[0] != want[6] {
		t.Errorf("sorted by number: %v", got)
	}
}

func TestFilterMenus(t *testing.T) {
	s := newSite(t)
	app, _ := s.app("MATLAB")
	s.app("SPSS")
	olga := s.as("olga")
	olga.get("/admin/sessions/filter?by=status&q=x").is(200).has("/admin/sessions?q=x&amp;status=running", "renewal requested")
	olga.get("/admin/sessions/filter?by=app&status=running").is(200).has("app_id="+num(app.ID)+"&amp;status=running", "SPSS")
	olga.get("/admin/sessions/filter?by=app&find=mat").is(200).has("MATLAB").lacks("SPSS")
	olga.get("/admin/sessions/filter?by=app&find=zzz").is(200).has("Nothing matches")
	olga.get("/admin/sessions/filter?by=nonsense").is(404)
}

func TestEvictAndExpire(t *testing.T) {
	s := newSite(t)
	app, _ := s.app("MATLAB")
	lab := s.device("LAB-204")
	id := s.launch(app.ID, lab, true)
	olga := s.as("olga")
	path := "/admin/sessions/" + num(id)

	// The dialog names app, person and device, says when, and what it does not do.
	olga.get(path+"/evict").is(200).has("Evict Ann Berg’s MATLAB on LAB-204", "closes within 7 minutes", "up to 5 minutes until the device checks in, then 2 minutes of warning",
		"does not take the app away", `name="reason"`, ">Evict</button>")
	olga.get(path + "/expire").is(200).has("Expire does not apply to it").lacks(">Expire</button>")
	olga.get(path + "/explode").is(404)
	olga.post(path+"/evict", vals("reason", strings.Repeat("x", 501))).is(422).has("Must have at most 500 characters.", `aria-invalid="true"`)
	olga.get(path).has("running")

	a := olga.post(path+"/evict", vals("reason", "Seats for the exam")).is(200)
	a.has("is evicted and closes by itself.", "Evict, asked by olga", "Seats for the exam", "Requested", "Delivered", "Warned", "Closed", "closes in", "at the latest", `class="c"`)
	if a.path != path {
		t.Errorf("after evicting at %s", a.path)
	}
	// Twice is a clear refusal that changes nothing.
	olga.post(path+"/evict", nil).is(409).has("Nothing was changed", "the session is evicted")
	olga.get("/admin/audit").has("session evict", "admin olga", "Seats for the exam", path)

	// Expire replaces it; the script gets the toast alone.
	b := olga.post(path+"/expire", nil, "HX-Request", "true").is(200).has("data-toast", "is expired.", path)
	b.lacks("<html")
	olga.get("/admin/sessions").has("expired")

	ag := s.agentOf(lab)
	ans := ag.report(t, id, session.IsRunning, wire.Observation{Type: session.ObsWarned, Run: 1, Seconds: 120})
	if len(ans.Directives) == 0 {
		t.Fatal("the device was told nothing")
	}
	ag.report(t, id, session.IsRunning, wire.Observation{Type: session.ObsRevoked, UpTo: ans.Directives[0].UpTo})
	olga.get(path).has("expire delivered")
	ag.report(t, id, session.IsRunning, wire.Observation{Type: session.ObsWarned, Run: 1, Seconds: 120})
	olga.get(path).has("user warned", "at the latest")
	// The device says when its guard closes the app: that is what everybody sees from then on.
	ag.states[id].ClosesMillis = 102_000
	ag.report(t, id, session.IsRunning, wire.Observation{Type: session.ObsWarned, Run: 1, Seconds: 60})
	olga.get(path).has("user warned", "1:4").lacks("at the latest")
	olga.get("/admin/sessions").has("closes in", "1:4").lacks("at the latest")
	s.as("ann").get("/").has("Running now", "closes in", "1:4").lacks("at the latest")
	ag.states[id].Ended = ans.Directives[0].UpTo
	s.exit(lab, id)
	olga.get(path).has("app closed", "closed by the device").lacks("closes in")
}

func TestLiveRows(t *testing.T) {
	s := newSite(t)
	app, _ := s.app("MATLAB")
	lab := s.device("LAB-204")
	id := s.launch(app.ID, lab, true)
	olga := s.as("olga")
	rows := "/admin/sessions?status=running&rows=" + num(id) + "&newest=" + num(id)
	olga.get(rows).is(200).has("running", `data-waiting=""`).lacks("<html")
	s.exit(lab, id)
	// The row stays and says what it is now, though it matches the filter no more.
	olga.get(rows).has("stopped", "/expire")
	s.launch(app.ID, 0, false)
	olga.get("/admin/sessions?rows=" + num(id) + "&newest=" + num(id)).has(`data-waiting="1 new session"`)
	olga.get("/admin/sessions?sort=id&rows=" + num(id) + "&newest=" + num(id)).has(`data-waiting=""`)
}

func TestEvents(t *testing.T) {
	s := newSite(t)
	app, _ := s.app("MATLAB")
	lab := s.device("LAB-204")
	id := s.launch(app.ID, lab, false)
	olga := s.as("olga")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	open := func(b *browser, path string) *bufio.Scanner {
		t.Helper()
		req, err := http.NewRequestWithContext(ctx, "GET", s.http.URL+path, nil)
		s.must(err)
		resp, err := b.client.Do(req)
		s.must(err)
		t.Cleanup(func() { resp.Body.Close() })
		if ct := resp.Header.Get("Content-Type"); resp.StatusCode != 200 || ct != "text/event-stream" {
			t.Fatalf("%s: %d %s", path, resp.StatusCode, ct)
		}
		return bufio.NewScanner(resp.Body)
	}
	wait := func(sc *bufio.Scanner, want string) {
		t.Helper()
		for sc.Scan() {
			if sc.Text() == want {
				return
			}
		}
		t.Fatalf("the stream ended without %q: %v", want, sc.Err())
	}
	all, one, own := open(olga, "/admin/sessions/events"), open(olga, "/admin/sessions/"+num(id)+"/events"), open(s.as("ann"), "/sessions/"+num(id)+"/events")
	for _, sc := range []*bufio.Scanner{all, one, own} {
		wait(sc, "event: now")
	}
	s.observe(lab, id)
	for _, sc := range []*bufio.Scanner{all, one, own} {
		wait(sc, "event: change")
	}
	// Nobody follows somebody else's session.
	olga.get("/sessions/" + num(id) + "/events").is(404)
	// A stop does not wait for open pages.
	s.web.Close()
	for all.Scan() {
	}
}

// TestPageSize holds a full page of sessions to its budget.
func TestPageSize(t *testing.T) {
	s := newSite(t)
	app, _ := s.app("Mathematical Laboratory")
	lab := s.device("LAB-204.example.org")
	for range 50 {
		s.launch(app.ID, lab, false)
	}
	a := s.as("olga").get("/admin/sessions").is(200)
	if n := len(rowsOf(a)); n != 50 {
		t.Fatalf("%d rows", n)
	}
	if len(a.body) > 60<<10 {
		t.Errorf("the page has %d bytes, over the budget of 60 KB", len(a.body))
	}
	t.Logf("%d bytes", len(a.body))
}
