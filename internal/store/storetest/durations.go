package storetest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"leasehold/internal/session"
	"leasehold/internal/store"
)

// byDuration are the ids of sessions as a list has them that is sorted by duration.
func byDuration(rows []store.SessionRow, at time.Time, down bool, match func(store.SessionRow) bool) []int64 {
	rows = slices.DeleteFunc(slices.Clone(rows), func(r store.SessionRow) bool { return !match(r) })
	slices.SortFunc(rows, func(a, b store.SessionRow) int {
		c := cmp.Or(cmp.Compare(a.Duration(at), b.Duration(at)), cmp.Compare(a.ID, b.ID))
		if down {
			return -c
		}
		return c
	})
	ids := []int64{}
	for _, r := range rows {
		ids = append(ids, r.ID)
	}
	return ids
}

// there walks a list to its end, and back again to its beginning.
func (e *env) there(q store.SessionQuery, between func()) (forth, back []int64) {
	e.t.Helper()
	forth, back = []int64{}, []int64{}
	page := func() (page store.SessionPage) {
		e.view(func(tx store.Tx) (err error) { page, err = tx.ListSessions(q); return err })
		between()
		return page
	}
	last := page()
	for len(forth) < 1000 {
		for _, r := range last.Rows {
			forth = append(forth, r.ID)
		}
		if last.Next == "" {
			break
		}
		q.PageToken = last.Next
		last = page()
	}
	for len(back) < 1000 {
		for _, r := range slices.Backward(last.Rows) {
			back = append(back, r.ID)
		}
		if last.Prev == "" {
			return forth, back
		}
		q.PageToken = last.Prev
		last = page()
	}
	e.t.Fatalf("%+v: the list does not end", q)
	return nil, nil
}

// spread stores n sessions that began one after the other and of which some have ended,
// as model, and returns them with those that there are already.
func (e *env) spread(model *session.Session, f *fixture, n int, hasEnded func(i int) bool) []store.SessionRow {
	e.t.Helper()
	begin := e.clock.Now()
	e.update(func(tx store.Tx) error {
		for i := range n {
			s := store.Clone(model)
			s.ID, s.UserID, s.Lease, s.Order = 0, f.users[i%len(f.users)].ID, nil, nil
			// Every start and every length occurs more than once.
			s.StartedAt = begin.Add(-time.Duration(i/3) * time.Second)
			if i%5 == 0 {
				s.Kind, s.Status = session.Stream, session.Connected
			} else if i%2 == 0 {
				s.Status = session.Running
			}
			if hasEnded(i) {
				s.Status = map[session.Kind]session.Status{session.Device: session.Expired, session.Stream: session.Killed}[s.Kind]
				s.EndedAt = s.StartedAt.Add(time.Duration(i*7919%n/2) * time.Second)
			}
			if i%11 == 0 {
				s.DeletedAt = begin
			}
			if i%4 == 0 {
				s.AgentID = 0
			}
			if err := tx.CreateSession(s); err != nil {
				return err
			}
		}
		return nil
	})
	var rows []store.SessionRow
	e.view(func(tx store.Tx) error {
		ids := must[[]int64](e.t)(tx.MatchingIDs(store.SessionQuery{History: true}, 0, 2*n+100))
		rows = must[[]store.SessionRow](e.t)(tx.SessionRows(ids))
		return nil
	})
	return rows
}

// durationQueries are queries, and what they ask for.
func durationQueries(f *fixture, begin time.Time) []struct {
	name  string
	q     store.SessionQuery
	match func(store.SessionRow) bool
} {
	in := func(list ...session.Status) func(store.SessionRow) bool {
		return func(r store.SessionRow) bool { return slices.Contains(list, r.Status) }
	}
	statuses := func(list ...session.Status) store.SessionQuery { return store.SessionQuery{Statuses: list} }
	ann := f.users[0]
	return []struct {
		name  string
		q     store.SessionQuery
		match func(store.SessionRow) bool
	}{
		{"all", store.SessionQuery{}, func(store.SessionRow) bool { return true }},
		{"device apps", store.SessionQuery{Kind: session.Device}, func(r store.SessionRow) bool { return r.Kind == session.Device }},
		{"streams", store.SessionQuery{Kind: session.Stream}, func(r store.SessionRow) bool { return r.Kind == session.Stream }},
		{"that have not ended", statuses(session.Running), in(session.Running)},
		{"that have ended", statuses(session.Expired, session.Killed), in(session.Expired, session.Killed)},
		{"either", statuses(session.Connected, session.Expired), in(session.Connected, session.Expired)},
		{"no status that occurs", statuses(session.Unknown), in()},
		{"streams that have ended", store.SessionQuery{Kind: session.Stream, Statuses: []session.Status{session.Killed}}, in(session.Killed)},
		{"a user", store.SessionQuery{UserID: ann.ID}, func(r store.SessionRow) bool { return r.UserID == ann.ID }},
		{"a device", store.SessionQuery{AgentID: f.agent.ID}, func(r store.SessionRow) bool { return r.AgentID == f.agent.ID }},
		{"an app, and a user's name", store.SessionQuery{AppID: f.app.ID, Username: ann.Username}, func(r store.SessionRow) bool { return r.UserID == ann.ID }},
		{"a term in users' names", store.SessionQuery{Q: "jo"}, func(r store.SessionRow) bool { return strings.Contains(r.Username, "jo") }},
		{"a term in all names", store.SessionQuery{Q: "fixture app"}, func(store.SessionRow) bool { return true }},
		{"a term of a status", store.SessionQuery{Q: "runn"}, in(session.Running)},
		{"a term of two statuses", store.SessionQuery{Q: "ill"}, in(session.Killed)},
		{"a term of both halves", store.SessionQuery{Q: "ed"}, func(r store.SessionRow) bool { return strings.Contains(strings.ToLower(r.Status.Label()), "ed") }},
		{"a period", store.SessionQuery{From: begin.Add(-time.Minute), To: begin.Add(-10 * time.Second)}, func(r store.SessionRow) bool {
			return !r.StartedAt.Before(begin.Add(-time.Minute)) && r.StartedAt.Before(begin.Add(-10*time.Second))
		}},
		{"old ones", store.SessionQuery{To: begin.Add(-15 * time.Second), Kind: session.Device}, func(r store.SessionRow) bool {
			return r.Kind == session.Device && r.StartedAt.Before(begin.Add(-15*time.Second))
		}},
		{"late ones, an e-mail", store.SessionQuery{From: begin.Add(-15 * time.Second), Email: ann.Email}, func(r store.SessionRow) bool {
			return r.UserID == ann.ID && !r.StartedAt.Before(begin.Add(-15*time.Second))
		}},
	}
}

// testDurations: sorted by duration, a list is in the order of the durations at the moment
// of its first page, there and back, while the time goes on.
func testDurations(t *testing.T, e *env) {
	f := e.fixture()
	model := e.get(e.launch(f, 0, true).ID)
	begin := e.clock.Now()
	rows := e.spread(model, f, 100, func(i int) bool { return i%3 == 1 })
	for _, tt := range durationQueries(f, begin) {
		for _, history := range []bool{false, true} {
			for _, down := range []bool{false, true} {
				q := tt.q
				q.History, q.Sort, q.PageSize = history, "duration", 9
				if down {
					q.Sort = "-duration"
				}
				at := e.clock.Now()
				want := byDuration(rows, at, down, func(r store.SessionRow) bool { return tt.match(r) && (history || r.DeletedAt.IsZero()) })
				forth, back := e.there(q, func() { e.step(time.Second) })
				what := fmt.Sprintf("%s by %s, with history %v", tt.name, q.Sort, history)
				same(t, what, forth, want)
				slices.Reverse(want)
				same(t, what+", back", back, want)
			}
		}
	}
}

// testManyDurations: so it is with more sessions than are read to be sorted, whether few
// have ended or most. Both ends of each list are looked at.
func testManyDurations(t *testing.T, e *env) {
	f := e.fixture()
	model := e.get(e.launch(f, 0, true).ID)
	begin := e.clock.Now()
	const many, size, pages = 12_500, 200, 3
	for _, hasEnded := range []func(i int) bool{
		func(i int) bool { return i%200 == 1 },
		func(i int) bool { return i%200 != 1 },
	} {
		rows := e.spread(model, f, many, hasEnded)
		for _, tt := range durationQueries(f, begin) {
			for _, sort := range []store.Sort{"duration", "-duration"} {
				q := tt.q
				q.Sort, q.PageSize = sort, size
				want := byDuration(rows, e.clock.Now(), sort[0] == '-', func(r store.SessionRow) bool { return tt.match(r) && r.DeletedAt.IsZero() })
				got := []int64{}
				for range pages {
					var page store.SessionPage
					e.view(func(tx store.Tx) (err error) { page, err = tx.ListSessions(q); return err })
					for _, r := range page.Rows {
						got = append(got, r.ID)
					}
					e.step(time.Second)
					if q.PageToken = page.Next; q.PageToken == "" {
						break
					}
				}
				same(t, fmt.Sprintf("%s by %s", tt.name, sort), got, want[:min(len(want), size*pages)])
			}
		}
	}
}

// testPagingByDuration: no session that does not end is skipped or repeated while others
// end and begin, and the time goes on.
func testPagingByDuration(t *testing.T, e *env) {
	f := e.fixture()
	for user, sort := range []store.Sort{"duration", "-duration"} {
		var all []int64
		for i := range 40 {
			e.step(time.Duration(1+i%7) * time.Second)
			id := e.launch(f, user, true).ID
			all = append(all, id)
			if i%2 == 0 {
				e.step(time.Duration(i%5) * time.Second)
				e.end(id)
			}
		}
		q := store.SessionQuery{UserID: f.users[user].ID, Sort: sort, PageSize: 4}
		seen, moved := map[int64]int{}, map[int64]bool{}
		for i := 0; ; i++ {
			var page store.SessionPage
			e.view(func(tx store.Tx) (err error) { page, err = tx.ListSessions(q); return err })
			for _, r := range page.Rows {
				seen[r.ID]++
			}
			if q.PageToken = page.Next; q.PageToken == "" {
				break
			}
			e.step(3 * time.Second)
			if id := all[(i*14+1)%len(all)]; !moved[id] {
				moved[id] = true
				e.end(id)
			}
			seen[e.launch(f, user, true).ID] = 0
		}
		for _, id := range all {
			if !moved[id] && seen[id] != 1 {
				t.Errorf("by %s: session %d, which did not end, was seen %d times", sort, id, seen[id])
			}
		}
		for id, n := range seen {
			if n > 2 {
				t.Errorf("by %s: session %d was seen %d times", sort, id, n)
			}
		}
	}
}

// end lets a session end now.
func (e *env) end(id int64) {
	e.t.Helper()
	e.change(id, func(tx store.Tx, s *session.Session) {
		s.Status, s.EndedAt = session.Removed, tx.WallNow()
	})
}
