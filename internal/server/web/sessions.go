package web

import (
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
	q, err := c.sessionQuery(query)
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
		Kind:    q.Kind,
		Total:   total(list),
		Filter:  q.filter().Encode(),
		All:     everything(list, q),
		Batches: batchesPath,
		Export:  withQuery(q.base()+"/export", q.values()),
		Self:    q.path(),
		Clear:   q.clear(),
		NoQuery: q.with(func(q *sessionQuery) { q.Q = "" }).path(),
		Events:  q.base() + "/events",
		History: q.with(func(q *sessionQuery) { q.History = !q.History }).path(),
		WithOld: q.History,
		Search:  search{Path: q.base(), Value: q.Q, Hint: searched[q.Kind], Hidden: q.hidden("q")},
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
	return c.show(page{Title: title(strings.TrimSpace(noteOf[q.Kind] + " " + strings.ToLower(titleOf[q.Kind]))), Nav: navOf(q.Kind), Now: list.Now}, sessionsView(l, list.Now))
}

// searched is what a search of a kind's list looks at.
var searched = map[session.Kind]string{
	session.Device: "App, user, provision, device, status or number",
	session.Stream: "App, user, provision, host, status or number",
}

// titleOf is the title of a kind's list, noteOf what stands beside it.
var noteOf = map[session.Kind]string{session.Stream: "streamed apps"}
var titleOf = map[session.Kind]string{session.Device: "Sessions", session.Stream: "Sessions"}

// total writes what a list counts; beyond the bound it says so.
func total(l *control.List) string {
	if l.Exact {
		return plural(l.Total, "session")
	}
	return "more than " + plural(l.Total, "session")
}

// everything names all that the list's filter matches, beyond this page too.
func everything(l *control.List, q sessionQuery) string {
	n := thousands(l.Total)
	if !l.Exact {
		n = "more than " + n
	}
	if len(q.filter()) == 0 {
		return "All sessions (" + n + ")"
	}
	return "Everything that matches (" + n + ")"
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
	tick := column{Key: "tick", Name: "Tick", Quiet: true}
	if q.Kind == session.Stream {
		return []column{
			tick,
			col("no", "Session ID", "id", true),
			col("name", "Name", "user", false),
			col("email", "Email", "email", false),
			col("app", "App name", "app", false),
			col("started", "Start time", "started_at", false),
			col("for", "Duration", "duration", false),
			col("status", "Status", "status", false),
			col("do", "Operations", "", false),
		}
	}
	return []column{
		tick,
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
		Device: r.AgentName, Status: statusOf(&r, now), Since: r.StatusSince, Activity: r.LastActivityAt,
		Simulated: r.Simulated, Gone: !r.DeletedAt.IsZero(),
		Kind: r.Kind, Username: r.Username, Email: r.UserEmail, Started: r.StartedAt, Ended: r.EndedAt,
	}
	if row.Gone {
		// What it still waited for is over; when it left the list is what is left to say.
		row.Status.Closes, row.Status.Closed, row.Status.Extra, row.Status.Deleted = session.Forecast{}, time.Time{}, "", r.DeletedAt
	}
	if row.User == "" {
		row.User = r.Username
	}
	for _, a := range r.Actions() {
		row.Actions = append(row.Actions, string(a))
	}
	h := fnv.New32a()
	fmt.Fprint(h, r.Status, r.Reason, r.StatusSince.UnixNano(), r.Observed, r.LastActivityAt.Unix(), r.AgentName, r.DeliveryMethodName, row.Actions, r.DeletedAt.Unix(), row.Status.Extra, r.EndedAt.Unix())
	fmt.Fprint(h, " ", r.Said, " ", r.Told)
	if o := r.Order; o != nil {
		fmt.Fprint(h, o.Action, o.DeliveredAt.Unix(), o.WarnedAt.Unix(), o.ClosedAt.Unix(), o.ETA, o.ClosesAt.Unix())
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
func statusOf(r *store.SessionRow, now time.Time) status {
	s := r.Session
	st := status{Word: label(string(s.Status)), Tone: toneOf(string(s.Status)), Note: s.Reason}
	o := s.Order
	switch ordered := o != nil && orderStatus[o.Action] == s.Status; {
	case ordered && o.Open():
		st.Closes = r.Closes
	case ordered && now.Sub(o.ClosedAt) < 24*time.Hour:
		st.Closed = o.ClosedAt
	case s.Status.Ended() && s.Observed == session.IsRunning && (s.Kind == session.Device || s.Lease != nil):
		// A stream runs under its lease only, so that without one it is over, whatever its host
		// was last heard to say.
		st.Extra = "still seen running"
	case s.Kind == session.Stream:
		st.Extra = streamDetail(s)
	case s.Status.Ended():
	case s.Problem != "":
		st.Extra, st.Note = hindered(s.Status), s.Problem
	case s.Progress > 0 && s.Progress < 100:
		st.Extra = fmt.Sprintf("adding %d%%", s.Progress)
	}
	return st
}

// hindered says in a few words what a session's problem keeps it from.
func hindered(s session.Status) string {
	switch s {
	case session.Launched, session.Starting:
		return "could not be added"
	case session.UpgradeRequested:
		return "could not be upgraded"
	}
	return "has a problem"
}

// streamDetail is what a stream's status leaves out: whether somebody watches it, or why it
// is over.
func streamDetail(s *session.Session) string {
	switch {
	case s.Status == session.Connected && s.Viewers == 0 && !s.UnwatchedSince.IsZero():
		return "nobody watching"
	case s.Status == session.Connected && s.Viewers > 1:
		return strconv.Itoa(s.Viewers) + " watching"
	case s.Status == session.Disconnected, s.Status == session.Failed:
		return s.Reason
	}
	return ""
}
