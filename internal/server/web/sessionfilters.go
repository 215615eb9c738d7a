package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"leasehold/internal/control"
	"leasehold/internal/session"
	"leasehold/internal/store"
)

// A pickKind is a kind of thing that lists are filtered by and forms choose from.
type pickKind struct {
	key   string // of the filter, and of the picker's address
	name  string
	find  func(ctx context.Context, c *control.Control, q string, size int) ([]option, bool, error)
	label func(ctx context.Context, c *control.Control, id int64) (string, error)
	id    func(*sessionQuery) *int64
	of    session.Kind // the only kind of session that it filters; "" for both
}

// filters reports whether the list of q can be filtered by it.
func (k *pickKind) filters(q sessionQuery) bool { return k.id != nil && (k.of == "" || k.of == q.Kind) }

func sessionFilters(q sessionQuery) []filter {
	path := func(key string) string {
		v := q.with(func(*sessionQuery) {}).values()
		v.Set("by", key)
		return withQuery(q.base()+"/filter", v)
	}
	var fs []filter
	if q.Kind == session.Stream {
		fs = append(fs, filter{Key: "person", Name: "Filter", Path: path("person"), On: q.Username != "" || q.Email != ""})
	}
	fs = append(fs, filter{Key: "status", Name: "Status", Path: path("status"), On: len(q.Statuses) > 0})
	for _, k := range pickKinds {
		if k.filters(q) {
			fs = append(fs, filter{Key: k.key, Name: k.name, Path: path(k.key), On: *k.id(&q) != 0})
		}
	}
	return append(fs,
		filter{Key: "started", Name: "Started", Path: path("started"), On: !q.From.IsZero() || !q.To.IsZero()},
		filter{Key: "silent", Name: "Silent for", Path: path("silent"), On: q.Silent > 0})
}

// sessionChips shows every filter that is set, with the list without it.
func (c *call) sessionChips(q sessionQuery) ([]chip, error) {
	var cs []chip
	if q.Username != "" {
		cs = append(cs, chip{"username contains", q.Username, q.with(func(q *sessionQuery) { q.Username = "" }).path()})
	}
	if q.Email != "" {
		cs = append(cs, chip{"email contains", q.Email, q.with(func(q *sessionQuery) { q.Email = "" }).path()})
	}
	for _, s := range q.Statuses {
		off := q.with(func(q *sessionQuery) {
			q.Statuses = slices.DeleteFunc(q.Statuses, func(t session.Status) bool { return t == s })
		})
		cs = append(cs, chip{"status", label(string(s)), off.path()})
	}
	for _, k := range pickKinds {
		if !k.filters(q) || *k.id(&q) == 0 {
			continue
		}
		id := *k.id(&q)
		name, err := k.label(c.r.Context(), c.Control, id)
		if errors.Is(err, store.ErrNotFound) {
			name, err = "no. "+itoa(id), nil // deleted, but its sessions are there
		}
		if err != nil {
			return nil, err
		}
		cs = append(cs, chip{strings.ToLower(k.name), name, q.with(func(q *sessionQuery) { *k.id(q) = 0 }).path()})
	}
	if q.Older > 0 {
		cs = append(cs, chip{"started", "more than " + words(q.Older) + " ago", q.with(func(q *sessionQuery) { q.Older = 0 }).path()})
	}
	if q.FromText != "" {
		cs = append(cs, chip{"started from", q.FromText, q.with(func(q *sessionQuery) { q.FromText = "" }).path()})
	}
	if q.ToText != "" {
		cs = append(cs, chip{"started to", q.ToText, q.with(func(q *sessionQuery) { q.ToText = "" }).path()})
	}
	if q.Silent > 0 {
		cs = append(cs, chip{"silent for", words(q.Silent) + " or more", q.with(func(q *sessionQuery) { q.Silent = 0 }).path()})
	}
	if q.History {
		cs = append(cs, chip{"history", "deleted ones too", q.with(func(q *sessionQuery) { q.History = false }).path()})
	}
	return cs, nil
}

// machineOf is what a session of a kind runs on, and navOf where its pages stand in the
// side bar.
var machineOf = map[session.Kind]string{session.Device: "device", session.Stream: "host"}

func navOf(k session.Kind) string {
	if k == session.Stream {
		return "streams"
	}
	return "sessions"
}

// listPath is the list that a session of a kind stands in.
func listPath(k session.Kind) string {
	if k == session.Stream {
		return streamsPath
	}
	return sessionsPath
}

// personFilter is the form that finds a person's sessions by a part of a name or an address.
func personFilter(q sessionQuery) *personForm {
	return &personForm{
		Email: q.Email != "", Term: cmp.Or(q.Email, q.Username), Path: q.base(), Hidden: q.hidden("username", "email"),
		Reset: q.with(func(q *sessionQuery) { q.Username, q.Email = "", "" }).path(),
	}
}

// filterPage offers the choices of one filter. The list's menus load it; without the
// script it is a page of links.
func filterPage(c *call) error {
	query := c.r.URL.Query()
	q, err := c.sessionQuery(query)
	if err != nil {
		return err
	}
	by, find := query.Get("by"), strings.TrimSpace(query.Get("find"))
	switch by {
	case "person":
		return c.showFilter("Filter by person", filterChoices{Person: personFilter(q)}, q)
	case "status":
		return c.showFilter("Filter by status", filterChoices{Options: statusOptions(q)}, q)
	case "started":
		return c.showFilter("Filter by age", filterChoices{
			Options: spanOptions(q, "More than %s ago", func(q *sessionQuery) *time.Duration { return &q.Older }, time.Hour, 24*time.Hour, 7*24*time.Hour, 30*24*time.Hour),
			Dates:   &dates{From: q.FromText, To: q.ToText, Path: q.base(), Hidden: q.hidden("from", "to")},
		}, q)
	case "silent":
		return c.showFilter("Filter by silence", filterChoices{
			Options: spanOptions(q, "%s or more", func(q *sessionQuery) *time.Duration { return &q.Silent }, 5*time.Minute, 15*time.Minute, time.Hour, 24*time.Hour),
			Note:    "Nothing was heard from the session’s " + machineOf[q.Kind] + " for so long.",
		}, q)
	}
	for _, k := range pickKinds {
		if k.key != by || !k.filters(q) {
			continue
		}
		options, more, err := k.find(c.r.Context(), c.Control, find, 20)
		if err != nil {
			return err
		}
		chosen := *k.id(&q)
		for i := range options {
			o := &options[i]
			id, _ := strconv.ParseInt(o.Value, 10, 64) // find wrote it
			o.Chosen = id == chosen
			o.Link = q.with(func(q *sessionQuery) {
				*k.id(q) = id
				if o.Chosen {
					*k.id(q) = 0
				}
			}).path()
		}
		s := search{Path: q.base() + "/filter", Value: find, Hint: "Find", Hidden: append(q.hidden(), [2]string{"by", by})}
		return c.showFilter("Filter by "+strings.ToLower(k.name), filterChoices{Search: s, Options: options, More: more}, q)
	}
	return store.ErrNotFound
}

func (c *call) showFilter(name string, f filterChoices, q sessionQuery) error {
	return c.show(page{Title: name, Nav: navOf(q.Kind)}, filterView(name, f, q.path()))
}

// spanOptions offers spans of time of which one can be chosen, and the one that is, if
// somebody wrote another into the address.
func spanOptions(q sessionQuery, format string, of func(*sessionQuery) *time.Duration, spans ...time.Duration) []option {
	chosen := *of(&q)
	if chosen > 0 && !slices.Contains(spans, chosen) {
		spans = append(spans, chosen)
	}
	var out []option
	for _, d := range spans {
		next := q.with(func(q *sessionQuery) {
			if *of(q) = d; d == chosen {
				*of(q) = 0
			}
		})
		out = append(out, option{Label: fmt.Sprintf(format, words(d)), Chosen: d == chosen, Link: next.path()})
	}
	return out
}

func statusOptions(q sessionQuery) []option {
	var out []option
	for _, s := range session.Statuses(q.Kind) {
		on := slices.Contains(q.Statuses, s)
		next := q.with(func(q *sessionQuery) {
			if on {
				q.Statuses = slices.DeleteFunc(q.Statuses, func(t session.Status) bool { return t == s })
			} else {
				q.Statuses = append(q.Statuses, s)
			}
		})
		out = append(out, option{Value: string(s), Label: label(string(s)), Tone: toneOf(string(s)), Chosen: on, Link: next.path()})
	}
	return out
}
