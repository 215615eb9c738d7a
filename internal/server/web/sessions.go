package web

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"time"

	"leasehold/internal/control"
	"leasehold/internal/session"
	"leasehold/internal/store"
)

// pageSizes are offered; any other up to the greatest may be asked for by address.
var pageSizes = []int{25, 50, 100, 250, 500}

// sessionsPage is the list. Asked with "rows" it sends those rows alone, as they are
// now, for a page whose rows must stay where they are.
func sessionsPage(c *call) error {
	query := c.r.URL.Query()
	q, err := readSessionQuery(query)
	if err != nil {
		return err
	}
	if query.Has("rows") {
		return c.sessionRows(q, query.Get("rows"), query.Get("newest"))
	}
	list, err := c.Control.ListSessions(c.r.Context(), q.asked())
	if err != nil {
		return err
	}
	if q.End {
		slices.Reverse(list.Rows)
		list.Next, list.Prev = list.Prev, list.Next
	}
	l := sessionList{
		Total:   total(list),
		Self:    q.path(),
		Clear:   q.clear(),
		NoQuery: q.with(func(q *sessionQuery) { q.Q = "" }).path(),
		Events:  sessionsPath + "/events",
		History: q.with(func(q *sessionQuery) { q.History = !q.History }).path(),
		WithOld: q.History,
		Search:  search{Path: sessionsPath, Value: q.Q, Hint: "Search app, user, provision, status", Hidden: q.hidden("q")},
		Columns: sessionColumns(q),
		Filters: sessionFilters(q),
	}
	if l.Chips, err = c.sessionChips(q); err != nil {
		return err
	}
	for _, r := range list.Rows {
		l.Rows = append(l.Rows, rowOf(r, list.Now))
		if q.newestFirst() {
			l.Newest = max(l.Newest, r.ID)
		}
	}
	l.Pager = sessionPager(q, list)
	return c.show(page{Title: "Sessions", Nav: "sessions", Now: list.Now}, sessionsView(l, list.Now))
}

// total writes what a list counts; beyond the bound it says so.
func total(l *control.List) string {
	if l.Exact {
		return plural(l.Total, "session")
	}
	return "more than " + plural(l.Total, "session")
}

func sessionPager(q sessionQuery, list *control.List) pager {
	var p pager
	if list.Prev != "" {
		p.First, p.Prev = q.at("", false), q.at(list.Prev, q.End)
	}
	if list.Next != "" {
		p.Next, p.Last = q.at(list.Next, q.End), q.at("", true)
	}
	size := q.PageSize
	if size == 0 {
		size = control.DefaultPageSize
	}
	sizes := pageSizes
	if !slices.Contains(sizes, size) {
		sizes = append([]int{size}, sizes...)
	}
	for _, n := range sizes {
		p.Sizes = append(p.Sizes, option{Label: strconv.Itoa(n), Chosen: n == size,
			Link: q.with(func(q *sessionQuery) { q.PageSize = n }).path()})
	}
	return p
}

func sessionColumns(q sessionQuery) []column {
	col := func(key, name, sort string, down bool) column {
		c := column{Key: key, Name: name}
		if sort != "" {
			c.Sort, c.Dir = q.sortBy(sort, down), q.direction(sort)
		}
		return c
	}
	return []column{
		{Key: "tick", Name: "Tick", Quiet: true},
		col("no", "No.", "id", true),
		col("user", "User", "user", false),
		col("app", "App", "app", false),
		col("prov", "Provision", "provision", false),
		col("method", "Delivery method", "delivery_method", false),
		col("dev", "Device", "device", false),
		col("status", "Status", "status", false),
		col("since", "Since", "since", true),
		col("act", "Last activity", "last_activity_at", true),
		col("do", "Actions", "", false),
	}
}

// sessionRows answers a live page: the rows that it shows, and how many new sessions
// wait above them.
func (c *call) sessionRows(q sessionQuery, rows, newest string) error {
	var wanted []int64
	for s := range strings.SplitSeq(rows, ",") {
		if n, err := strconv.ParseInt(s, 10, 64); err == nil && len(wanted) < control.MaxPageSize {
			wanted = append(wanted, n)
		}
	}
	found, now, err := c.Control.SessionRows(c.r.Context(), wanted)
	if err != nil {
		return err
	}
	out := make([]sessionRow, len(found))
	for i, r := range found {
		out[i] = rowOf(r, now)
	}
	waiting := ""
	if last, err := strconv.ParseInt(newest, 10, 64); err == nil && last > 0 && q.newestFirst() {
		if waiting, err = c.waiting(q, last); err != nil {
			return err
		}
	}
	return c.fragment(liveRowsView(out, waiting, now))
}

// waiting says how many sessions of the list are newer than the newest one shown.
func (c *call) waiting(q sessionQuery, last int64) (string, error) {
	list, err := c.Control.ListSessions(c.r.Context(), q.SessionQuery)
	if err != nil {
		return "", err
	}
	n := 0
	for _, r := range list.Rows {
		if r.ID > last {
			n++
		}
	}
	switch {
	case n == 0:
		return "", nil
	case n == len(list.Rows) && list.Next != "":
		return fmt.Sprintf("%d or more new sessions", n), nil
	case n == 1:
		return "1 new session", nil
	}
	return fmt.Sprintf("%d new sessions", n), nil
}

// rowOf is a session as the list shows it.
func rowOf(r store.SessionRow, now time.Time) sessionRow {
	row := sessionRow{
		ID: r.ID, User: r.UserName, App: r.AppName, Provision: r.ProvisionName, Method: r.DeliveryMethodName,
		Device: r.AgentName, Status: statusOf(r.Session, now), Since: r.StatusSince, Activity: r.LastActivityAt,
		Simulated: r.Simulated,
	}
	if row.User == "" {
		row.User = r.Username
	}
	for _, a := range r.Actions() {
		row.Actions = append(row.Actions, string(a))
	}
	h := fnv.New32a()
	fmt.Fprint(h, r.Status, r.Reason, r.StatusSince.UnixNano(), r.Observed, r.LastActivityAt.Unix(), r.AgentName, r.DeliveryMethodName, row.Actions)
	if o := r.Order; o != nil {
		fmt.Fprint(h, o.Action, o.DeliveredAt.Unix(), o.WarnedAt.Unix(), o.ClosedAt.Unix(), o.ETA.Unix())
	}
	row.Rev = strconv.FormatUint(uint64(h.Sum32()), 36)
	return row
}

// orderStatus is the status that a session has because of an order.
var orderStatus = map[session.Action]session.Status{
	session.Evict: session.Evicted, session.Expire: session.Expired, session.Kill: session.Killed, session.Cancel: session.Killed,
}

// statusOf is a session's status with what is still open about it: an order that is on
// its way counts down, and an app that runs where it should not is said to.
func statusOf(s *session.Session, now time.Time) status {
	st := status{Word: label(string(s.Status)), Tone: toneOf(string(s.Status)), Note: s.Reason}
	o := s.Order
	if o == nil || orderStatus[o.Action] != s.Status {
		if s.Status.Ended() && s.Observed == session.IsRunning {
			st.Extra = "still seen running"
		}
		return st
	}
	switch {
	case o.Open():
		st.ETA = o.ETA
	case now.Sub(o.ClosedAt) < 24*time.Hour:
		st.Closed = o.ClosedAt
	}
	return st
}

// A pickKind is a kind of thing that lists are filtered by and forms choose from.
type pickKind struct {
	key   string // of the filter, and of the picker's address
	name  string
	find  func(ctx context.Context, c *control.Control, q string, size int) ([]option, bool, error)
	label func(ctx context.Context, c *control.Control, id int64) (string, error)
	id    func(*sessionQuery) *int64
}

func sessionFilters(q sessionQuery) []filter {
	path := func(key string) string {
		v := q.with(func(*sessionQuery) {}).values()
		v.Set("by", key)
		return withQuery(sessionsPath+"/filter", v)
	}
	fs := []filter{{Key: "status", Name: "Status", Path: path("status"), On: len(q.Statuses) > 0}}
	for _, k := range pickKinds {
		if k.id != nil {
			fs = append(fs, filter{Key: k.key, Name: k.name, Path: path(k.key), On: *k.id(&q) != 0})
		}
	}
	return fs
}

// sessionChips shows every filter that is set, with the list without it.
func (c *call) sessionChips(q sessionQuery) ([]chip, error) {
	var cs []chip
	for _, s := range q.Statuses {
		off := q.with(func(q *sessionQuery) {
			q.Statuses = slices.DeleteFunc(q.Statuses, func(t session.Status) bool { return t == s })
		})
		cs = append(cs, chip{"status", label(string(s)), off.path()})
	}
	for _, k := range pickKinds {
		if k.id == nil || *k.id(&q) == 0 {
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
	if q.History {
		cs = append(cs, chip{"history", "deleted ones too", q.with(func(q *sessionQuery) { q.History = false }).path()})
	}
	return cs, nil
}

// filterPage offers the choices of one filter. The list's menus load it; without the
// script it is a page of links.
func filterPage(c *call) error {
	query := c.r.URL.Query()
	q, err := readSessionQuery(query)
	if err != nil {
		return err
	}
	by, find := query.Get("by"), strings.TrimSpace(query.Get("find"))
	if by == "status" {
		return c.show(page{Title: "Filter by status", Nav: "sessions"}, filterView("Filter by status", search{}, statusOptions(q), false, q.path()))
	}
	for _, k := range pickKinds {
		if k.key != by || k.id == nil {
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
		s := search{Path: sessionsPath + "/filter", Value: find, Hint: "Find", Hidden: append(q.hidden(""), [2]string{"by", by})}
		name := "Filter by " + strings.ToLower(k.name)
		return c.show(page{Title: name, Nav: "sessions"}, filterView(name, s, options, more, q.path()))
	}
	return store.ErrNotFound
}

func statusOptions(q sessionQuery) []option {
	var out []option
	for _, s := range session.Statuses(session.Device) {
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
