package sqldb

import (
	"math"
	"slices"
	"strings"
	"time"

	"leasehold/internal/session"
	"leasehold/internal/store"
)

// sortColumn is the column behind a sort.
type sortColumn struct {
	name string
	text bool // or a number
}

// sortColumns are the columns behind store.SortKeys.
var sortColumns = map[string]sortColumn{
	"id": {"id", false}, "user": {"user_sort", true}, "email": {"email_sort", true}, "app": {"app_sort", true}, "provision": {"provision_sort", true},
	"delivery_method": {"method_sort", true}, "device": {"agent_sort", true}, "status": {"status", true},
	"since": {"status_since", false}, "started_at": {"started_at", false}, "last_activity_at": {"last_activity_at", false},
	"duration": {durationSort, false},
}

// durationSort holds a duration that an index can sort, though it grows for as long as a
// session has not ended: of one that has ended how long it was, of another one its start,
// negated. Either half of the column is in the order of the durations at any moment, and a
// page is merged from both. See docs/adr/0006.
const durationSort = "duration_sort"

// durationSortOf is what the column holds of a session.
func durationSortOf(s *session.Session) int64 {
	if s.EndedAt.IsZero() {
		return -micros(s.StartedAt)
	}
	return s.Duration(s.EndedAt).Microseconds()
}

// half is one half of the sessions: those that have not ended, or those that have.
type half bool

const (
	open  half = false
	ended half = true
)

// place is a place in an index of numbers: before the row with this id, if there is one.
type place struct{ key, id int64 }

func (p place) compare(o place) int {
	return slices.Compare([]int64{p.key, p.id}, []int64{o.key, o.id})
}

// bounds are where the half's rows are in the index, but for the first and the last one.
func (h half) bounds() (lo, hi place) {
	if h == open {
		return place{math.MinInt64, 0}, place{0, 0}
	}
	return place{0, 0}, place{math.MaxInt64, math.MaxInt64}
}

// has reports whether sessions of a status are in the half.
func (h half) has(s session.Status) bool { return s.Ended() == bool(h) }

// order is how a list is sorted, and where its page begins.
type order struct {
	column   string
	desc     bool    // as the page is read: going back, the other way round
	cur      *cursor // nil for the first page
	from, to int64   // the period in which sessions began, 0 for no bound
	// moment is when the durations are what the list is sorted by. The pages of a walk have
	// that of its first one: from another moment a session that has not ended would have
	// moved among those that have.
	moment int64
}

// orderOf reads how a query is sorted. It returns store.ErrBadPageToken.
func orderOf(q store.SessionQuery, col sortColumn, now time.Time) (o order, err error) {
	o = order{column: col.name, desc: strings.HasPrefix(string(q.Sort), "-"), from: micros(q.From), to: micros(q.To)}
	if o.cur, err = readCursor(q.PageToken, fingerprint(q), col); err != nil {
		return o, err
	}
	o.desc = o.desc != o.back()
	if col.name == durationSort {
		if o.moment = micros(now); o.cur != nil {
			o.moment = o.cur.Moment
		}
	}
	return o, nil
}

func (o order) back() bool { return o.cur != nil && o.cur.Back }

// by sorts rows by the columns, in the order's direction.
func (o order) by(columns ...string) string {
	dir := " ASC"
	if o.desc {
		dir = " DESC"
	}
	return " ORDER BY " + strings.Join(columns, dir+", ") + dir
}

// key is what a row is sorted by.
func (o order) key() cond {
	if o.column == durationSort {
		return cond{"CASE WHEN s.duration_sort < 0 THEN s.duration_sort + ? ELSE s.duration_sort END", []any{o.moment}}
	}
	return cond{"s." + o.column, nil}
}

// after is the condition that a row comes after the one that the page begins after.
func (o order) after() cond {
	cmp := " > "
	if o.desc {
		cmp = " < "
	}
	switch {
	case o.column == durationSort:
		return or(o.reach(open), o.reach(ended))
	case o.cur == nil:
		return and()
	case o.column == "id":
		return cond{"s.id" + cmp + "?", []any{o.cur.ID}}
	}
	return cond{"(s." + o.column + ", s.id)" + cmp + "(?, ?)", []any{o.cur.Key, o.cur.ID}}
}

// reach is the range in which durations of a half are, from where the page begins. Of two
// bounds at the same end SQLite may read from either and compare the rest row by row, so
// it is given the closer one.
func (o order) reach(h half) cond {
	lo, hi := h.bounds()
	raise := func(p place) {
		if p.compare(lo) > 0 {
			lo = p
		}
	}
	lower := func(p place) {
		if p.compare(hi) < 0 {
			hi = p
		}
	}
	if h == open {
		// A period is a range here: without it a walk for what began long ago would read
		// all that began since.
		if o.from != 0 {
			lower(place{-o.from + 1, 0})
		}
		if o.to != 0 {
			raise(place{-o.to + 1, 0})
		}
	}
	if o.cur != nil {
		p := place{o.cur.Key.(int64), o.cur.ID}
		if h == open {
			p.key -= o.moment
		}
		if o.desc {
			lower(p)
		} else {
			raise(p)
		}
	}
	return cond{"((s.duration_sort, s.id) > (?, ?) AND (s.duration_sort, s.id) < (?, ?))", []any{lo.key, lo.id, hi.key, hi.id}}
}

// parts are queries for the keys of rows, which together are those of a page.
type parts struct {
	t        *Tx
	o        order
	queries  []string
	args     []any
	unsorted bool // a query's rows come in no order
}

// add adds the rows of a range of the index that leads with the column.
func (x *parts) add(p *plan, column, end string, limit int, cs ...cond) {
	k := x.o.key()
	for _, g := range p.gone {
		c := and(append([]cond{isGone(g)}, cs...)...)
		x.queries = append(x.queries, "SELECT s.id AS id, "+k.sql+" AS k"+x.t.from(column)+" WHERE "+c.sql+end+" LIMIT ?")
		x.args = append(append(append(x.args, k.args...), c.args...), limit)
	}
}

// walk adds the first rows of a range in the order of the sort.
func (x *parts) walk(p *plan, limit int, reach, match cond) {
	columns := []string{"s." + x.o.column, "s.id"}
	if x.o.column == "id" {
		columns = columns[1:]
	}
	x.add(p, x.o.column, x.o.by(columns...), limit, reach, match)
}

// whole adds all rows of a plan that has few.
func (x *parts) whole(p *plan, reach cond) {
	x.unsorted = true
	for _, r := range p.drive {
		x.add(p, r.column, "", small, reach, r.reach(x.t.d), p.rest)
	}
}

// keys is a query for id and sort key of at most limit rows, sorted; "" if there are none.
func (t *Tx) keys(p *plan, o order, limit int) (string, []any, error) {
	x := &parts{t: t, o: o}
	switch {
	case p.whole:
		x.whole(p, o.after())
	case o.column == "id" && p.drive != nil && p.drive.byID():
		for _, r := range p.drive {
			for i := range r.len() {
				x.add(p, r.column, o.by("s.id"), limit, o.after(), r.single(i), p.rest)
			}
		}
	case o.column == durationSort:
		if err := x.halves(p, limit); err != nil {
			return "", nil, err
		}
	default:
		x.walk(p, limit, o.after(), p.all)
	}
	switch n := len(x.queries); {
	case n == 0:
		return "", nil, nil
	case n == 1 && !x.unsorted:
		return x.queries[0], x.args, nil
	}
	return "SELECT id, k FROM (SELECT * FROM (" + strings.Join(x.queries, ") p UNION SELECT * FROM (") + ") p) u" + o.by("k", "id") + " LIMIT ?", append(x.args, limit), nil
}

// halves adds the rows of either half, found as is best for it.
func (x *parts) halves(p *plan, limit int) error {
	for _, h := range []half{open, ended} {
		hp, err := x.t.half(p, h)
		switch {
		case err != nil:
			return err
		case hp.none:
		case hp.whole:
			x.whole(hp, x.o.reach(h))
		default:
			x.walk(hp, limit, x.o.reach(h), hp.all)
		}
	}
	return nil
}
