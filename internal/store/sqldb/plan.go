package sqldb

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"leasehold/internal/fold"
	"leasehold/internal/session"
	"leasehold/internal/store"
)

// How a list of sessions is found must not depend on how many sessions there are, whatever
// is asked for, so it is decided here and not left to a planner that cannot know which
// names a term is in. Terms are resolved to ids first. Then what is asked for is a
// conjunction of sets, each of which is ranges of an index. Is one of them small, it is
// read whole and sorted. Otherwise many rows match, and a walk in the order of the sort
// soon meets a page of them.

const (
	// small is how many rows of a set are read to sort them.
	small = 10_000
	// maxScan is how many rows are read to count those that match.
	maxScan = 30_000
	// maxNamed is how many ids a term is resolved to.
	maxNamed = 4000
	// maxListed is how many ids a row is compared with; beyond it its own name is read.
	maxListed = 300
	// maxMerged is how many ranges are merged in the order of their ids.
	maxMerged = 16
)

// sessionIndex is the index that leads with a column and goes on with the id. Before that
// stands whether a session is deleted, so that a list does not walk the history, and one
// of the history reads two ranges.
var sessionIndex = map[string]string{
	"user_id": "sessions_user", "app_id": "sessions_app", "provision_id": "sessions_provision", "delivery_method_id": "sessions_method",
	"agent_id": "sessions_agent", "status": "sessions_status", "id": "sessions_gone",
	"user_sort": "sessions_user_sort", "email_sort": "sessions_email_sort", "app_sort": "sessions_app_sort", "provision_sort": "sessions_provision_sort",
	"method_sort": "sessions_method_sort", "agent_sort": "sessions_agent_sort",
	"status_since": "sessions_since", "started_at": "sessions_started", "last_activity_at": "sessions_activity",
	durationSort: "sessions_duration",
}

// cond is a condition with its arguments.
type cond struct {
	sql  string
	args []any
}

func and(cs ...cond) cond { return join(" AND ", "1 = 1", cs) }
func or(cs ...cond) cond  { return join(" OR ", "1 = 0", cs) }

func join(op, none string, cs []cond) cond {
	var texts []string
	var args []any
	for _, c := range cs {
		texts, args = append(texts, c.sql), append(args, c.args...)
	}
	if len(texts) == 0 {
		return cond{none, nil}
	}
	return cond{"(" + strings.Join(texts, op) + ")", args}
}

// ranges is those rows whose column has one of the values: ids, or statuses.
type ranges struct {
	column string
	ids    []int64
	texts  []any
	kind   string // of the names by which the ids were found
	term   string
	check  *cond // in place of the name, what tells of a row whether it is one of them
	more   bool  // there are further ids
	span   *cond // from a value to another one, in place of single values
}

func (r *ranges) len() int {
	if r.span != nil {
		return 1
	}
	return len(r.ids) + len(r.texts)
}

// reach is the condition by which an index finds the rows.
func (r *ranges) reach(d *Dialect) cond {
	switch {
	case r.span != nil:
		return *r.span
	case len(r.texts) > 0:
		return cond{"s." + r.column + " IN (" + marks(len(r.texts)) + ")", r.texts}
	case len(r.ids) == 1:
		return cond{"s." + r.column + " = ?", []any{r.ids[0]}}
	}
	in, arg := d.In(r.ids)
	return cond{"s." + r.column + " " + in, []any{arg}}
}

// test is the condition for a row that was found in another way.
func (r *ranges) test(d *Dialect) cond {
	if !r.more && r.len() <= maxListed {
		return r.reach(d)
	}
	if r.check != nil {
		return *r.check
	}
	return cond{d.Position + "((SELECT n.text FROM names n WHERE n.id = s." + r.column + " + ?), ?) > 0", []any{nameBase(r.kind), r.term}}
}

// single is the range of one value.
func (r *ranges) single(i int) cond {
	if len(r.texts) > 0 {
		return cond{"s." + r.column + " = ?", r.texts[i : i+1]}
	}
	return cond{"s." + r.column + " = ?", []any{r.ids[i]}}
}

// set is a union of ranges, one of the things that a query asks for.
type set []*ranges

func (u set) test(d *Dialect) cond {
	var cs []cond
	for _, r := range u {
		cs = append(cs, r.test(d))
	}
	return or(cs...)
}

func (u set) values() (n int) {
	for _, r := range u {
		n += r.len()
	}
	return n
}

// byID reports whether a few ranges, each in the order of its ids, are all of the set.
func (u set) byID() bool {
	return u.complete() && u.values() <= maxMerged && !slices.ContainsFunc(u, func(r *ranges) bool { return r.span != nil })
}

// complete reports whether all rows of the set are in its ranges.
func (u set) complete() bool {
	return !slices.ContainsFunc(u, func(r *ranges) bool { return r.more })
}

// of is what of the set can be in a half of the sessions, as far as statuses tell.
func (u set) of(h half) (out set) {
	for _, r := range u {
		if len(r.texts) > 0 {
			some := *r
			some.texts = slices.DeleteFunc(slices.Clone(r.texts), func(s any) bool { return !h.has(session.Status(s.(string))) })
			r = &some
		}
		if r.len() > 0 {
			out = append(out, r)
		}
	}
	return out
}

// plan is how the rows of a query are found.
type plan struct {
	print string
	none  bool    // nothing can match
	gone  []int64 // 0 for what is listed, 1 for what is deleted
	plain []cond  // of what is asked for, what no index knows
	sets  []set   // … and what one does
	drive set     // read the rows by these ranges; nil: by the order asked for
	whole bool    // drive has few rows
	rest  cond    // what else is asked of them
	all   cond    // everything that is asked for
}

// planFor decides how to find what q asks for.
func (t *Tx) planFor(q store.SessionQuery) (*plan, error) {
	print := fingerprint(q)
	if t.plan != nil && t.plan.print == print {
		return t.plan, nil
	}
	if t.d.Advice != "" && !t.advised {
		if _, err := t.q.ExecContext(t.ctx, t.d.Advice); err != nil {
			return nil, fmt.Errorf("advise the planner: %w", err)
		}
		t.advised = true
	}
	p := &plan{print: print, gone: []int64{0}}
	if q.History {
		p.gone = append(p.gone, 1)
	}
	var err error
	if p.plain, p.sets, err = t.asked(q); err != nil {
		return nil, err
	}
	if err := t.choose(p, func(int) bool { return true }); err != nil {
		return nil, err
	}
	t.plan = p
	return p, nil
}

// half is the plan for one half of the rows of a plan that does not have few: some
// statuses are of that half alone, so that it may be few or none.
func (t *Tx) half(p *plan, h half) (*plan, error) {
	hp := &plan{print: p.print, gone: p.gone, plain: p.plain}
	for _, u := range p.sets {
		hp.sets = append(hp.sets, u.of(h))
	}
	return hp, t.choose(hp, func(i int) bool { return hp.sets[i].values() < p.sets[i].values() })
}

// choose decides how to find what a plan asks for. Of the sets, those that may be small
// are counted.
func (t *Tx) choose(p *plan, may func(i int) bool) error {
	best, fewest := -1, small+1
	for i, u := range p.sets {
		if u.values() == 0 {
			p.none = true
		}
		if p.none || !u.complete() || !may(i) {
			continue
		}
		n, err := t.countSet(p.gone, u, fewest)
		if err != nil {
			return err
		}
		if n < fewest {
			best, fewest = i, n
		}
	}
	p.whole = best >= 0
	if !p.whole {
		// No set is small: take one that can be counted by its ranges.
		best = slices.IndexFunc(p.sets, set.complete)
		if best < 0 && len(p.sets) > 0 {
			best = 0
		}
	}
	rest := slices.Clone(p.plain)
	all := slices.Clone(p.plain)
	for i, u := range p.sets {
		c := u.test(t.d)
		all = append(all, c)
		if i != best {
			rest = append(rest, c)
		}
	}
	if best >= 0 {
		p.drive = p.sets[best]
	}
	p.rest, p.all = and(rest...), and(all...)
	return nil
}

// asked takes a query apart: sets that indexes know, the most selective kinds first, and
// plain conditions.
func (t *Tx) asked(q store.SessionQuery) (plain []cond, sets []set, err error) {
	add := func(sql string, args ...any) { plain = append(plain, cond{sql, args}) }
	if q.Kind != "" {
		add("s.kind = ?", string(q.Kind))
	}
	for _, f := range []struct {
		column string
		id     int64
	}{{"user_id", q.UserID}, {"agent_id", q.AgentID}, {"app_id", q.AppID}, {"delivery_method_id", q.DeliveryMethodID}, {"provision_id", q.ProvisionID}} {
		if f.id != 0 {
			sets = append(sets, set{{column: f.column, ids: []int64{f.id}}})
		}
	}
	if len(q.Statuses) > 0 {
		sets = append(sets, set{statusRanges(q.Statuses)})
	}
	for _, f := range []struct {
		term string
		by   []named
	}{
		{q.Username, []named{{"user", "user_id"}}}, {q.Email, []named{{"email", "user_id"}}},
		{strings.TrimSpace(q.Q), []named{{"app", "app_id"}, {"provision", "provision_id"}, {"user", "user_id"}, {"agent", "agent_id"}}},
	} {
		if f.term == "" {
			continue
		}
		var u set
		for _, n := range f.by {
			r, err := t.resolve(n, fold.Fold(f.term))
			if err != nil {
				return nil, nil, err
			}
			if r.len() > 0 {
				u = append(u, r)
			}
		}
		if len(f.by) > 1 {
			if r := statusRanges(statusesNamed(f.term)); r.len() > 0 {
				u = append(u, r)
			}
			if id := numbered(f.term); id > 0 {
				u = append(u, &ranges{column: "id", ids: []int64{id}})
			}
		}
		sets = append(sets, u)
	}
	if !q.SilentSince.IsZero() {
		r, err := t.silent(q.SilentSince)
		if err != nil {
			return nil, nil, err
		}
		sets = append(sets, set{r})
	}
	var span []cond
	if !q.From.IsZero() {
		span = append(span, cond{"s.started_at >= ?", []any{micros(q.From)}})
	}
	if !q.To.IsZero() {
		span = append(span, cond{"s.started_at < ?", []any{micros(q.To)}})
	}
	if len(span) > 0 {
		c := and(span...)
		sets = append(sets, set{{column: "started_at", span: &c}})
	}
	if q.Kind != "" {
		// No status is of both kinds.
		sets = append(sets, set{statusRanges(session.Statuses(q.Kind))})
	}
	return plain, sets, nil
}

func statusRanges(list []session.Status) *ranges {
	r := &ranges{column: "status"}
	for _, s := range list {
		r.texts = append(r.texts, string(s))
	}
	return r
}

// statusesNamed are those whose label, as people read it, contains the term.
func statusesNamed(term string) (out []session.Status) {
	for _, k := range []session.Kind{session.Device, session.Stream} {
		for _, s := range session.Statuses(k) {
			if fold.Contains(s.Label(), term) {
				out = append(out, s)
			}
		}
	}
	return out
}

// numbered is the session whose number the term is, written as 48213 or #48213; 0 if it is
// none.
func numbered(term string) int64 {
	digits := strings.TrimPrefix(term, "#")
	if strings.Trim(digits, "0123456789") != "" {
		return 0
	}
	id, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return 0 // no digits, or more than a number has
	}
	return id
}

// named is a kind of names and the sessions' column that refers to it.
type named struct{ kind, column string }

// resolve finds the ids whose name contains the term.
func (t *Tx) resolve(n named, term string) (*ranges, error) {
	query, args := t.named(n.kind, term)
	ids, err := t.ids(query+" LIMIT ?", append(args, maxNamed+1)...)
	r := &ranges{column: n.column, ids: ids, kind: n.kind, term: term}
	if len(ids) > maxNamed {
		r.ids, r.more = ids[:maxNamed], true
	}
	return r, err
}

// silent is the sessions of the agents that were last heard from before a moment.
func (t *Tx) silent(before time.Time) (*ranges, error) {
	ids, err := t.ids("SELECT agent_id FROM agent_seen WHERE at < ? ORDER BY agent_id LIMIT ?", micros(before), maxNamed+1)
	r := &ranges{column: "agent_id", ids: ids, check: &cond{"(SELECT n.at FROM agent_seen n WHERE n.agent_id = s.agent_id) < ?", []any{micros(before)}}}
	if len(ids) > maxNamed {
		r.ids, r.more = ids[:maxNamed], true
	}
	return r, err
}

// from is the table, read by the index that leads with the column.
func (t *Tx) from(column string) string {
	return " FROM sessions s" + t.d.Using(sessionIndex[column])
}

// isGone is the condition that a session is listed, or deleted, or either.
func isGone(gone ...int64) cond {
	if len(gone) == 1 {
		return cond{"s.gone = ?", anys(gone)}
	}
	return cond{"s.gone IN (0, 1)", nil}
}

// countSet counts the rows in the ranges of a set up to a bound. One that is in two of
// them counts twice.
func (t *Tx) countSet(gone []int64, u set, bound int) (n int, err error) {
	for _, r := range u {
		var more int
		c := and(isGone(gone...), r.reach(t.d))
		if err := t.one("SELECT count(*) FROM (SELECT 1"+t.from(r.column)+" WHERE "+c.sql+" LIMIT ?) x", append(c.args, bound-n), &more); err != nil {
			return n, err
		}
		if n += more; n >= bound {
			break
		}
	}
	return n, nil
}

// count counts the rows up to a bound.
func (p *plan) count(t *Tx, bound int) (n int, exact bool, err error) {
	if p.none {
		return 0, true, nil
	}
	if p.drive == nil {
		n, err = t.countBy("id", isGone(p.gone...), p.all, bound+1)
		if err != nil || n > bound {
			return min(n, bound), false, err
		}
		var read int
		err = t.one("SELECT count(*) FROM (SELECT 1"+t.from("id")+" WHERE "+isGone(p.gone...).sql+" LIMIT ?) x", append(isGone(p.gone...).args, maxScan), &read)
		return n, read < maxScan, err
	}
	exact = p.drive.complete()
	var others []cond
	for _, r := range p.drive {
		reach := and(isGone(p.gone...), r.reach(t.d))
		more, err := t.countBy(r.column, reach, and(p.rest, cond{"NOT " + or(others...).sql, or(others...).args}), bound+1-n)
		if err != nil {
			return 0, false, err
		}
		if n += more; n > bound {
			return bound, false, nil
		}
		if !p.whole && exact {
			read, err := t.countSet(p.gone, set{r}, maxScan)
			if err != nil {
				return 0, false, err
			}
			exact = read < maxScan
		}
		others = append(others, r.test(t.d))
	}
	return n, exact, nil
}

// countBy counts among the first rows of a range those that match.
func (t *Tx) countBy(column string, reach, match cond, bound int) (n int, err error) {
	args := append(append(slices.Clone(reach.args), maxScan), match.args...)
	order := ""
	if column == "id" {
		order = " ORDER BY s.id"
	}
	err = t.one("SELECT count(*) FROM (SELECT 1 FROM (SELECT s.*"+t.from(column)+" WHERE "+reach.sql+order+" LIMIT ?) s WHERE "+match.sql+" LIMIT ?) x", append(args, bound), &n)
	return n, err
}
