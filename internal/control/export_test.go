package control_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"leasehold/internal/catalog"
	"leasehold/internal/control"
	"leasehold/internal/export"
	"leasehold/internal/servertest"
	"leasehold/internal/session"
	"leasehold/internal/store"
)

// crowd stores n sessions like one that was launched, a minute apart, every other one a
// stream, and returns their numbers.
func crowd(t *testing.T, s *stepped, n int) (ids []int64) {
	t.Helper()
	app, _ := s.App("MATLAB", servertest.Terms{Packages: command})
	model := s.Session(s.Launch(app.ID).Session.ID)
	stream, _ := s.App("GIMP", servertest.Terms{Packages: command, Stream: &catalog.StreamSettings{Geometry: "1280x800", ReconnectSeconds: 60}})
	err := s.Store.Update(t.Context(), func(tx store.Tx) error {
		ids = []int64{model.ID}
		for i := range n - 1 {
			c := store.Clone(model)
			c.ID, c.Lease, c.Order = 0, nil, nil
			c.StartedAt = model.StartedAt.Add(time.Duration(i+1) * time.Minute)
			if i%2 == 0 {
				c.Kind, c.Status, c.AppID = session.Stream, session.Connected, stream.ID
			}
			if err := tx.CreateSession(c); err != nil {
				return err
			}
			ids = append(ids, c.ID)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

// exported is what an export hands over; between its steps something is done.
func exported(t *testing.T, s *stepped, q store.SessionQuery, between func(step int)) (rows []export.Row) {
	t.Helper()
	step := 0
	err := s.Control.Export(t.Context(), s.Admin, q, export.Options{Format: export.CSV}, func(part []export.Row) error {
		if len(part) > control.ExportStep {
			t.Errorf("a step of %d rows", len(part))
		}
		rows = append(rows, part...)
		if between != nil {
			between(step)
		}
		step++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// TestExportWhileItChanges: sessions that were there when an export began are each in it
// once, whatever is done to them and to others while it goes on.
func TestExportWhileItChanges(t *testing.T) {
	each(t, func(t *testing.T, s *stepped) {
		n := 10_000
		if testing.Short() {
			n = 2_000
		}
		ids := crowd(t, s, n)
		change := func(id int64, do func(*session.Session)) {
			t.Helper()
			err := s.Store.Update(t.Context(), func(tx store.Tx) error {
				was, err := tx.LockSession(id)
				if err != nil {
					return err
				}
				is := store.Clone(was)
				do(is)
				return tx.SaveSession(was, is)
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		first := s.Session(ids[0]).StartedAt
		for name, q := range map[string]store.SessionQuery{
			"all":    {History: true, Sort: "-status", PageSize: 3, PageToken: "of another list"},
			"period": {History: true, From: first, To: first.Add(10_000 * time.Minute)},
			"user":   {History: true, UserID: s.User.UserID},
		} {
			t.Run(name, func(t *testing.T) {
				rows := exported(t, s, q, func(step int) {
					// Behind, ahead and where it is.
					for i := range 12 {
						change(ids[(step*977+i*833)%len(ids)], func(x *session.Session) {
							switch i % 4 {
							case 0:
								x.Status, x.EndedAt = session.Expired, s.now
							case 1:
								x.Delete(s.now)
							case 2:
								x.Reason, x.LastActivityAt, x.StatusSince = "moved", s.now, s.now
							case 3:
								x.Status = session.Stopped
							}
						})
					}
					crowdMore(t, s, ids[0])
				})
				seen := map[int64]int{}
				for _, r := range rows {
					seen[r.ID]++
				}
				for _, id := range ids {
					if seen[id] != 1 {
						t.Errorf("session %d is in it %d times", id, seen[id])
					}
				}
				order := func(a, b export.Row) int { return int(a.ID - b.ID) }
				if name == "period" {
					order = func(a, b export.Row) int { return a.StartedAt.Compare(b.StartedAt) }
				}
				if !slices.IsSortedFunc(rows, order) {
					t.Error("it is not in order")
				}
			})
		}
	})
}

// crowdMore adds a session while an export goes on.
func crowdMore(t *testing.T, s *stepped, like int64) {
	t.Helper()
	model := s.Session(like)
	err := s.Store.Update(t.Context(), func(tx store.Tx) error {
		c := store.Clone(model)
		c.ID, c.Lease, c.Order = 0, nil, nil
		return tx.CreateSession(c)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestExportSelects: a row says what the database says, streams are exported with those
// that are deleted, device apps as the list has them.
func TestExportSelects(t *testing.T) {
	each(t, func(t *testing.T, s *stepped) {
		ids := crowd(t, s, 8)
		for _, id := range ids[:2] { // one of each kind
			err := s.Store.Update(t.Context(), func(tx store.Tx) error {
				was, err := tx.LockSession(id)
				if err != nil {
					return err
				}
				is := store.Clone(was)
				is.Status, is.Reason, is.EndedAt = session.Expired, "the end", is.StartedAt.Add(90*time.Second)
				if is.Kind == session.Stream {
					is.Status = session.Disconnected
				}
				is.Delete(s.now)
				return tx.SaveSession(was, is)
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		first := s.Session(ids[0]).StartedAt
		for _, tt := range []struct {
			q    store.SessionQuery
			want []int64
		}{
			{store.SessionQuery{}, ids[2:]},
			{store.SessionQuery{History: true}, ids},
			{store.SessionQuery{Kind: session.Stream}, []int64{ids[1], ids[3], ids[5], ids[7]}},
			{store.SessionQuery{Kind: session.Device}, []int64{ids[2], ids[4], ids[6]}},
			{store.SessionQuery{Kind: session.Stream, From: first.Add(time.Minute), To: first.Add(5 * time.Minute)}, []int64{ids[1], ids[3]}},
			{store.SessionQuery{Kind: session.Stream, Statuses: []session.Status{session.Killed}}, nil},
		} {
			var got []int64
			for _, r := range exported(t, s, tt.q, nil) {
				got = append(got, r.ID)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("%+v: %v, want %v", tt.q, got, tt.want)
			}
		}
		r := exported(t, s, store.SessionQuery{History: true}, nil)[0]
		want := export.Row{ID: ids[0], Name: "Ann Berg", Username: "ann", Email: "ann@example.org", App: "MATLAB", StartedAt: first, Duration: 90 * time.Second,
			Status: session.Expired, Kind: session.Device, Reason: "the end", DeliveryMethod: "MATLAB", Provision: "MATLAB",
			LastActivityAt: first, EndedAt: first.Add(90 * time.Second), DeletedAt: s.now}
		if r != want {
			t.Errorf("%+v\nwant %+v", r, want)
		}
	})
}

// TestExportIsAudited: who took how much of what, even if it was broken off; and whoever may
// not, or asks for what cannot be, gets nothing.
func TestExportIsAudited(t *testing.T) {
	each(t, func(t *testing.T, s *stepped) {
		crowd(t, s, 1200)
		last := func() (store.AuditEntry, int) {
			list, _, err := s.Control.Audit(t.Context(), store.AuditQuery{Action: control.ActionExport, Page: store.Page{Size: 100}})
			if err != nil {
				t.Fatal(err)
			}
			if len(list) == 0 {
				return store.AuditEntry{}, 0
			}
			return list[0], len(list)
		}
		csv := export.Options{Format: export.CSV}
		never := func([]export.Row) error { t.Error("it began"); return nil }
		ctx := t.Context()
		if err := s.Control.Export(ctx, s.User, store.SessionQuery{}, csv, never); !errors.Is(err, control.ErrDenied) {
			t.Errorf("a user: %v", err)
		}
		for field, do := range map[string]func() error{
			"format": func() error {
				return s.Control.Export(ctx, s.Admin, store.SessionQuery{}, export.Options{Format: "xlsx"}, never)
			},
			"status": func() error {
				return s.Control.Export(ctx, s.Admin, store.SessionQuery{Statuses: []session.Status{"sleeping"}}, csv, never)
			},
		} {
			if err := do(); err == nil || !strings.HasPrefix(err.Error(), field+" ") {
				t.Errorf("%s: %v", field, err)
			}
		}
		if _, n := last(); n != 0 {
			t.Errorf("%d entries of exports that never began", n)
		}

		who := s.Admin
		who.From = "192.0.2.7"
		rows := 0
		if err := s.Control.Export(ctx, who, store.SessionQuery{Kind: session.Stream, Q: "gimp"}, csv, func(p []export.Row) error { rows += len(p); return nil }); err != nil {
			t.Fatal(err)
		}
		e, _ := last()
		if rows != 600 || e.Actor != "admin root" || e.From != "192.0.2.7" || e.Name != "kind: stream, search: gimp, deleted ones too" || e.Outcome != "done: 600 sessions as csv" {
			t.Errorf("%d rows, %+v", rows, e)
		}

		gone, cancel := context.WithCancel(ctx)
		err := s.Control.Export(gone, who, store.SessionQuery{}, csv, func([]export.Row) error { cancel(); return nil })
		if e, _ := last(); !errors.Is(err, context.Canceled) || e.Outcome != "broken off: at most 500 sessions as csv" {
			t.Errorf("gone: %v, %+v", err, e)
		}
		full := errors.New("full")
		if err := s.Control.Export(ctx, who, store.SessionQuery{UserID: 999}, csv, func(p []export.Row) error { return full }); !errors.Is(err, full) {
			t.Errorf("full: %v", err)
		}
		if e, n := last(); n != 3 || e.Outcome != "broken off: at most 0 sessions as csv" {
			t.Errorf("%d entries, %+v", n, e)
		}
	})
}
