package web

import (
	"net/netip"
	"slices"
	"testing"

	"leasehold/internal/catalog"
	"leasehold/internal/control"
	"leasehold/internal/directory"
	"leasehold/internal/session"
	"leasehold/internal/wire"
)

func TestMethodSaysHowItIsUsed(t *testing.T) {
	s := newSite(t)
	app, _ := s.app("MATLAB")
	lab := s.device("LAB-204")
	next := &catalog.DeliveryMethod{AppID: app.ID, Name: "MATLAB 2027", Packages: []catalog.Package{{Type: catalog.Command, Command: []string{"/opt/app"}}}}
	s.must(s.c.CreateDeliveryMethod(t.Context(), s.root, next))
	_, err := s.c.UpdateDeliveryMethod(t.Context(), s.root, 1, func(d *catalog.DeliveryMethod) error {
		d.Licence.Seats, d.SuccessorID = 1, next.ID
		return nil
	})
	s.must(err)
	olga := s.as("olga")
	page := "/admin/delivery-methods/1"
	olga.get(page).is(200).has("0 of 1 seat in use", "Nobody holds a seat now.", "0 refusals in the last 24 hours", "sessions upgrade to", "MATLAB 2027")

	one := s.launch(app.ID, lab, true)
	two := s.launch(app.ID, s.device("LIB-017"), true)
	for _, ag := range s.agents {
		ag.tell(t) // the refused one asks again
	}
	olga.get(page).has("1 of 1 seat in use", `href="/admin/sessions/`+num(one)+`">Ann Berg`, "1 refusal in the last 24 hours", `href="/admin/sessions/`+num(two)+`">Ann Berg`, "LIB-017", "seat")
	olga.get(page + "?before=1").is(200).has("Newest")
	olga.get(page + "?before=x").is(200)
}

func TestWhereAProvisionHolds(t *testing.T) {
	s := newSite(t)
	s.app("MATLAB")
	olga := s.as("olga")
	form := vals("name", "Lab", "enabled", "true", "device_ownership", "organisation", "networks", "10.20.1.2/16\n\n2001:db8::1\n")
	bad := vals("name", "Lab", "device_ownership", "borrowed", "networks", "10.0.0.0/8\n10.0.0.0/99")
	olga.post("/admin/provisions", bad).is(422).has(`id="networks-error"`, "Line 2, 10.0.0.0/99, must be a network in CIDR notation, as 10.0.0.0/8", "10.0.0.0/99</textarea>").lacks("Line 1")
	bad.Set("networks", "")
	olga.post("/admin/provisions", bad).is(422).has(`id="device_ownership-error"`)
	olga.post("/admin/provisions", form).is(200).has("The provision is made.")
	p, err := s.c.Provision(t.Context(), 2)
	s.must(err)
	if p.Ownership != directory.Organisation || !slices.Equal(p.Networks, []netip.Prefix{netip.MustParsePrefix("10.20.0.0/16"), netip.MustParsePrefix("2001:db8::1/128")}) {
		t.Errorf("stored as %q %v", p.Ownership, p.Networks)
	}
	olga.get("/admin/provisions/2").has("10.20.0.0/16\n2001:db8::1/128</textarea>", `<option value="organisation" selected>`)

	// Whose a device is: by its key, and by hand.
	key := olga.newKey("kind", "player", "ownership", "own")
	e, err := s.c.Enrol(t.Context(), &wire.Enrol{V: wire.Version, Key: key, Kind: wire.Player, Name: "ANN-X1", OS: "linux", Arch: "amd64", Version: "1"}, "test")
	s.must(err)
	device := "/admin/devices/" + num(e.AgentID)
	olga.get("/admin/devices").has("user’s own")
	olga.get(device).has(`<option value="own" selected>`)
	olga.post(device, vals("name", "ANN-X1", "ownership", "stolen")).is(422).has(`id="ownership-error"`)
	olga.post(device, vals("name", "ANN-X1", "ownership", "organisation")).is(200).has("Saved.")
	ag, err := s.c.Agent(t.Context(), e.AgentID)
	s.must(err)
	if ag.Ownership != directory.Organisation {
		t.Errorf("it is %q", ag.Ownership)
	}
}

// Every form that can leave running sessions without entitlement offers to end them now.
func TestEndRunningSessionsNow(t *testing.T) {
	s := newSite(t)
	app, _ := s.app("MATLAB")
	lab := s.device("LAB-204")
	id := s.launch(app.ID, lab, true)
	g := &directory.Group{Name: "Engineers", UserIDs: []int64{s.ann.ID}}
	s.must(s.c.CreateGroup(t.Context(), s.root, g))
	olga := s.as("olga")
	for _, path := range []string{"/users/2/suspend", "/users/2/delete", "/apps/1/suspend", "/apps/1/delete", "/delivery-methods/1/delete", "/provisions/1/disable", "/provisions/1/delete"} {
		olga.get("/admin"+path).is(200).has(`name="end_running"`, "Without it nothing ends at once", "Running now", "1 session", `name="reason"`)
	}
	olga.get("/admin/groups/1/delete").is(200).has(`name="end_running"`)
	for _, path := range []string{"/users/2", "/groups/1", "/provisions/1", "/devices/" + num(lab)} {
		olga.get("/admin"+path).is(200).has(`name="end_running"`, "Of people who lose an app by this change.")
	}
	olga.get("/admin/users/new").lacks(`name="end_running"`)

	// Without the tick it runs on; with it, it is evicted.
	olga.post("/admin/apps/1/suspend", nil).is(200)
	s.must(s.c.Check(t.Context()))
	if got := s.status(id); got != session.Running {
		t.Fatalf("without the tick it is %s", got)
	}
	_, err := s.c.UpdateApp(t.Context(), s.root, app.ID, control.Ending{}, func(a *catalog.App) error { a.Status = catalog.Active; return nil })
	s.must(err)
	// The provision's own form: Ann is taken off it.
	olga.post("/admin/provisions/1", vals("name", "MATLAB for all", "enabled", "true", "shown_user_ids", num(s.ann.ID), "end_running", "true", "reason", "Term is over")).is(200).has("Saved.")
	s.must(s.c.Check(t.Context()))
	if got := s.status(id); got != session.Evicted {
		t.Errorf("with the tick it is %s", got)
	}
	olga.get("/admin/sessions/" + num(id)).has("Term is over")
}
