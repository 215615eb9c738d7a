package web

import (
	"cmp"
	"errors"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"leasehold/internal/calendar"
	"leasehold/internal/invalid"
	"leasehold/internal/session"
	"leasehold/internal/store"
)

// The lists of sessions, one for each kind. A session's own page is below the first.
const (
	sessionsPath = "/admin/sessions"
	streamsPath  = "/admin/streams"
)

// A sessionQuery is the sessions page's state. It stands in the URL and nowhere else,
// under the names that the API uses.
type sessionQuery struct {
	store.SessionQuery
	// End reads the list from its end: the page token, if any, is one of the list in
	// the other direction. That is how the last page is found without counting.
	End bool

	// What the times of the query are made of, as it stands in the URL.
	FromText, ToText string        // dates or times
	Older, Silent    time.Duration // counted back from AsOf
	// AsOf is the moment of the list's first page. The pages after it keep it: counted back
	// from another moment it would be another list, of which their tokens are not.
	AsOf time.Time
}

// sessionQuery reads the state from a URL's query. Numbers and dates that are none are
// an [invalid.Error]; the rest is checked by the use case.
func (c *call) sessionQuery(v url.Values) (sessionQuery, error) {
	kind := session.Device
	if strings.HasPrefix(c.r.URL.Path, streamsPath) {
		kind = session.Stream
	}
	return c.sessionQueryOf(kind, v)
}

// sessionQueryOf is sessionQuery for a list of a kind, whichever page asks.
func (c *call) sessionQueryOf(kind session.Kind, v url.Values) (sessionQuery, error) {
	zone := time.UTC
	if v.Get("from") != "" || v.Get("to") != "" {
		set, err := c.Control.Settings(c.r.Context())
		if err != nil {
			return sessionQuery{}, err
		}
		zone = set.Location()
	}
	return readSessionQuery(kind, v, time.Now(), zone)
}

func readSessionQuery(kind session.Kind, v url.Values, now time.Time, zone *time.Location) (sessionQuery, error) {
	var e invalid.Error
	num := func(name string) int64 {
		s := v.Get(name)
		if s == "" {
			return 0
		}
		n, err := strconv.ParseInt(s, 10, 64)
		switch {
		case errors.Is(err, strconv.ErrRange):
			e.Add(name, "is out of range")
		case err != nil:
			e.Add(name, "must be a whole number")
		case n < 0:
			e.Add(name, "must be at least 1")
		}
		return n
	}
	q := sessionQuery{End: v.Get("end") == "true", SessionQuery: store.SessionQuery{
		Kind:     kind,
		Q:        strings.TrimSpace(v.Get("q")),
		Username: strings.TrimSpace(v.Get("username")),
		Email:    strings.TrimSpace(v.Get("email")),

		AppID:            num("app_id"),
		UserID:           num("user_id"),
		ProvisionID:      num("provision_id"),
		DeliveryMethodID: num("delivery_method_id"),
		AgentID:          num(agentParam(kind)),
		History:          v.Get("history") == "true",
		Sort:             store.Sort(v.Get("sort")),
		PageSize:         int(num("page_size")),
		PageToken:        v.Get("page_token"),
	}}
	// The form that asks for one field or the other.
	switch term := strings.TrimSpace(v.Get("contains")); {
	case term == "":
	case v.Get("field") == "email":
		q.Email = term
	default:
		q.Username = term
	}
	q.FromText, q.ToText = strings.TrimSpace(v.Get("from")), strings.TrimSpace(v.Get("to"))
	q.Older, q.Silent = past(&e, "older_seconds", num("older_seconds")), past(&e, "silent_seconds", num("silent_seconds"))
	q.AsOf = now
	if at := num("as_of"); at > 0 {
		q.AsOf = e.Time("as_of", time.Unix(at, 0))
	}
	q.From, q.To = e.Period(q.FromText, q.ToText, zone)
	if q.Older > 0 {
		if before := calendar.Clamp(q.AsOf.Add(-q.Older).Truncate(time.Second)); q.To.IsZero() || before.Before(q.To) {
			q.To = before
		}
	}
	if q.Silent > 0 {
		q.SilentSince = calendar.Clamp(q.AsOf.Add(-q.Silent).Truncate(time.Second))
	}
	for _, s := range v["status"] {
		if s != "" && !slices.Contains(q.Statuses, session.Status(s)) {
			q.Statuses = append(q.Statuses, session.Status(s))
		}
	}
	return q, e.Err()
}

// maxSpan is the longest span that a filter counts back, in seconds: 100 years of 365 days.
const maxSpan = 100 * 365 * 86400

// past checks a span of seconds that a filter counts back.
func past(e *invalid.Error, name string, seconds int64) time.Duration {
	if seconds > maxSpan {
		e.Add(name, "must be at most 100 years")
		return 0
	}
	return time.Duration(seconds) * time.Second
}

// values is the state as a query.
func (q sessionQuery) values() url.Values {
	v := url.Values{}
	set := func(name, value string) {
		if value != "" && value != "0" {
			v.Set(name, value)
		}
	}
	set("q", q.Q)
	set("username", q.Username)
	set("email", q.Email)
	for _, s := range q.Statuses {
		v.Add("status", string(s))
	}
	set("app_id", itoa(q.AppID))
	set("user_id", itoa(q.UserID))
	set("provision_id", itoa(q.ProvisionID))
	set("delivery_method_id", itoa(q.DeliveryMethodID))
	set(agentParam(q.Kind), itoa(q.AgentID))
	set("from", q.FromText)
	set("to", q.ToText)
	set("older_seconds", itoa(int64(q.Older/time.Second)))
	set("silent_seconds", itoa(int64(q.Silent/time.Second)))
	if q.History {
		v.Set("history", "true")
	}
	if q.Sort != "-id" {
		set("sort", string(q.Sort))
	}
	set("page_size", strconv.Itoa(q.PageSize))
	set("page_token", q.PageToken)
	if q.End {
		v.Set("end", "true")
	}
	if (q.PageToken != "" || q.End) && (q.Older > 0 || q.Silent > 0) {
		v.Set("as_of", itoa(q.AsOf.Unix()))
	}
	return v
}

// filter is what the list selects, as a query: neither its order nor its page.
func (q sessionQuery) filter() url.Values {
	v := q.with(func(*sessionQuery) {}).values()
	v.Del("sort")
	v.Del("page_size")
	return v
}

// agentParam names the machine that a list is filtered by.
func agentParam(k session.Kind) string {
	if k == session.Stream {
		return "host_id"
	}
	return "device_id"
}

// base is the list's address without its state.
func (q sessionQuery) base() string {
	if q.Kind == session.Stream {
		return streamsPath
	}
	return sessionsPath
}

// path is the page with this state.
func (q sessionQuery) path() string { return withQuery(q.base(), q.values()) }

// with is the first page of the state after a change: another filter or sort begins
// the list anew.
func (q sessionQuery) with(change func(*sessionQuery)) sessionQuery {
	q.Statuses = slices.Clone(q.Statuses)
	q.PageToken, q.End = "", false
	change(&q)
	return q
}

// at is the page of the same list that a token leads to, read from the end or not.
func (q sessionQuery) at(token string, end bool) string {
	q.PageToken, q.End = token, end
	return q.path()
}

// asked is the query for the store: from the end, it is the list in the other direction.
func (q sessionQuery) asked() store.SessionQuery {
	sq := q.SessionQuery
	if q.End {
		sq.Sort = cmp.Or(sq.Sort, "-id")
		if s, down := strings.CutPrefix(string(sq.Sort), "-"); down {
			sq.Sort = store.Sort(s)
		} else {
			sq.Sort = "-" + sq.Sort
		}
	}
	return sq
}

// clear is the list without any filter or search, in the same order.
func (q sessionQuery) clear() string {
	return sessionQuery{SessionQuery: store.SessionQuery{Kind: q.Kind, Sort: q.Sort, PageSize: q.PageSize}}.path()
}

// newestFirst reports whether new sessions appear at the top of this page.
func (q sessionQuery) newestFirst() bool {
	return (q.Sort == "" || q.Sort == "-id") && q.PageToken == "" && !q.End
}

// sortBy is the list sorted by a key: a second click on the same header reverses.
func (q sessionQuery) sortBy(key string, down bool) string {
	next := store.Sort(key)
	if down {
		next = "-" + next
	}
	switch current := q.Sort; {
	case current == store.Sort(key), current == "" && key == "id" && !down:
		next = "-" + store.Sort(key)
	case current == "-"+store.Sort(key), current == "" && key == "id":
		next = store.Sort(key)
	}
	return q.with(func(q *sessionQuery) { q.Sort = next }).path()
}

// direction is aria-sort for a column.
func (q sessionQuery) direction(key string) string {
	s := string(q.Sort)
	if s == "" {
		s = "-id"
	}
	switch s {
	case key:
		return "ascending"
	case "-" + key:
		return "descending"
	}
	return ""
}

// hidden is the state but for some parameters, as a form's hidden fields.
func (q sessionQuery) hidden(but ...string) [][2]string {
	var out [][2]string
	v := q.with(func(*sessionQuery) {}).values()
	for _, name := range slices.Sorted(maps.Keys(v)) {
		if slices.Contains(but, name) {
			continue
		}
		for _, value := range v[name] {
			out = append(out, [2]string{name, value})
		}
	}
	return out
}

func withQuery(path string, v url.Values) string {
	if len(v) == 0 {
		return path
	}
	return path + "?" + v.Encode()
}
