package web

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"

	"leasehold/internal/catalog"
	"leasehold/internal/invalid"
	"leasehold/internal/lease"
	"leasehold/internal/session"
	"leasehold/internal/store"
)

const methodsPath = "/admin/delivery-methods"

var methods = &records[catalog.DeliveryMethod]{
	path: methodsPath, nav: "delivery-methods", noun: "delivery method",
	list: listing{
		Title:   "Delivery methods",
		Empty:   "No delivery methods yet. One says how an app gets to people: its packages, its licence, its warnings.",
		Columns: []column{{Key: "name", Name: "Name"}, {Key: "app", Name: "App"}, {Key: "short", Name: "Licence"}, {Key: "s", Name: "Seats"}, {Key: "beat", Name: "Heartbeat"}, {Key: "s", Name: "Warnings"}},
	},
	find: func(c *call, q string, page store.Page) ([]*catalog.DeliveryMethod, string, error) {
		return c.Control.ListDeliveryMethods(c.r.Context(), 0, q, page)
	},
	cells: methodCells,
	id:    func(d *catalog.DeliveryMethod) *int64 { return &d.ID },
	name:  func(d *catalog.DeliveryMethod) string { return d.Name },
	load: func(c *call, id int64) (*catalog.DeliveryMethod, error) {
		return c.Control.DeliveryMethod(c.r.Context(), id)
	},
	first: func(c *call) *catalog.DeliveryMethod {
		d := &catalog.DeliveryMethod{Packages: []catalog.Package{{Type: catalog.Command}}}
		d.AppID, _ = strconv.ParseInt(c.r.URL.Query().Get("app_id"), 10, 64) // none is chosen otherwise
		d.SetDefaults()
		return d
	},
	create: func(c *call, d *catalog.DeliveryMethod) error {
		return c.Control.CreateDeliveryMethod(c.r.Context(), c.who(), d)
	},
	made: "The delivery method is made. A provision lets people launch it.",
	read: readMethod,
	update: func(c *call, id int64, change func(*catalog.DeliveryMethod) error) error {
		_, err := c.Control.UpdateDeliveryMethod(c.r.Context(), c.who(), id, change)
		return err
	},
	shown: []string{"app_id", "name", "licence", "heartbeat_seconds", "warnings_seconds", "successor_id", "packages", "kind", "stream"},
	facts: func(c *call, d *catalog.DeliveryMethod) ([]fact, error) {
		app, err := c.appName(d.AppID)
		if err != nil {
			return nil, err
		}
		fs := []fact{{Name: "App", Text: app, Link: appsPath + "/" + itoa(d.AppID)},
			{Name: "Kind", Text: kindWords[d.Kind]},
			{Name: "Sessions", Text: "by this delivery method", Link: sessionQuery{SessionQuery: store.SessionQuery{Kind: d.Kind, DeliveryMethodID: d.ID}}.path()}}
		next, err := c.successor(d)
		if next != nil {
			fs = append(fs, *next)
		}
		return fs, err
	},
	aside: methodAside,
	changes: func(c *call, d *catalog.DeliveryMethod) []change {
		return []change{{Name: "delete", Verb: "Delete", Title: "Delete " + d.Name, Done: "The delivery method is deleted.", Gone: true,
			do:   func() error { return c.Control.DeleteDeliveryMethod(c.r.Context(), c.who(), d.ID, c.ending()) },
			Ends: true, Running: &store.SessionQuery{DeliveryMethodID: d.ID},
			Happens: "Nobody can launch by it any more. This cannot be undone."}}
	},
	fields: func(c *call, d *catalog.DeliveryMethod, errs map[string]string) (templ.Component, error) {
		f, err := c.methodForm(d, errs)
		return methodFields(f), err
	},
}

func methodCells(c *call, d *catalog.DeliveryMethod, _ time.Time) ([]cell, error) {
	app, err := c.appName(d.AppID)
	if err != nil {
		return nil, err
	}
	seats, err := c.seats(d)
	return []cell{{Text: d.Name}, {Text: app}, {Text: string(d.Licence.Type), Muted: true}, {Text: seats, Muted: true},
		{Text: "every " + words(seconds(d.HeartbeatSeconds)), Muted: true}, {Text: durations(d.WarningsSeconds), Muted: true}}, err
}

func (c *call) appName(id int64) (string, error) {
	a, err := c.Control.App(c.r.Context(), id)
	if errors.Is(err, store.ErrNotFound) {
		return "a deleted app", nil
	}
	if err != nil {
		return "", err
	}
	return a.Name, nil
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

// A methodForm is a delivery method as its form shows it: numbers are text that may
// not be right yet.
type methodForm struct {
	Method    *catalog.DeliveryMethod
	Apps      []option
	Followers []option // what sessions may upgrade to
	Offline   string
	Seats     string
	Heartbeat string
	Warnings  string
	Stream    streamFields
	Errors    map[string]string
}

// streamFields are the settings of a stream as the form writes them.
type streamFields struct {
	Geometry, Reconnect, Idle, Max, Pool string
	Clipboard                            bool
	Sandbox                              catalog.Sandbox
	Network                              catalog.Network
	Allow                                string // entries, with commas between them
}

// kindWords says what the kinds of delivery methods are.
var kindWords = map[session.Kind]string{session.Device: "runs on a person’s device", session.Stream: "runs on a host, streamed into the browser"}

// streamFieldsOf writes a delivery method's settings, or those that a new one begins with.
func streamFieldsOf(d *catalog.DeliveryMethod) streamFields {
	s := d.Stream
	if s == nil {
		blank := catalog.DeliveryMethod{Kind: session.Stream}
		blank.SetDefaults()
		s = blank.Stream
	}
	return streamFields{Geometry: s.Geometry, Reconnect: duration(s.ReconnectSeconds), Idle: duration(s.IdleSeconds), Max: duration(s.MaxSeconds), Pool: s.Pool, Clipboard: !s.ClipboardOff,
		Sandbox: cmp.Or(s.Sandbox, catalog.StrictSandbox), Network: cmp.Or(s.Network, catalog.Internet), Allow: strings.Join(s.Allow, ", ")}
}

// durationHelp says how lengths are written.
const durationHelp = "As 90 s, 5 min, 8 h or 30 d."

func (c *call) methodForm(d *catalog.DeliveryMethod, errs map[string]string) (*methodForm, error) {
	m := &methodForm{Method: d, Offline: duration(d.Licence.OfflineSeconds), Heartbeat: duration(d.HeartbeatSeconds), Warnings: durations(d.WarningsSeconds), Stream: streamFieldsOf(d), Errors: errs}
	if d.Licence.Seats > 0 {
		m.Seats = strconv.Itoa(d.Licence.Seats)
	}
	if c.r.Method == http.MethodPost {
		get := c.r.PostFormValue
		m.Offline, m.Seats, m.Heartbeat, m.Warnings = get("licence.offline_seconds"), get("licence.seats"), get("heartbeat_seconds"), get("warnings_seconds")
		m.Stream = streamFields{get("stream.geometry"), get("stream.reconnect_seconds"), get("stream.idle_seconds"), get("stream.max_seconds"), get("stream.pool"), get("clipboard") == "true",
			catalog.Sandbox(get("stream.sandbox")), catalog.Network(get("stream.network")), get("stream.allow")}
	}
	ctx, every := c.r.Context(), store.Page{Size: 500}
	if d.ID == 0 {
		list, _, err := c.Control.ListApps(ctx, "", every)
		if err != nil {
			return nil, err
		}
		for _, a := range list {
			m.Apps = append(m.Apps, option{Value: itoa(a.ID), Label: a.Name, Chosen: a.ID == d.AppID})
		}
		return m, nil
	}
	others, _, err := c.Control.ListDeliveryMethods(ctx, d.AppID, "", every)
	if err != nil {
		return nil, err
	}
	m.Followers = []option{{Value: "", Label: "none", Chosen: d.SuccessorID == 0}}
	for _, o := range others {
		if o.ID != d.ID {
			m.Followers = append(m.Followers, option{Value: itoa(o.ID), Label: o.Name, Chosen: o.ID == d.SuccessorID})
		}
	}
	return m, nil
}

// readMethod takes the form into d, and says which texts are not what they should be.
func readMethod(c *call, d *catalog.DeliveryMethod) error {
	get := func(name string) string { return strings.TrimSpace(c.r.PostFormValue(name)) }
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
		d.Kind = cmp.Or(session.Kind(get("kind")), session.Device)
	}
	d.Name = get("name")
	d.Licence = catalog.Licence{Type: lease.Kind(get("licence.type")), Seats: number(&e, c.r.PostForm, "licence.seats")}
	if d.Licence.Type == lease.Fixed {
		d.Licence.OfflineSeconds = length("licence.offline_seconds", get("licence.offline_seconds"))
	}
	d.HeartbeatSeconds = length("heartbeat_seconds", get("heartbeat_seconds"))
	d.WarningsSeconds, d.Stream = []int{}, nil
	if d.Kind == session.Stream {
		// What belongs to the other kind is out of sight, and not meant.
		d.Licence.Type, d.Licence.OfflineSeconds = lease.Floating, 0
		d.Stream = &catalog.StreamSettings{
			Geometry: get("stream.geometry"), ReconnectSeconds: length("stream.reconnect_seconds", get("stream.reconnect_seconds")),
			IdleSeconds: length("stream.idle_seconds", get("stream.idle_seconds")), MaxSeconds: length("stream.max_seconds", get("stream.max_seconds")),
			Pool: get("stream.pool"), ClipboardOff: get("clipboard") != "true",
			Sandbox: catalog.Sandbox(get("stream.sandbox")), Network: catalog.Network(get("stream.network")),
		}
		for a := range strings.SplitSeq(get("stream.allow"), ",") {
			if a = strings.TrimSpace(a); a != "" {
				d.Stream.Allow = append(d.Stream.Allow, a)
			}
		}
		d.Packages = readPackages(c)
		return e.Err()
	}
	for w := range strings.SplitSeq(get("warnings_seconds"), ",") {
		if w = strings.TrimSpace(w); w != "" {
			d.WarningsSeconds = append(d.WarningsSeconds, length("warnings_seconds", w))
		}
	}
	d.SuccessorID, _ = strconv.ParseInt(get("successor_id"), 10, 64)
	d.Packages = readPackages(c)
	return e.Err()
}

// readPackages takes the packages of the form, one more or one less if a button of
// theirs sent it.
func readPackages(c *call) []catalog.Package {
	get := func(name string) string { return strings.TrimSpace(c.r.PostFormValue(name)) }
	var out []catalog.Package
	n, _ := strconv.Atoi(get("packages"))
	do := get("do")
	for i := range min(n, 51) { // one more than the rules allow, so that they say so
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
		out = append(out, p)
	}
	if do == "add" {
		out = append(out, catalog.Package{Type: catalog.Command})
	}
	return out
}
