package web

import (
	"net/url"
	"strings"
	"testing"

	"leasehold/internal/catalog"
	"leasehold/internal/control"
	"leasehold/internal/session"
	"leasehold/internal/wire"
)

func TestPortal(t *testing.T) {
	s := newSite(t)
	matlab, _ := s.app("MATLAB")
	s.app("SPSS")
	s.user("bo", "Bo Chen")
	ann, bo := s.as("ann"), s.as("bo")

	bo.get("/").is(200).has("You have no apps yet").lacks("MATLAB")
	a := ann.get("/").is(200).has("MATLAB", "SPSS", "opens here", `action="/launch/`+num(matlab.ID)+`"`)
	a.lacks("Running now")
	ann.get("/?q=spss").is(200).has("SPSS").lacks("MATLAB")
	ann.get("/?q=zzz").is(200).has("No apps match <strong>zzz</strong>")

	// Launching here gives a link that only this browser sees, and follows the session.
	a = ann.post("/launch/"+num(matlab.ID), vals("device_id", "")).is(200)
	if !strings.HasPrefix(a.path, "/sessions/") {
		t.Fatalf("after launching at %s", a.path)
	}
	a.has("leasehold://launch?", "Open in the player", "launched", "If nothing opens", "the browser may ask whether it may open Leasehold links", "the session’s number")
	bo.get(a.path).is(404)
	s.as("ann").get(a.path).is(200).lacks("leasehold://")

	// The player takes it; the page follows, and offers the device from then on.
	lab := s.device("LAB-204")
	id := s.launch(matlab.ID, lab, false)
	page := "/sessions/" + num(id)
	ag := s.agentOf(lab)
	ag.report(t, id, session.IsIdle, wire.Observation{Type: session.ObsAdded})
	ann.get(page).has("added", "The app is in the player on LAB-204")
	ag.report(t, id, session.IsRunning, wire.Observation{Type: session.ObsStarted, Run: 1})
	ann.get(page).has("running", "LAB-204").lacks("ten seconds")
	ann.get("/").has("Running now", "opens on LAB-204", "change").lacks("closes in")
	ann.get("/launch/"+num(matlab.ID)).is(200).has("LAB-204", "The player there takes it at once.", "This device")
	a = ann.post("/launch/"+num(matlab.ID), vals("device_id", num(lab))).is(200).has("LAB-204", "Is the Leasehold player running on LAB-204?")
	a.lacks("leasehold://")
	ann.post("/launch/"+num(matlab.ID), vals("device_id", "999")).is(422).has("Must be a device that you have used before")

	// Evicted: it says why, and that it can be started again.
	s.as("olga").post("/admin/sessions/"+num(id)+"/evict", vals("reason", "Exam at ten")).is(200)
	ann.get(page).has("evicted", "Exam at ten", "start it again in the player")
}

// TestPortalSearch: what is typed finds an app however its letters are composed or cased.
func TestPortalSearch(t *testing.T) {
	s := newSite(t)
	s.app("Straße nach José")
	s.app("SPSS")
	ann := s.as("ann")
	for _, q := range []string{"stra\u00dfe", "STRASSE", "jose\u0301", "JOS\u00c9", "É"} {
		ann.get("/?q=" + url.QueryEscape(q)).is(200).has("Straße nach").lacks("SPSS")
	}
	ann.get("/?q=jose").is(200).lacks("Straße nach")
}

func TestPortalDenied(t *testing.T) {
	s := newSite(t)
	matlab, _ := s.app("MATLAB")
	s.user("bo", "Bo Chen")
	bo, ann := s.as("bo"), s.as("ann")
	for _, a := range []*answer{bo.get("/launch/" + num(matlab.ID)), bo.post("/launch/"+num(matlab.ID), nil), bo.get("/launch/999")} {
		a.is(403).has("not one of yours", "Ask your administrator").lacks("Where it opens")
	}
	_, err := s.c.UpdateApp(t.Context(), s.root, matlab.ID, control.Ending{}, func(a *catalog.App) error { a.Status = catalog.Suspended; return nil })
	s.must(err)
	ann.get("/").has("not available now", "Why not")
	ann.get("/launch/"+num(matlab.ID)).is(403).has("MATLAB is suspended", "your administrator needs it")
	ann.post("/launch/"+num(matlab.ID), nil).is(403).has("MATLAB is suspended")
}

func TestCatalogue(t *testing.T) {
	s := newSite(t)
	olga := s.as("olga")

	olga.get("/admin/apps").is(200).has("No apps yet")
	olga.get("/admin/apps/new").is(200).has("New app", "Create app")
	olga.post("/admin/apps", vals("name", "  ", "description", "d")).is(422).has(`id="name-error"`, "Is required.", ">d</textarea>", `aria-invalid="true"`)
	a := olga.post("/admin/apps", vals("name", "MATLAB", "description", "Numbers")).is(200)
	if a.path != "/admin/delivery-methods/new?app_id=1" {
		t.Errorf("after making an app at %s", a.path)
	}
	a.has("Say how it is delivered", `<option value="1" selected>MATLAB`)
	olga.post("/admin/apps", vals("name", "matlab")).is(422).has("Is taken.")
	olga.get("/admin/apps?q=mat").has("1 app found", "Numbers")
	olga.get("/admin/apps?q=zzz").has("Nothing matches <strong>zzz</strong>", "Clear search")
	olga.post("/admin/apps/1", vals("name", "MATLAB 2026", "description", "More")).is(200).has("Saved.", "MATLAB 2026")
	olga.post("/admin/apps/1", vals("name", "")).is(422).has("<h1>MATLAB 2026</h1>", "Is required.")
	olga.get("/admin/apps/99").is(404)

	method := vals("app_id", "1", "name", "MATLAB online", "licence.type", "floating", "licence.seats", "5", "heartbeat_seconds", "5 min", "warnings_seconds", "2 min, 60 s",
		"packages", "1", "packages.0.type", "command", "packages.0.os", "linux", "packages.0.command", "/opt/matlab\n-desktop\n")
	bad := vals("app_id", "", "name", "", "licence.type", "fixed", "licence.seats", "many", "licence.offline_seconds", "soon", "heartbeat_seconds", "5 min", "warnings_seconds", "",
		"packages", "1", "packages.0.type", "archive", "packages.0.url", "ftp://x", "packages.0.command", "")
	olga.post("/admin/delivery-methods", bad).is(422).has("Must be a whole number.", "Must be a length of time", `value="soon"`, `value="many"`)
	bad.Set("licence.seats", "5")
	bad.Set("licence.offline_seconds", "1 s")
	olga.post("/admin/delivery-methods", bad).is(422).has(`id="app_id-error"`, `id="name-error"`, `id="licence.offline_seconds-error"`, `id="warnings_seconds-error"`,
		`id="packages.0.url-error"`, `id="packages.0.sha256-error"`, `id="packages.0.command-error"`)
	method.Set("do", "add")
	olga.post("/admin/delivery-methods", method).is(200).has("Package 2", `value="MATLAB online"`, "Remove this package")
	method.Set("do", "")
	olga.post("/admin/delivery-methods", method).is(200).has("The delivery method is made")
	olga.get("/admin/delivery-methods").has("MATLAB online", "0 of 5 taken", "every 5 minutes", "2 min, 1 min")
	olga.get("/admin/delivery-methods/1").is(200).has("-desktop", `value="5 min"`, `<option value="linux" selected>`)
	method.Set("heartbeat_seconds", "90 s")
	olga.post("/admin/delivery-methods/1", method).is(200).has("Saved.")
	olga.get("/admin/delivery-methods/1").has(`value="90 s"`)
	method.Set("name", "")
	olga.post("/admin/delivery-methods/1", method).is(422).has(`id="name-error"`)
	olga.get("/admin/apps/1").has("MATLAB online")

	// A provision, by pickers that work without the script: search, tick, save.
	p := vals("name", "Engineering", "enabled", "true", "do", "find", "find_user_ids", "ann")
	olga.post("/admin/provisions", p).is(200).has("Ann Berg", `name="user_ids" value="2"`, `value="Engineering"`)
	p.Del("do")
	p.Set("starts_at", "2026-09-01T08:00")
	p.Set("ends_at", "2026-08-01T08:00")
	p.Add("user_ids", num(s.ann.ID))
	p.Add("delivery_method_ids", "1")
	olga.post("/admin/provisions", p).is(422).has(`id="ends_at-error"`, "Ann Berg", "MATLAB online")
	p.Set("ends_at", "2100-08-01T08:00")
	olga.post("/admin/provisions", p).is(200).has("The provision is made.", "Engineering", "1 user")
	// What is shown and has no tick any more goes.
	olga.post("/admin/provisions/1", vals("name", "Engineering", "shown_user_ids", num(s.ann.ID), "shown_delivery_method_ids", "1", "delivery_method_ids", "1")).is(200).has("nobody", "disabled")
	olga.post("/admin/provisions/1/enable", nil).is(200).has("Enabled.", "nobody")
	olga.get("/admin/provisions/1/disable").is(200).has("Disable Engineering", ">Disable</button>")
	olga.post("/admin/provisions/1/delete", nil).is(200).has("The provision is deleted.", "No provisions yet")

	for _, ch := range []string{"suspend", "delete"} {
		olga.get("/admin/apps/1/"+ch).is(200).has("Without it nothing ends at once", "End running sessions now", "Running now", "no session", `method="post"`)
	}
	olga.get("/admin/apps/1/explode").is(404)
	olga.post("/admin/apps/1/suspend", nil).is(200).has("Suspended.", "suspended")
	olga.post("/admin/apps/1/activate", nil).is(200).has("Activated.")
	olga.post("/admin/delivery-methods/1/delete", nil).is(200).has("No delivery methods yet")
	olga.post("/admin/apps/1/delete", nil).is(200).has("The app is deleted.", "No apps yet")
	olga.get("/admin/audit").has("app create", "app delete", "provision update", "admin olga", "MATLAB 2026")
}

func TestPeople(t *testing.T) {
	s := newSite(t)
	olga := s.as("olga")
	olga.post("/admin/users", vals("username", "bo chen", "email", "nowhere", "role", "king", "password", "short")).is(422).
		has(`id="username-error"`, `id="email-error"`, `id="role-error"`, `value="bo chen"`).lacks("short")
	olga.post("/admin/users", vals("username", "bo", "name", "Bo Chen", "role", "user", "password", "short")).is(422).has(`id="password-error"`, "at least 8")
	olga.post("/admin/users", vals("username", "bo", "name", "Bo Chen", "email", "bo@example.org", "role", "user", "password", password)).is(200).has("The user is made.", "bo@example.org")
	olga.post("/admin/users", vals("username", "BO", "role", "user")).is(422).has("Is taken.")
	s.as("bo").get("/").is(200)
	olga.post("/admin/users/3", vals("username", "bo", "name", "Bo C.", "role", "user", "password", "x")).is(422).has(`id="password-error"`, `value="Bo C."`)
	olga.post("/admin/users/3", vals("username", "bo", "name", "Bo C.", "role", "user")).is(200).has("Saved.", "Bo C.")
	s.as("bo") // no new password: the old one is good

	olga.post("/admin/groups", vals("name", "")).is(422).has(`id="name-error"`)
	olga.post("/admin/groups", vals("name", "Engineers", "user_ids", "3", "user_ids", num(s.ann.ID))).is(200).has("The group is made.", `data-label="Members">2 `)
	olga.get("/admin/groups/1").has("Bo C.", "Ann Berg", `name="shown_user_ids" value="3"`)
	olga.post("/admin/groups/1", vals("name", "Engineers", "shown_user_ids", "3", "shown_user_ids", num(s.ann.ID), "user_ids", "3")).is(200).has(`data-label="Members">1 `)
	olga.get("/admin/users/3").has("Engineers")
	olga.get("/admin/pick/user?find=bo&name=user_ids").is(200).has(`name="user_ids" value="3"`).lacks("<html", "Ann Berg")
	olga.get("/admin/pick/planet").is(404)
	olga.post("/admin/groups/1/delete", nil).is(200).has("The group is deleted.")

	// The last administrator stays one.
	olga.post("/admin/users/1/suspend", nil).is(422).has("Nothing was changed", "Must stay active: this is the last active administrator").lacks("Role")
	olga.post("/admin/users/1/delete", nil).is(409).has("Nothing was changed", "The last active administrator cannot be deleted")
	olga.post("/admin/users/1", vals("username", "olga", "name", "olga", "role", "user")).is(422).has(`id="role-error"`)
	olga.post("/admin/users/3/delete", nil).is(200).has("The user is deleted.").lacks("Bo C.")
}

func TestDevices(t *testing.T) {
	s := newSite(t)
	olga := s.as("olga")
	olga.get("/admin/devices").is(200).has("No devices yet", "New enrolment key")
	lab := s.device("LAB-204")
	path := "/admin/devices/" + num(lab)
	olga.get("/admin/devices").has("LAB-204", "linux amd64")
	olga.get(path).is(200).has("Last seen", "on this device", `value="LAB-204"`)
	olga.post(path, vals("name", "")).is(422).has(`id="name-error"`)
	olga.post(path, vals("name", "LAB-205")).is(200).has("Saved.", "LAB-205")
	olga.get(path+"/remove").is(200).has("Remove LAB-205", "cannot check in any more")
	olga.post(path+"/remove", nil).is(200).has("The device is removed.")
	olga.get(path).is(404)
}

func TestEscaping(t *testing.T) {
	s := newSite(t)
	evil := `<img src=x onerror=alert(1)>`
	app, _ := s.app("A" + evil)
	s.launch(app.ID, 0, false)
	olga := s.as("olga")
	for _, path := range []string{"/admin/sessions", "/admin/sessions/1", "/admin/apps", "/admin/apps/1", "/admin/sessions?q=" + "%3Cscript%3Ealert(1)", "/admin/audit"} {
		olga.get(path).is(200).lacks(evil, "<script>alert")
	}
	s.as("ann").get("/").has("A&lt;img").lacks(evil)
}

func TestLongForm(t *testing.T) {
	s := newSite(t)
	a := s.as("olga").post("/admin/apps", vals("name", "x", "description", strings.Repeat("x", 1<<20)))
	a.is(413).has("This form is too large")
}

func TestDurations(t *testing.T) {
	for s, want := range map[string]int{"90": 90, "90 s": 90, "5min": 300, "8 h": 28800, "30 d": 2592000, " 1 min ": 60} {
		if got, ok := parseDuration(s); !ok || got != want {
			t.Errorf("parseDuration(%q) = %d, %v", s, got, ok)
		}
	}
	for _, s := range []string{"soon", "1.5 h", "-5 min", "5 weeks", "99999999999 d"} {
		if got, ok := parseDuration(s); ok {
			t.Errorf("parseDuration(%q) = %d", s, got)
		}
	}
	for n, want := range map[int]string{90: "90 s", 300: "5 min", 3600: "1 h", 86400: "1 d", 0: ""} {
		if got := duration(n); got != want {
			t.Errorf("duration(%d) = %q, want %q", n, got, want)
		}
	}
}
