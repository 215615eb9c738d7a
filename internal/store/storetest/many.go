package storetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"leasehold/internal/directory"
	"leasehold/internal/session"
	"leasehold/internal/store"
)

// testMany: whatever way a database finds the rows of a query, by ranges merged, read
// whole, or by a walk in the order of the sort, the result is that of going through all
// rows. There are enough users for a term to be in too many names to list.
func testMany(t *testing.T, e *env) {
	f := e.fixture()
	const users, sessions = 350, 11_000
	words := []string{"ash", "birch", "cedar", "dogwood", "elm"}
	var people []*directory.User
	e.update(func(tx store.Tx) error {
		people = people[:0]
		for i := range users {
			u := *f.users[0]
			u.ID, u.GroupIDs, u.Email = 0, nil, fmt.Sprintf("many%d@example.net", i)
			u.Username, u.Name = fmt.Sprintf("many%03d", i), fmt.Sprintf("%s %s", words[i%5], words[i/5%5])
			if err := tx.CreateUser(&u); err != nil {
				return err
			}
			people = append(people, &u)
		}
		return nil
	})
	type row struct {
		id     int64
		user   *directory.User
		status session.Status
	}
	var all []row
	model := e.get(e.launch(f, 0, true).ID)
	e.update(func(tx store.Tx) error { // the model itself is not listed
		s := store.Clone(model)
		s.DeletedAt = tx.WallNow()
		return tx.SaveSession(model, s)
	})
	e.update(func(tx store.Tx) error {
		all = all[:0]
		for i := range sessions {
			s := store.Clone(model)
			u := people[i%users]
			s.ID, s.UserID, s.Lease, s.Order = 0, u.ID, nil, nil
			if i%100 == 0 {
				s.Status = session.Evicted
			}
			if i%2 == 0 {
				s.AgentID = 0
			}
			if err := tx.CreateSession(s); err != nil {
				return err
			}
			all = append(all, row{s.ID, u, s.Status})
		}
		return nil
	})
	has := func(r row, term string) bool {
		return strings.Contains(strings.ToLower(r.user.Username+"\n"+r.user.Name), term)
	}
	for _, tt := range []struct {
		name  string
		q     store.SessionQuery
		match func(row) bool
	}{
		{"all", store.SessionQuery{}, func(row) bool { return true }},
		{"a rare status", store.SessionQuery{Statuses: []session.Status{session.Evicted}}, func(r row) bool { return r.status == session.Evicted }},
		{"a common status", store.SessionQuery{Statuses: []session.Status{session.Launched}}, func(r row) bool { return r.status == session.Launched }},
		{"two statuses", store.SessionQuery{Statuses: []session.Status{session.Launched, session.Evicted}}, func(row) bool { return true }},
		{"a term in every user's name", store.SessionQuery{Q: "many"}, func(row) bool { return true }},
		{"a term of one letter", store.SessionQuery{Q: "m"}, func(row) bool { return true }},
		{"a term in some", store.SessionQuery{Q: "dogw"}, func(r row) bool { return has(r, "dogw") }},
		{"a term of two letters", store.SessionQuery{Q: "bi"}, func(r row) bool { return has(r, "bi") }},
		{"a term in some, and a rare status", store.SessionQuery{Q: "elm", Statuses: []session.Status{session.Evicted}}, func(r row) bool { return has(r, "elm") && r.status == session.Evicted }},
		{"two common things", store.SessionQuery{Q: "many", AppID: f.app.ID}, func(row) bool { return true }},
		{"a term of a status and of names", store.SessionQuery{Q: "ed"}, func(r row) bool {
			return has(r, "ed") || strings.Contains(strings.ToLower(r.status.Label()), "ed")
		}},
		{"a kind", store.SessionQuery{Kind: session.Device}, func(row) bool { return true }},
		{"a kind that does not occur", store.SessionQuery{Kind: session.Stream}, func(row) bool { return false }},
		{"a kind and a term", store.SessionQuery{Kind: session.Device, Q: "cedar"}, func(r row) bool { return has(r, "cedar") }},
		{"one user", store.SessionQuery{UserID: people[7].ID}, func(r row) bool { return r.user == people[7] }},
		{"a term in every e-mail", store.SessionQuery{Email: "example.net"}, func(row) bool { return true }},
	} {
		var want []int64
		for _, r := range all {
			if tt.match(r) {
				want = append(want, r.id)
			}
		}
		for _, sort := range []store.Sort{"-id", "started_at"} {
			q := tt.q
			q.Sort, q.PageSize = sort, 500
			expect := slices.Clone(want)
			if sort[0] == '-' {
				slices.Reverse(expect)
			}
			same(t, fmt.Sprintf("%s by %s", tt.name, sort), e.list(q), expect)
		}
		e.view(func(tx store.Tx) error {
			n, exact, err := tx.CountSessions(tt.q, 10_000)
			if exact != (len(want) <= 10_000) || n != min(len(want), 10_000) {
				t.Errorf("%s: counted %d, exactly %v; there are %d", tt.name, n, exact, len(want))
			}
			return err
		})
	}
}
