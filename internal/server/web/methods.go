package web

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"leasehold/internal/catalog"
	"leasehold/internal/invalid"
	"leasehold/internal/lease"
	"leasehold/internal/session"
	"leasehold/internal/store"
)

const methodsPath = "/admin/delivery-methods"

func methodsPage(c *call) error {
	q := c.listQuery(methodsPath)
	list, next, err := c.Control.ListDeliveryMethods(c.r.Context(), 0, q.q, q.page())
	if err != nil {
		return err
	}
	l := listing{
		Title: "Delivery methods", Noun: "delivery method", NewPath: methodsPath + "/new", Search: q.search("Search delivery methods"), Pager: q.pager(next), Clear: q.clear(),
		Note:    count(len(list), q, next, "delivery method"),
		Empty:   "No delivery methods yet. One says how an app gets to people: its packages, its licence, its warnings.",
		Columns: []column{{Key: "name", Name: "Name"}, {Key: "app", Name: "App"}, {Key: "m", Name: "Licence"}, {Key: "m", Name: "Seats"}, {Key: "m", Name: "Heartbeat"}, {Key: "m", Name: "Warnings"}},
	}
	app := pickKindOf("app")
	names := map[int64]string{}
	for _, d := range list {
		if _, ok := names[d.AppID]; !ok {
			if names[d.AppID], err = app.label(c.r.Context(), c.Control, d.AppID); errors.Is(err, store.ErrNotFound) {
				names[d.AppID] = "a deleted app"
			} else if err != nil {
				return err
			}
		}
		seats, err := c.seats(d)
		if err != nil {
			return err
		}
		l.Rows = append(l.Rows, record{ID: itoa(d.ID), Path: methodsPath + "/" + itoa(d.ID), Cells: []cell{
			{Text: d.Name}, {Text: names[d.AppID]}, {Text: string(d.Licence.Type), Muted: true}, {Text: seats, Muted: true},
			{Text: "every " + words(seconds(d.HeartbeatSeconds)), Muted: true}, {Text: durations(d.WarningsSeconds), Muted: true}}})
	}
	return c.show(page{Title: "Delivery methods", Nav: "delivery-methods"}, listingView(l))
}

// seats says how many of a method's seats are taken.
func (c *call) seats(d *catalog.DeliveryMethod) (string, error) {
	if d.Licence.Seats == 0 {
		return "no limit", nil
	}
	n, err := c.Control.SeatsTaken(c.r.Context(), d.ID)
	return fmt.Sprintf("%d of %d taken", n, d.Licence.Seats), err
}

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }

// durations writes lengths as the form reads them: "2 min, 1 min".
func durations(list []int) string {
	out := make([]string, len(list))
	for i, n := range list {
		out[i] = duration(n)
	}
	return strings.Join(out, ", ")
}

// duration writes a number of seconds in the largest unit that it is whole in.
func duration(n int) string {
	for _, u := range units {
		if n != 0 && n%u.seconds == 0 {
			return strconv.Itoa(n/u.seconds) + " " + u.name
		}
	}
	return ""
}

var units = []struct {
	seconds int
	name    string
}{{86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}}

// parseDuration reads "90 s", "5 min", "8 h" or "30 d"; a bare number is seconds.
func parseDuration(s string) (int, bool) {
	s = strings.TrimSpace(s)
	for _, u := range units {
		if num, ok := strings.CutSuffix(s, u.name); ok {
			n, err := strconv.Atoi(strings.TrimSpace(num))
			return n * u.seconds, err == nil && n >= 0 && n < 1<<31
		}
	}
	n, err := strconv.Atoi(s)
	return n, err == nil
}

// A methodForm is a delivery method as its form holds it: text that may not be right yet.
type methodForm struct {
	Method    *catalog.DeliveryMethod
	Apps      []option
	AppName   string
	Followers []option // what sessions may upgrade to
	Offline   string
	Seats     string
	Heartbeat string
	Warnings  string
	Errors    map[string]string
}

// durationHelp says how lengths are written.
const durationHelp = "As 90 s, 5 min, 8 h or 30 d."

func methodNew(c *call) error {
	d := &catalog.DeliveryMethod{Packages: []catalog.Package{{Type: catalog.Command}}}
	d.AppID, _ = strconv.ParseInt(c.r.URL.Query().Get("app_id"), 10, 64) // none is chosen otherwise
	d.SetDefaults()
	return c.methodForm(formOf(d))
}

func methodPage(c *call) error {
	d, err := c.Control.DeliveryMethod(c.r.Context(), c.id())
	if err != nil {
		return err
	}
	return c.methodForm(formOf(d))
}

func formOf(d *catalog.DeliveryMethod) *methodForm {
	f := &methodForm{Method: d, Offline: duration(d.Licence.OfflineSeconds), Heartbeat: duration(d.HeartbeatSeconds), Warnings: durations(d.WarningsSeconds)}
	if d.Licence.Seats > 0 {
		f.Seats = strconv.Itoa(d.Licence.Seats)
	}
	return f
}

func (c *call) methodForm(m *methodForm) error {
	d, ctx := m.Method, c.r.Context()
	f := form{Nav: "delivery-methods", List: methodsPath, Noun: "delivery method", Path: methodsPath,
		Error: rest(m.Errors, "app_id", "name", "licence", "heartbeat_seconds", "warnings_seconds", "successor_id", "packages")}
	if m.Errors["packages"] != "" {
		f.Error = strings.TrimSpace(f.Error + " Packages: " + m.Errors["packages"])
	}
	list, _, err := c.Control.ListApps(ctx, "", store.Page{Size: 500})
	if err != nil {
		return err
	}
	for _, a := range list {
		m.Apps = append(m.Apps, option{Value: itoa(a.ID), Label: a.Name, Chosen: a.ID == d.AppID})
		if a.ID == d.AppID {
			m.AppName = a.Name
		}
	}
	m.Followers = []option{{Value: "", Label: "none", Chosen: d.SuccessorID == 0}}
	if d.ID != 0 {
		f.Path, f.Name, f.Changes = methodsPath+"/"+itoa(d.ID), d.Name, methodChanges(d)
		seats, err := c.seats(d)
		if err != nil {
			return err
		}
		f.Facts = []fact{{Name: "App", Text: m.AppName, Link: appsPath + "/" + itoa(d.AppID)}, {Name: "Seats", Text: seats},
			{Name: "Sessions", Text: "by this delivery method", Link: sessionsPath + "?delivery_method_id=" + itoa(d.ID)}}
		others, _, err := c.Control.ListDeliveryMethods(ctx, d.AppID, "", store.Page{Size: 500})
		if err != nil {
			return err
		}
		for _, o := range others {
			if o.ID != d.ID {
				m.Followers = append(m.Followers, option{Value: itoa(o.ID), Label: o.Name, Chosen: o.ID == d.SuccessorID})
			}
		}
	}
	return c.showForm(f, len(m.Errors) > 0, methodFields(m))
}

// readMethod reads the form into d, and says which texts are not what they should be.
func (c *call) readMethod(d *catalog.DeliveryMethod) (*methodForm, error) {
	get := func(name string) string { return strings.TrimSpace(c.r.PostFormValue(name)) }
	f := &methodForm{Method: d, Offline: get("licence.offline_seconds"), Seats: get("licence.seats"), Heartbeat: get("heartbeat_seconds"), Warnings: get("warnings_seconds")}
	var e invalid.Error
	length := func(name, s string) int {
		n, ok := parseDuration(s)
		if !ok && s != "" {
			e.Add(name, "must be a length of time, as 90 s, 5 min, 8 h or 30 d")
		}
		return n
	}
	if d.ID == 0 {
		d.AppID, _ = strconv.ParseInt(get("app_id"), 10, 64) // 0 is refused by its rules
		d.Kind = session.Device
	}
	d.Name = get("name")
	d.Licence = catalog.Licence{Type: lease.Kind(get("licence.type")), Seats: number(&e, c.r.PostForm, "licence.seats")}
	if d.Licence.Type == lease.Fixed {
		d.Licence.OfflineSeconds = length("licence.offline_seconds", f.Offline)
	}
	d.HeartbeatSeconds = length("heartbeat_seconds", f.Heartbeat)
	d.WarningsSeconds = []int{}
	for w := range strings.SplitSeq(f.Warnings, ",") {
		if w = strings.TrimSpace(w); w != "" {
			d.WarningsSeconds = append(d.WarningsSeconds, length("warnings_seconds", w))
		}
	}
	d.SuccessorID, _ = strconv.ParseInt(get("successor_id"), 10, 64)
	d.Packages = nil
	n, _ := strconv.Atoi(get("packages"))
	do := get("do")
	for i := range min(n, 51) {
		at := fmt.Sprintf("packages.%d.", i)
		if do == "remove-"+strconv.Itoa(i) {
			continue
		}
		p := catalog.Package{OS: get(at + "os"), Arch: get(at + "arch"), Type: catalog.PackageType(get(at + "type"))}
		for line := range strings.Lines(c.r.PostFormValue(at + "command")) {
			if line = strings.TrimRight(line, "\r\n"); strings.TrimSpace(line) != "" {
				p.Command = append(p.Command, line)
			}
		}
		// What belongs to another type is out of sight, and not meant.
		switch p.Type {
		case catalog.Archive:
			p.URL, p.SHA256 = get(at+"url"), strings.ToLower(get(at+"sha256"))
		case catalog.OCI:
			p.Reference = get(at + "reference")
		}
		d.Packages = append(d.Packages, p)
	}
	if do == "add" {
		d.Packages = append(d.Packages, catalog.Package{Type: catalog.Command})
	}
	return f, e.Err()
}

func methodCreate(c *call) error {
	d := &catalog.DeliveryMethod{}
	f, err := c.readMethod(d)
	if c.finding() {
		return c.methodForm(f)
	}
	if err == nil {
		err = c.Control.CreateDeliveryMethod(c.r.Context(), c.who(), d)
	}
	if err != nil {
		if f.Errors, err = wrong(err); err != nil {
			return err
		}
		d.ID = 0
		return c.methodForm(f)
	}
	return c.saved(methodsPath, "The delivery method is made. A provision lets people launch it.", provisionsPath+"/new", "New provision")
}

func methodSave(c *call) error {
	if c.finding() {
		d, err := c.Control.DeliveryMethod(c.r.Context(), c.id())
		if err != nil {
			return err
		}
		f, _ := c.readMethod(d) // what is wrong is said when it is saved
		return c.methodForm(f)
	}
	var f *methodForm
	d, err := c.Control.UpdateDeliveryMethod(c.r.Context(), c.who(), c.id(), func(d *catalog.DeliveryMethod) (err error) {
		f, err = c.readMethod(d)
		return err
	})
	if err != nil {
		errs, err := wrong(err)
		if err != nil {
			return err
		}
		f.Errors = errs
		return c.methodForm(f)
	}
	return c.saved(methodsPath, "Saved. Leases that are out keep their ends.", methodsPath+"/"+itoa(d.ID), d.Name)
}

func methodChanges(d *catalog.DeliveryMethod) []change {
	return []change{{Name: "delete", Verb: "Delete", Title: "Delete " + d.Name,
		Happens: "Nobody can launch by it any more, and running sessions are closed when they next ask to renew. This cannot be undone.",
		Not:     "It does not end running sessions at once: evict them for that."}}
}

func methodChangePage(c *call) error {
	d, err := c.Control.DeliveryMethod(c.r.Context(), c.id())
	if err != nil {
		return err
	}
	if c.r.PathValue("change") != "delete" {
		return store.ErrNotFound
	}
	return c.confirmChange("delivery-methods", methodsPath+"/"+itoa(d.ID), methodChanges(d)[0])
}

func methodChange(c *call) error {
	if c.r.PathValue("change") != "delete" {
		return store.ErrNotFound
	}
	if err := c.Control.DeleteDeliveryMethod(c.r.Context(), c.who(), c.id()); err != nil {
		return c.refusedChange("delivery-methods", methodsPath+"/"+itoa(c.id()), "Delete", err)
	}
	return c.saved(methodsPath, "The delivery method is deleted.", "", "")
}
