package web

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/a-h/templ"
)

// previewPages are pages over made-up data, one of each, to look at.
func previewPages(now time.Time) map[string]func(theme string) templ.Component {
	admin := viewer{Name: "Olga Admin", Username: "olga", Admin: true}
	frame := func(p page, body templ.Component) func(string) templ.Component {
		return func(theme string) templ.Component {
			p.Theme, p.Now, p.assets = theme, now, embeddedAssets()
			return wrap(p, body)
		}
	}
	return map[string]func(string) templ.Component{
		"sessions": frame(page{Title: "Sessions", Nav: "sessions", Viewer: admin}, sessionsView(previewSessions(now, 50), now)),
		"toast": frame(page{Title: "Sessions", Nav: "sessions", Viewer: admin, Flash: &toast{Text: "Ann Berg’s MATLAB on LAB-204 is evicted and closes within 7 minutes.", Link: "/admin/sessions/1", Name: "Session 48213"}},
			sessionsView(previewSessions(now, 6), now)),
		"empty":   frame(page{Title: "Sessions", Nav: "sessions", Viewer: admin}, sessionsView(previewSessions(now, 0), now)),
		"session": frame(page{Title: "Session 48190", Nav: "sessions", Viewer: admin}, sessionView(previewSession(now), now)),
		"confirm": frame(page{Title: "Evict", Nav: "sessions", Viewer: admin}, confirmView(previewConfirm())),
		"portal":  frame(page{Title: "Apps", Portal: true, Viewer: admin}, portalView(previewPortal(now), now)),
		"launch": frame(page{Title: "MATLAB", Portal: true, Viewer: admin}, launchView(launchForm{App: "MATLAB", Description: "Numerical computing", Action: "/x", Places: []option{
			{Value: "1", Label: "LAB-204", Note: "The player there is told at once.", Chosen: true},
			{Value: "2", Label: "BO-X1", Note: "Last seen 3 h ago; it opens when that device is online."},
			{Value: "", Label: "This device", Note: "A link opens the Leasehold player here."}}})),
		"follow": frame(page{Title: "MATLAB", Portal: true, Viewer: admin}, followView(following{App: "MATLAB", Device: "LAB-204", Link: "leasehold://x",
			Status: status{Word: "added", Tone: "blue"}, Since: now.Add(-30 * time.Second), Steps: []step{
				{Name: "Launched", At: now.Add(-30 * time.Second)}, {Name: "Added", At: now.Add(-4 * time.Second)}, {Name: "Running", Note: "waiting for the device"}},
			Stuck: []string{"Is the Leasehold player running on LAB-204? Start it there; it takes the launch by itself.", "Open the app with the button above if you are at that device.", "Otherwise tell your administrator the session’s number, 48190."}}, now)),
		"signin": frame(page{Title: "Sign in"}, signInView(signInForm{Error: "The user name or the password is wrong."})),
		"error": frame(page{Title: "Not found", Nav: "sessions", Viewer: admin}, problemView(problem{Title: "There is no session 99", Text: "It may have been deleted after its history ran out, or the number is wrong.",
			Link: "/admin/sessions", LinkName: "All sessions", RequestID: "01JD6Q3"})),
		"apps": frame(page{Title: "Apps", Nav: "apps", Viewer: admin}, listingView(listing{Title: "Apps", Noun: "app", NewPath: "/admin/apps/new", Note: "4 apps", Search: search{Path: "/admin/apps", Hint: "Search apps"},
			Columns: []column{{Key: "name", Name: "Name"}, {Key: "desc", Name: "Description"}, {Key: "s", Name: "Methods"}, {Key: "m", Name: "Status"}},
			Rows: []record{
				{ID: "1", Path: "/admin/apps/1", Cells: []cell{{Text: "MATLAB"}, {Text: "Numerical computing", Muted: true}, {Text: "2"}, {View: statusDot(status{Word: "active", Tone: "green"}, now)}}},
				{ID: "2", Path: "/admin/apps/2", Cells: []cell{{Text: "SPSS"}, {Text: "Statistics", Muted: true}, {Text: "1"}, {View: statusDot(status{Word: "suspended", Tone: "amber"}, now)}}},
			}})),
	}
}

func wrap(p page, body templ.Component) templ.Component {
	return templ.ComponentFunc(func(ctx context.Context, w io.Writer) error {
		return layout(p).Render(templ.WithChildren(ctx, body), w)
	})
}

func previewSessions(now time.Time, n int) sessionList {
	users := []string{"Ann Berg", "Bo Chen", "Cleo Diaz", "Dmitri Evseev", "Łucja Żółkiewska-Brzęczyszczykiewicz", "Femi Okafor"}
	apps := []string{"MATLAB", "SPSS", "Stata", "ArcGIS Pro", "SolidWorks Education Edition", "Maple"}
	provs := []string{"Engineering", "Statistics", "All students", "Geography year 2"}
	devs := []string{"LAB-204", "BO-X1", "CLEO-AIR", "LIB-017"}
	states := []status{{Word: "running", Tone: "green"}, {Word: "evicted", Tone: "amber", ETA: now.Add(102 * time.Second)}, {Word: "stopped", Tone: "grey"},
		{Word: "launched", Tone: "blue"}, {Word: "renewal requested", Tone: "blue"}, {Word: "evicted", Tone: "amber", Closed: now.Add(-time.Hour)},
		{Word: "awaiting expiry", Tone: "amber"}, {Word: "expired", Tone: "red"}, {Word: "removed", Tone: "grey"}, {Word: "added", Tone: "blue"}, {Word: "running", Tone: "green"}}
	acts := [][]string{{"evict"}, {"expire"}, {"expire"}, nil, {"evict"}, {"expire"}, {"expire"}, nil, nil, {"expire"}, {"evict"}}
	l := sessionList{Total: "1,204 sessions", Self: "/admin/sessions", Search: search{Path: "/admin/sessions", Hint: "Search app, user, provision, status"},
		Pager: pager{Next: "/admin/sessions?page_token=x", Last: "/x", Sizes: []option{{Label: "50", Chosen: true, Link: "?"}, {Label: "100", Link: "?"}}}}
	for _, k := range []string{"Status", "App", "User", "Provision", "Delivery method", "Device"} {
		l.Filters = append(l.Filters, filter{Key: k, Name: k, Path: "/admin/sessions/filter?by=" + k, On: k == "Status"})
	}
	l.Chips = []chip{{"status", "running", "?"}, {"app", "MATLAB", "?"}}
	l.Columns = []column{{Key: "tick", Name: "Tick", Quiet: true}, {Key: "no", Name: "No.", Sort: "?", Dir: "descending"}, {Key: "user", Name: "User", Sort: "?"}, {Key: "app", Name: "App", Sort: "?"},
		{Key: "prov", Name: "Provision"}, {Key: "method", Name: "Delivery method"}, {Key: "dev", Name: "Device"}, {Key: "status", Name: "Status", Sort: "?"},
		{Key: "since", Name: "Since"}, {Key: "act", Name: "Last activity"}, {Key: "do", Name: "Actions"}}
	if n == 0 {
		l.Search.Value = "matlab"
		l.Total = "0 sessions"
	}
	for i := range n {
		l.Rows = append(l.Rows, sessionRow{ID: int64(48213 - i*7), User: users[i%6], App: apps[i*5%6], Provision: provs[i%4], Method: apps[i*5%6] + " online", Device: devs[i%4],
			Status: states[i%11], Actions: acts[i%11], Since: now.Add(-time.Duration(i*i*i+3) * time.Second), Activity: now.Add(-time.Duration(i*i*97) * time.Second), Rev: "r"})
	}
	return l
}

func previewSession(now time.Time) sessionDetail {
	row := previewSessions(now, 2).Rows[1]
	return sessionDetail{Row: row, Title: row.App, Facts: []fact{
		{Name: "Number", Text: "48190"}, {Name: "User", Text: "Bo Chen (bo)", Link: "/admin/users/2"}, {Name: "App", Text: "MATLAB", Link: "/"}, {Name: "Provision", Text: "Engineering", Link: "/"},
		{Name: "Delivery method", Text: "MATLAB online, floating", Link: "/"}, {Name: "Device", Text: "BO-X1", Link: "/"}, {Name: "Launched", View: at(now.Add(-time.Hour))}, {Name: "Last seen", View: ago(now.Add(-9*time.Second), now)}},
		Next: []fact{{Name: "Check-in", Text: "within 5 minutes, by the device"}, {Name: "Closes", View: until(now.Add(102*time.Second), now)}, {Name: "Lease ends", View: at(now.Add(90 * time.Second))}},
		Order: &orderView{Head: "Evict, asked by Olga Admin", Reason: "Seats are needed for the exam", ETA: now.Add(102 * time.Second), Steps: []step{
			{Name: "Requested", At: now.Add(-20 * time.Second)}, {Name: "Delivered", At: now.Add(-18 * time.Second)}, {Name: "Warned", Note: "the device shows a warning"}, {Name: "Closed", Note: "by the ETA at the latest"}}},
		Past: []event{
			{At: now.Add(-20 * time.Second), To: "evicted", Tone: "amber", Who: "Olga Admin", Why: "Seats are needed for the exam"},
			{At: now.Add(-50 * time.Minute), To: "running", Tone: "green", Who: "BO-X1", Observed: true},
			{At: now.Add(-58 * time.Minute), To: "added", Tone: "blue", Who: "BO-X1", Observed: true},
			{At: now.Add(-time.Hour), To: "launched", Tone: "blue", Who: "Bo Chen"}}}
}

func previewConfirm() confirmation {
	return confirmation{Action: "/x", Verb: "Evict", Title: "Evict Ann Berg’s MATLAB on LAB-204", Happens: "It closes within 7 minutes: up to 5 until the device checks in, then 2 of warning.",
		Not: "It does not take the app away: Ann Berg can launch MATLAB again.", Back: "/admin/sessions", Reason: field{Name: "reason", Label: "Reason", Optional: true, Help: "Shown in the session’s history and in the audit log."}}
}

func previewPortal(now time.Time) portalPage {
	p := portalPage{Search: search{Path: "/", Hint: "Search apps"}}
	for i, n := range []string{"MATLAB", "SPSS", "Stata", "ArcGIS Pro", "SolidWorks Education Edition", "Maple", "Blender"} {
		p.Tiles = append(p.Tiles, tile{ID: fmt.Sprint(i), Name: n, Description: "Numerical computing, with the toolboxes of the engineering licence and more text than fits", Hint: "opens on LAB-204", Path: "/launch/1"})
	}
	p.Running = []runningApp{{Name: "MATLAB", Path: "/sessions/1", Device: "LAB-204", Status: status{Word: "running", Tone: "green"}, Ends: now.Add(13 * time.Minute)},
		{Name: "Stata", Path: "/sessions/2", Device: "BO-X1", Status: status{Word: "stopped", Tone: "grey"}}}
	return p
}

// TestPreview serves the made-up pages for looking at, when PREVIEW names an
// address; otherwise it checks that each of them renders.
func TestPreview(t *testing.T) {
	now := time.Now()
	mux := http.NewServeMux()
	a := embeddedAssets()
	mux.HandleFunc("GET /assets/favicon.svg", serveStatic("favicon.svg"))
	mux.Handle("GET /assets/{file}", a)
	for name := range previewPages(now) {
		mux.HandleFunc("GET /"+name, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			if err := previewPages(time.Now())[name](r.URL.Query().Get("theme")).Render(r.Context(), w); err != nil {
				t.Error(err)
			}
		})
	}
	if addr := os.Getenv("PREVIEW"); addr != "" {
		t.Fatal(http.ListenAndServe(addr, mux))
	}
	for name := range previewPages(now) {
		rec := httptest.NewRecorder()
		mux.ServeHTTP(rec, httptest.NewRequest("GET", "/"+name, nil))
		if rec.Code != 200 || rec.Body.Len() < 500 {
			t.Errorf("%s: %d with %d bytes", name, rec.Code, rec.Body.Len())
		}
		if n := rec.Body.Len(); n > 60<<10 {
			t.Errorf("%s: %d bytes of HTML, over the budget of 60 KB", name, n)
		} else {
			t.Logf("%s: %d bytes", name, n)
		}
	}
}
