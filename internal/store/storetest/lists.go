package storetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"leasehold/internal/session"
	"leasehold/internal/store"
)

// list walks all pages of a query.
func (e *env) list(q store.SessionQuery) (got []int64) {
	e.t.Helper()
	if q.PageSize == 0 {
		q.PageSize = 50
	}
	if q.Sort == "" {
		q.Sort = "-id"
	}
	for range 100 {
		var page store.SessionPage
		e.view(func(tx store.Tx) (err error) { page, err = tx.ListSessions(q); return err })
		for _, r := range page.Rows {
			got = append(got, r.ID)
		}
		if q.PageToken = page.Next; q.PageToken == "" {
			return got
		}
	}
	e.t.Fatal("the list does not end")
	return nil
}

func testList(t *testing.T, e *env) {
	f := e.fixture()
	var all []int64
	for i := range 9 {
		e.step(time.Minute)
		all = append(all, e.launch(f, i%3, i%2 == 0).ID)
	}
	e.change(all[4], func(tx store.Tx, s *session.Session) { s.DeletedAt = tx.WallNow() })
	listed := slices.Delete(slices.Clone(all), 4, 5)
	desc := slices.Clone(listed)
	slices.Reverse(desc)
	same(t, "newest first", e.list(store.SessionQuery{}), desc)
	same(t, "in small pages", e.list(store.SessionQuery{PageSize: 2}), desc)
	same(t, "oldest first", e.list(store.SessionQuery{Sort: "id", PageSize: 3}), listed)
	all2 := slices.Clone(all)
	same(t, "with history", e.list(store.SessionQuery{Sort: "id", History: true}), all2)
	same(t, "of a user", e.list(store.SessionQuery{Sort: "id", UserID: f.users[0].ID}), []int64{all[0], all[3], all[6]})
	same(t, "of a device", e.list(store.SessionQuery{Sort: "id", AgentID: f.agent.ID}), []int64{all[0], all[2], all[6], all[8]})
	same(t, "of another app", len(e.list(store.SessionQuery{AppID: f.app.ID + 1})), 0)
	same(t, "of the method", len(e.list(store.SessionQuery{DeliveryMethodID: f.method.ID})), 8)
	same(t, "of the provision", len(e.list(store.SessionQuery{ProvisionID: f.provision.ID})), 8)
	same(t, "of a kind", len(e.list(store.SessionQuery{Kind: session.Stream})), 0)
	same(t, "of two statuses", len(e.list(store.SessionQuery{Statuses: []session.Status{session.Launched, session.Added}})), 8)
	begin := e.get(all[2]).StartedAt
	same(t, "started in a period", e.list(store.SessionQuery{Sort: "id", From: begin, To: begin.Add(2 * time.Minute)}), []int64{all[2], all[3]})
	for _, key := range store.SortKeys {
		up, down := e.list(store.SessionQuery{Sort: store.Sort(key), PageSize: 3}), e.list(store.SessionQuery{Sort: store.Sort("-" + key), PageSize: 3})
		slices.Reverse(down)
		same(t, "sorted by "+key+", and reversed", up, down)
		same(t, "rows sorted by "+key, len(up), 8)
	}
	// There and back again.
	var first, second, back store.SessionPage
	e.view(func(tx store.Tx) (err error) {
		q := store.SessionQuery{Sort: "-user", PageSize: 3}
		if first, err = tx.ListSessions(q); err != nil {
			return err
		}
		q.PageToken = first.Next
		if second, err = tx.ListSessions(q); err != nil {
			return err
		}
		q.PageToken = second.Prev
		back, err = tx.ListSessions(q)
		return err
	})
	if first.Prev != "" || back.Prev != "" {
		t.Error("the first page has one before it")
	}
	for i := range first.Rows {
		same(t, "back on the first page", back.Rows[i].ID, first.Rows[i].ID)
	}
	// A renamed user sorts by the new name.
	e.update(func(tx store.Tx) error { f.users[0].Name = "Zz Last"; return tx.SaveUser(f.users[0]) })
	got := e.list(store.SessionQuery{Sort: "user"})
	same(t, "sorted after a rename", got[len(got)-3:], []int64{all[0], all[3], all[6]})
}

func testSearch(t *testing.T, e *env) {
	f := e.fixture()
	joe, john, zoe := e.launch(f, 0, true).ID, e.launch(f, 1, true).ID, e.launch(f, 2, true).ID
	e.change(zoe, func(tx store.Tx, s *session.Session) {
		s.Observe(session.Observation{Type: session.ObsAdded, At: tx.WallNow()}, byAgent)
		s.Observe(session.Observation{Type: session.ObsUpgradeAsked, At: tx.WallNow()}, byAgent)
	})
	all := []int64{joe, john, zoe}
	for _, tt := range []struct {
		q    string
		want []int64
	}{
		{"", all}, {"jo", []int64{joe, john}}, {"JO", []int64{joe, john}}, {"j", []int64{joe, john}}, {"joh", []int64{john}}, {"oe", all},
		{"fixture APP", all}, {"prov", all}, {"upgrade req", []int64{zoe}}, {"Launched", []int64{joe, john}}, {"laun", []int64{joe, john}},
		{"%", nil}, {"_", nil}, {`\`, nil}, {`"`, nil}, {"'", nil}, {"zq", nil}, {"zqx", nil}, {`jo" OR "zoe`, nil}, {"joe doe", []int64{joe}}, {"  joe  ", []int64{joe}},
	} {
		same(t, fmt.Sprintf("search %q", tt.q), e.list(store.SessionQuery{Q: tt.q, Sort: "id"}), tt.want)
	}
	same(t, "user name contains", e.list(store.SessionQuery{Username: "JOH", Sort: "id"}), []int64{john})
	same(t, "email contains", e.list(store.SessionQuery{Email: "oe@", Sort: "id"}), []int64{joe, zoe})
	same(t, "combined", e.list(store.SessionQuery{Q: "jo", Statuses: []session.Status{session.Added}}), []int64(nil))
	// A number finds the session that has it, and a device's name those that are on it.
	elsewhere := e.launch(f, 1, false).ID
	number := func(id int64) string { return fmt.Sprint(id) }
	for q, want := range map[string][]int64{
		number(john): {john}, " #" + number(zoe) + " ": {zoe}, number(elsewhere + 1): nil, "0": nil, "-" + number(john): nil, "99999999999999999999": nil,
		strings.ToLower(f.agent.Name): all, f.agent.Name[1:]: all,
	} {
		same(t, fmt.Sprintf("search %q", q), e.list(store.SessionQuery{Q: q, Sort: "id"}), want)
	}
	same(t, "a number and a status", e.list(store.SessionQuery{Q: number(john), Statuses: []session.Status{session.Evicted}}), []int64(nil))
	e.view(func(tx store.Tx) error {
		n, exact, err := tx.CountSessions(store.SessionQuery{Q: number(john)}, 10)
		same(t, "counted by a number", []any{n, exact}, []any{1, true})
		return err
	})
	e.change(john, func(tx store.Tx, s *session.Session) { s.DeletedAt = tx.WallNow() })
	same(t, "a number of one that is deleted", e.list(store.SessionQuery{Q: number(john)}), []int64(nil))
	same(t, "a number in the history", e.list(store.SessionQuery{Q: number(john), History: true}), []int64{john})
}

// testPaging: no row whose sort value stays the same is skipped or repeated while others
// change and come.
func testPaging(t *testing.T, e *env) {
	f := e.fixture()
	var all []int64
	for range 20 {
		e.step(time.Second)
		all = append(all, e.launch(f, 0, true).ID)
	}
	q := store.SessionQuery{Sort: "since", PageSize: 4}
	seen := map[int64]int{}
	moved := map[int64]bool{}
	for i := 0; ; i++ {
		var page store.SessionPage
		e.view(func(tx store.Tx) (err error) { page, err = tx.ListSessions(q); return err })
		for _, r := range page.Rows {
			seen[r.ID]++
		}
		if q.PageToken = page.Next; q.PageToken == "" {
			break
		}
		e.step(time.Second)
		id := all[(i*7)%len(all)]
		moved[id] = true
		e.change(id, func(tx store.Tx, s *session.Session) {
			s.Observe(session.Observation{Type: session.ObsAdded, At: tx.WallNow()}, byAgent)
		})
		e.launch(f, 1, true)
	}
	for _, id := range all {
		if !moved[id] && seen[id] != 1 {
			t.Errorf("session %d, which did not change, was seen %d times", id, seen[id])
		}
	}
}

func testPageTokens(t *testing.T, e *env) {
	f := e.fixture()
	for range 5 {
		e.launch(f, 0, true)
	}
	var page store.SessionPage
	q := store.SessionQuery{Sort: "-id", PageSize: 2}
	e.view(func(tx store.Tx) (err error) { page, err = tx.ListSessions(q); return err })
	for name, bad := range map[string]store.SessionQuery{
		"another sort":   {Sort: "id", PageSize: 2, PageToken: page.Next},
		"another filter": {Sort: "-id", PageSize: 2, PageToken: page.Next, UserID: 1},
		"nonsense":       {Sort: "-id", PageSize: 2, PageToken: "nonsense"},
		"not base64":     {Sort: "-id", PageSize: 2, PageToken: "%%%"},
	} {
		err := e.st.View(t.Context(), func(tx store.Tx) error { _, err := tx.ListSessions(bad); return err })
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		wantErr(t, err, store.ErrBadPageToken)
	}
	q.PageToken, q.PageSize = page.Next, 3 // the size may change
	e.view(func(tx store.Tx) error { _, err := tx.ListSessions(q); return err })
}

func testCount(t *testing.T, e *env) {
	f := e.fixture()
	for range 6 {
		e.launch(f, 0, true)
	}
	e.view(func(tx store.Tx) error {
		for _, tt := range []struct {
			bound, n int
			exact    bool
		}{{10, 6, true}, {6, 6, true}, {5, 5, false}} {
			n, exact, err := tx.CountSessions(store.SessionQuery{}, tt.bound)
			if err != nil || n != tt.n || exact != tt.exact {
				t.Errorf("bound %d: %d %v %v", tt.bound, n, exact, err)
			}
		}
		return nil
	})
}
