package web

import (
	"cmp"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"

	"leasehold/internal/catalog"
	"leasehold/internal/control"
	"leasehold/internal/store"
	"leasehold/internal/wire"
)

const hostsPath = "/admin/hosts"

// hosts are the stream hosts' pages.
var hosts = &records[store.Agent]{
	path: hostsPath, nav: "hosts", noun: "host",
	list: listing{
		Title: "Hosts", Empty: "No stream hosts yet. Make an enrolment key, and enrol a machine with it.",
		Columns: []column{{Key: "name", Name: "Name"}, {Key: "act", Name: "Last seen"}, {Key: "s", Name: "Pool"}, {Key: "s", Name: "Sessions at once"}, {Key: "m", Name: "System"}, {Key: "time", Name: "Enrolled"}},
		Extra:   newHostKeyButton(),
	},
	find: func(c *call, q string, page store.Page) ([]*store.Agent, string, error) {
		return c.Control.ListAgents(c.r.Context(), wire.Host, q, page)
	},
	cells: func(_ *call, a *store.Agent, now time.Time) ([]cell, error) {
		return []cell{{Text: a.Name}, {View: ago(a.Seen.At, now)}, {Text: poolOf(a), Muted: true}, {Text: strconv.Itoa(a.Slots)},
			{Text: a.OS + " " + a.Arch, Muted: true}, {View: ago(a.CreatedAt, now), Muted: true}}, nil
	},
	id:   func(a *store.Agent) *int64 { return &a.ID },
	name: func(a *store.Agent) string { return a.Name },
	load: func(c *call, id int64) (*store.Agent, error) {
		a, err := c.Control.Agent(c.r.Context(), id)
		if err == nil && a.Kind != wire.Host {
			return nil, store.ErrNotFound
		}
		return a, err
	},
	read: func(c *call, a *store.Agent) error {
		a.Name, a.Pool = strings.TrimSpace(c.r.PostFormValue("name")), strings.TrimSpace(c.r.PostFormValue("pool"))
		return nil
	},
	update: func(c *call, id int64, change func(*store.Agent) error) error {
		_, err := c.Control.UpdateAgent(c.r.Context(), c.who(), id, c.ending(), change)
		return err
	},
	shown: []string{"name", "pool"},
	facts: func(_ *call, a *store.Agent) ([]fact, error) {
		fs := []fact{
			{Name: "Last seen", View: ago(a.Seen.At, time.Now())},
			{Name: "Sessions at once", Text: strconv.Itoa(a.Slots)},
			{Name: "Sessions lack", Text: lacks(a)},
			{Name: "System", Text: a.OS + " " + a.Arch},
			{Name: "Version", Text: a.Version},
			{Name: "Enrolled", View: at(a.CreatedAt)},
			{Name: "Sessions", Text: "on this host", Link: streamsPath + "?host_id=" + itoa(a.ID)},
		}
		if a.Chain.Quarantined {
			fs = append(fs, fact{Name: "Quarantined", Text: "a copy of its state folder has checked in; it gets no leases until it enrols anew"})
		}
		return fs, nil
	},
	changes: func(c *call, a *store.Agent) []change {
		return []change{{Name: "remove", Verb: "Remove", Title: "Remove " + a.Name, Done: "The host is removed.", Gone: true,
			do:      func() error { return c.Control.DeleteAgent(c.r.Context(), c.who(), a.ID) },
			Happens: "Its credential is taken away: it cannot check in any more, gets no new sessions, and those that it has end with their leases. To come back it must enrol anew.",
			Not:     "It does not stop the host’s own program on the machine."}}
	},
	fields: func(_ *call, a *store.Agent, errs map[string]string) (templ.Component, error) {
		return hostFields(a, errs), nil
	},
}

// poolOf names a host's pool.
func poolOf(a *store.Agent) string { return cmp.Or(catalog.Pool(a.Pool), catalog.DefaultPool) }

// newHostKey makes an enrolment key for hosts, as newKey does for devices.
func newHostKey(c *call) error {
	key, err := c.Control.NewEnrolmentKey(c.r.Context(), c.who(), wire.Host, "", false)
	if err != nil {
		return err
	}
	c.w.Header().Set("Cache-Control", "no-store")
	return hosts.listWith(c, http.StatusCreated, keyView("hosts", "host", key, c.Control.PublicURL, words(control.EnrolmentKeyLife)))
}

// lacks is what a host says that it does not offer to its sessions.
func lacks(a *store.Agent) string {
	if len(a.Missing) == 0 {
		return "nothing"
	}
	return strings.Join(a.Missing, " · ")
}
