package storetest

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"leasehold/internal/store"
)

// testAudit: entries are kept whole, selected by each part of a query, listed newest first
// without gap or repetition however the clock was set, and deleted oldest first.
func testAudit(t *testing.T, e *env) {
	now := e.clock.Now().Truncate(time.Microsecond)
	whole := &store.AuditEntry{At: now, Actor: "admin Zoë", From: "127.0.0.1", RequestID: "REQ1", Action: "app.update", Target: "app 7", Name: "Straße",
		Reason: "r", Outcome: "done", Changes: []store.Change{{Field: "name", Before: "a\"\\b", After: "Straße"}, {Field: "status", Before: "active"}}}
	e.update(func(tx store.Tx) error {
		for i := range 5 {
			// Two share a time, and one was written while the clock was behind.
			x := &store.AuditEntry{At: now.Add(time.Duration(i/2-5) * time.Hour), Actor: "user ann", Action: "app.create", Target: fmt.Sprint("app ", i), Outcome: "done"}
			if err := tx.AddAudit(x); err != nil {
				return err
			}
			if x.ID == 0 || x.Count != 1 {
				t.Fatalf("stored as %+v", x)
			}
		}
		if err := tx.AddAudit(whole); err != nil {
			return err
		}
		return tx.AddAudit(&store.AuditEntry{At: now.Add(-24 * time.Hour), Actor: "server", Action: "housekeeping.run", Target: "housekeeping", Outcome: "done"})
	})
	list := func(q store.AuditQuery) (out []string) {
		e.view(func(tx store.Tx) error {
			out = nil
			for q.Page.Token = ""; ; {
				page, next, err := tx.ListAudit(q)
				if err != nil {
					return err
				}
				for _, x := range page {
					out = append(out, x.Target)
				}
				if q.Page.Token = next; next == "" {
					return nil
				}
			}
		})
		return out
	}
	all := []string{"app 7", "app 4", "app 3", "app 2", "app 1", "app 0", "housekeeping"}
	for _, size := range []int{1, 2, 3, 7, 100} {
		if got := list(store.AuditQuery{Page: store.Page{Size: size}}); !slices.Equal(got, all) {
			t.Errorf("in pages of %d: %q", size, got)
		}
	}
	for _, c := range []struct {
		q    store.AuditQuery
		want []string
	}{
		{store.AuditQuery{Action: "app.create"}, all[1:6]},
		{store.AuditQuery{Action: "app"}, nil},
		{store.AuditQuery{Who: "ZOE\u0308"}, all[:1]},
		{store.AuditQuery{Who: " admin "}, all[:1]},
		{store.AuditQuery{Target: "STRASSE"}, all[:1]},
		{store.AuditQuery{Target: "app 3"}, all[2:3]},
		{store.AuditQuery{Target: "%"}, nil},
		{store.AuditQuery{Who: "a\x00"}, nil},
		{store.AuditQuery{From: now.Add(-3 * time.Hour)}, all[:2]},
		{store.AuditQuery{To: now.Add(-5 * time.Hour)}, all[6:]},
		{store.AuditQuery{From: now.Add(-5 * time.Hour), To: now.Add(-4 * time.Hour), Who: "ann"}, all[4:6]},
	} {
		c.q.Page.Size = 2
		if got := list(c.q); !slices.Equal(got, c.want) {
			t.Errorf("%+v: %q, want %q", c.q, got, c.want)
		}
	}
	e.view(func(tx store.Tx) error {
		got := must[*store.AuditEntry](t)(tx.AuditEntry(whole.ID))
		if !got.At.Equal(now) || got.RequestID != "REQ1" || got.From != "127.0.0.1" || got.Name != "Straße" || got.Reason != "r" || !slices.Equal(got.Changes, whole.Changes) || got.Count != 1 {
			t.Errorf("%+v, want %+v", got, whole)
		}
		_, err := tx.AuditEntry(1 << 40)
		wantErr(t, err, store.ErrNotFound)
		for _, token := range []string{"x", "5", "5-", "-5", "5-x"} {
			_, _, err := tx.ListAudit(store.AuditQuery{Page: store.Page{Token: token}})
			wantErr(t, err, store.ErrBadPageToken)
		}
		return nil
	})
	for _, want := range []int{2, 2, 1, 0} {
		e.update(func(tx store.Tx) error {
			if n, err := tx.DeleteAudit(now.Add(-3*time.Hour), 2); err != nil || n != want {
				t.Errorf("deleted %d, want %d, %v", n, want, err)
			}
			return nil
		})
	}
	if got := list(store.AuditQuery{}); !slices.Equal(got, all[:2]) {
		t.Errorf("left: %q", got)
	}
}

// testCountAudit: what happens again is counted in the entry that there is, by whichever node.
func testCountAudit(t *testing.T, e *env) {
	now := e.clock.Now()
	count := func(key string, n int) (x store.AuditEntry) {
		e.update(func(tx store.Tx) error {
			x = store.AuditEntry{At: now, Actor: "anonymous", From: "192.0.2.1", Action: "sign-in.refuse", Target: "user", Outcome: "refused", Count: n}
			return tx.CountAudit(key, &x)
		})
		return x
	}
	a, b, c := count("1", 3), count("1", 4), count("2", 1)
	if a.Count != 3 || b.Count != 7 || b.ID != a.ID || c.Count != 1 || c.ID == a.ID {
		t.Errorf("counted %+v, %+v, %+v", a, b, c)
	}
	broken := errors.New("broken off")
	if err := e.st.Update(t.Context(), func(tx store.Tx) error {
		x := a
		return errors.Join(tx.CountAudit("1", &x), broken)
	}); !errors.Is(err, broken) {
		t.Fatal(err)
	}
	e.view(func(tx store.Tx) error {
		list, _, err := tx.ListAudit(store.AuditQuery{})
		if err != nil || len(list) != 2 || list[1].Count != 7 {
			t.Errorf("%+v, %v", list, err)
		}
		return nil
	})
}
