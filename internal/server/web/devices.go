package web

import (
	"net/http"
	"strings"

	"leasehold/internal/control"
	"leasehold/internal/store"
	"leasehold/internal/wire"
)

const devicesPath = "/admin/devices"

func devicesPage(c *call) error { return c.devices(http.StatusOK, "") }

// devices is the list of devices, with a new enrolment key on top when one was just made.
func (c *call) devices(code int, key string) error {
	q := c.listQuery(devicesPath)
	list, next, err := c.Control.ListAgents(c.r.Context(), wire.Player, q.q, q.page())
	if err != nil {
		return err
	}
	l := listing{
		Title: "Devices", Search: q.search("Search devices"), Pager: q.pager(next), Clear: q.clear(),
		Note:    count(len(list), q, next, "device"),
		Empty:   "No devices yet. Make an enrolment key, and enrol the player of a device with it.",
		Columns: []column{{Key: "name", Name: "Name"}, {Key: "act", Name: "Last seen"}, {Key: "m", Name: "System"}, {Key: "m", Name: "Player"}, {Key: "time", Name: "Enrolled"}},
		Extra:   newKeyButton(),
	}
	if key != "" {
		l.Top = keyView(key, c.Control.PublicURL, words(control.EnrolmentKeyLife))
	}
	now := c.now()
	for _, a := range list {
		name := cell{Text: a.Name}
		if a.Simulated {
			name.Sub = "simulated"
		}
		l.Rows = append(l.Rows, record{ID: itoa(a.ID), Path: devicesPath + "/" + itoa(a.ID), Cells: []cell{
			name, {View: ago(a.LastSeenAt, now)}, {Text: a.OS + " " + a.Arch, Muted: true}, {Text: a.Version, Muted: true}, {View: ago(a.CreatedAt, now), Muted: true}}})
	}
	return c.showAs(code, page{Title: "Devices", Nav: "devices", Now: now}, listingView(l))
}

// newKey makes an enrolment key. The answer is the page itself and no redirect: the key
// is shown once, and kept nowhere.
func newKey(c *call) error {
	key, err := c.Control.NewEnrolmentKey(c.r.Context(), c.who(), wire.Player, false)
	if err != nil {
		return err
	}
	c.w.Header().Set("Cache-Control", "no-store")
	return c.devices(http.StatusCreated, key)
}

func devicePage(c *call) error {
	a, err := c.Control.Agent(c.r.Context(), c.id())
	if err != nil {
		return err
	}
	return c.deviceForm(a, a.Name, nil)
}

func (c *call) deviceForm(a *store.Agent, name string, errs map[string]string) error {
	now := c.now()
	f := form{Nav: "devices", List: devicesPath, Noun: "device", Path: devicesPath + "/" + itoa(a.ID), Name: a.Name, Error: rest(errs, "name"), Changes: deviceChanges(a),
		Facts: []fact{
			{Name: "Last seen", View: ago(a.LastSeenAt, now)},
			{Name: "System", Text: a.OS + " " + a.Arch},
			{Name: "Player", Text: a.Version},
			{Name: "Enrolled", View: at(a.CreatedAt)},
			{Name: "Sessions", Text: "on this device", Link: sessionsPath + "?device_id=" + itoa(a.ID)},
		}}
	if a.Simulated {
		f.Facts = append(f.Facts, fact{Name: "Simulated", Text: "yes: a program stands in for it"})
	}
	if a.Chain.Quarantined {
		f.Facts = append(f.Facts, fact{Name: "Quarantined", Text: "a copy of its state folder has checked in; it gets no leases until it enrols anew"})
	}
	return c.showForm(f, len(errs) > 0, fieldView(field{Name: "name", Label: "Name", Value: name, Error: errs["name"]}))
}

func deviceSave(c *call) error {
	name := strings.TrimSpace(c.r.PostFormValue("name"))
	a, err := c.Control.RenameAgent(c.r.Context(), c.who(), c.id(), name)
	if err != nil {
		errs, err := wrong(err)
		if err != nil {
			return err
		}
		if a, err = c.Control.Agent(c.r.Context(), c.id()); err != nil {
			return err
		}
		return c.deviceForm(a, name, errs)
	}
	return c.saved(devicesPath, "Saved.", devicesPath+"/"+itoa(a.ID), a.Name)
}

func deviceChanges(a *store.Agent) []change {
	return []change{{Name: "remove", Verb: "Remove", Title: "Remove " + a.Name,
		Happens: "Its credential is taken away: it cannot check in any more, and its apps end with their leases. To come back it must enrol anew.",
		Not:     "It does not remove the player or its apps from the machine."}}
}

func deviceChangePage(c *call) error {
	a, err := c.Control.Agent(c.r.Context(), c.id())
	if err != nil {
		return err
	}
	if c.r.PathValue("change") != "remove" {
		return store.ErrNotFound
	}
	return c.confirmChange("devices", devicesPath+"/"+itoa(a.ID), deviceChanges(a)[0])
}

func deviceChange(c *call) error {
	if c.r.PathValue("change") != "remove" {
		return store.ErrNotFound
	}
	if err := c.Control.DeleteAgent(c.r.Context(), c.who(), c.id()); err != nil {
		return c.refusedChange("devices", devicesPath+"/"+itoa(c.id()), "Remove", err)
	}
	return c.saved(devicesPath, "The device is removed.", "", "")
}
