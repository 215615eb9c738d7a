package storetest

import (
	"net/netip"
	"testing"
	"time"

	"leasehold/internal/directory"
	"leasehold/internal/session"
	"leasehold/internal/store"
)

func testDuties(t *testing.T, e *env) {
	const hold = 10 * time.Second
	claim := func(node string) (term int64, mark string, err error) {
		e.update(func(tx store.Tx) error {
			term, mark, err = tx.ClaimDuty("sweep", node, hold)
			return nil
		})
		return term, mark, err
	}
	marked := func() (mark string) {
		t.Helper()
		e.view(func(tx store.Tx) (err error) {
			mark, err = tx.DutyMark("sweep")
			return err
		})
		return mark
	}
	if got := marked(); got != "" {
		t.Errorf("before the first claim it is marked %q", got)
	}
	first, mark, err := claim("a")
	if err != nil || mark != "" {
		t.Fatalf("the first claim: %v %q", err, mark)
	}
	if again, _, err := claim("a"); err != nil || again != first {
		t.Fatalf("its holder claims it again: term %d, %v", again, err)
	}
	_, _, err = claim("b")
	wantErr(t, err, store.ErrHeld)
	e.update(func(tx store.Tx) error { return tx.MarkDuty("sweep", first, "monday") })
	if got := marked(); got != "monday" {
		t.Errorf("marked %q", got)
	}
	e.step(hold)
	e.update(func(tx store.Tx) error { return tx.KeepDuty("sweep", first, hold) })
	_, _, err = claim("b")
	wantErr(t, err, store.ErrHeld)
	e.step(hold)
	second, mark, err := claim("b")
	if err != nil || second <= first || mark != "monday" {
		t.Fatalf("taken over: term %d after %d, mark %q, %v", second, first, mark, err)
	}
	e.update(func(tx store.Tx) error {
		// What the old holder does now is fenced.
		wantErr(t, tx.KeepDuty("sweep", first, hold), store.ErrHeld)
		wantErr(t, tx.MarkDuty("sweep", first, "x"), store.ErrHeld)
		wantErr(t, tx.DropDuty("sweep", first), store.ErrHeld)
		return tx.DropDuty("sweep", second)
	})
	if third, mark, err := claim("a"); err != nil || third <= second || mark != "monday" {
		t.Fatalf("after it was given up: term %d, mark %q, %v", third, mark, err)
	}
}

func testBatches(t *testing.T, e *env) {
	f := e.fixture()
	var ids []int64
	for i := range 5 {
		ids = append(ids, e.launch(f, i%3, true).ID)
	}
	e.change(ids[1], func(tx store.Tx, s *session.Session) {
		s.Observe(session.Observation{Type: session.ObsStarted, Run: 1, At: tx.WallNow()}, byAgent)
	})
	e.change(ids[4], func(tx store.Tx, s *session.Session) { s.Delete(tx.WallNow()) })
	b := &store.Batch{Action: session.Evict, Reason: "exam", Filter: &store.SessionQuery{Q: "x", Statuses: []session.Status{session.Running}},
		By: session.Actor{Role: session.Admin, Name: "ann"}, From: "10.0.0.1", State: store.BatchFreezing, CreatedAt: e.clock.Now()}
	e.update(func(tx store.Tx) error {
		if err := tx.CreateBatch(b); err != nil {
			return err
		}
		if err := tx.AddBatchItems(b.ID, ids[:3]); err != nil {
			return err
		}
		return tx.AddBatchItems(b.ID, ids[2:])
	})
	e.view(func(tx store.Tx) error {
		same(t, "not begun yet", len(must[[]*store.Batch](t)(tx.Batches("", 0, 10))), 0)
		same(t, "batch", must[*store.Batch](t)(tx.Batch(b.ID)), b)
		items := must[[]store.BatchItem](t)(tx.BatchItems(b.ID, "", ids[0], 3))
		if len(items) != 3 || items[0].Session != ids[1] || items[2].Session != ids[3] {
			t.Fatalf("items: %+v", items)
		}
		kinds := must[[]store.BatchKind](t)(tx.BatchKinds(b.ID))
		n, running, deleted := 0, 0, 0
		for _, k := range kinds {
			if k.AppID != f.app.ID || k.AppName != f.app.Name || k.Kind != session.Device {
				t.Errorf("kind %+v", k)
			}
			n += k.N
			if k.Running {
				running += k.N
			}
			if k.Deleted {
				deleted += k.N
			}
		}
		if n != 5 || running != 1 || deleted != 1 {
			t.Fatalf("kinds: %+v", kinds)
		}
		_, err := tx.Batch(b.ID + 1)
		wantErr(t, err, store.ErrNotFound)
		return nil
	})
	e.update(func(tx store.Tx) error {
		b = must[*store.Batch](t)(tx.LockBatch(b.ID))
		b.State, b.Reached, b.Total, b.Applied, b.Skipped = store.BatchDone, ids[4], 5, 1, 4
		b.StartedAt, b.FinishedAt = tx.WallNow(), tx.WallNow()
		b.By, b.From = session.Actor{Role: session.Admin, Name: "the one who began it"}, "192.0.2.7"
		if err := tx.SaveBatch(b); err != nil {
			return err
		}
		return tx.SaveBatchItem(b.ID, store.BatchItem{Session: ids[1], Outcome: store.Skipped, Status: session.Stopped, Reason: "why"})
	})
	e.view(func(tx store.Tx) error {
		same(t, "saved", must[*store.Batch](t)(tx.Batch(b.ID)), b)
		same(t, "skipped", must[[]store.BatchItem](t)(tx.BatchItems(b.ID, store.Skipped, 0, 10)), []store.BatchItem{{Session: ids[1], Outcome: store.Skipped, Status: session.Stopped, Reason: "why"}})
		same(t, "of the state", len(must[[]*store.Batch](t)(tx.Batches(store.BatchDone, 0, 10))), 1)
		same(t, "those begun", len(must[[]*store.Batch](t)(tx.Batches("", 0, 10))), 1)
		same(t, "of another", len(must[[]*store.Batch](t)(tx.Batches(store.BatchRunning, 0, 10))), 0)
		same(t, "before", len(must[[]*store.Batch](t)(tx.Batches("", b.ID, 10))), 0)
		return nil
	})
	e.update(func(tx store.Tx) error {
		same(t, "too young", must[int](t)(tx.DeleteBatches(tx.WallNow().Add(time.Hour), tx.WallNow(), 10)), 0)
		same(t, "old", must[int](t)(tx.DeleteBatches(tx.WallNow(), tx.WallNow().Add(time.Second), 10)), 1)
		same(t, "its items", len(must[[]store.BatchItem](t)(tx.BatchItems(b.ID, "", 0, 10))), 0)
		return nil
	})
}

func testChecks(t *testing.T, e *env) {
	f := e.fixture()
	a, b, other := e.launch(f, 0, true), e.launch(f, 0, true), e.launch(f, 1, true)
	over, gone := e.launch(f, 0, true), e.launch(f, 0, true)
	e.change(over.ID, func(tx store.Tx, s *session.Session) {
		s.Observe(session.Observation{Type: session.ObsAdded, At: tx.WallNow()}, byAgent)
		s.Observe(session.Observation{Type: session.ObsRemoved, At: tx.WallNow()}, byAgent)
	})
	e.change(gone.ID, func(tx store.Tx, s *session.Session) { s.Delete(tx.WallNow()) })
	c1 := &store.Check{Scope: store.OfUser, Ref: f.users[0].ID, EndRunning: true, Reason: "left", By: session.Actor{Role: session.Admin, Name: "ann"}, From: "10.0.0.1", CreatedAt: e.clock.Now()}
	c2 := &store.Check{Scope: store.OfApp, Ref: f.app.ID, By: session.Actor{Role: session.Server}, CreatedAt: e.clock.Now()}
	e.update(func(tx store.Tx) error {
		_, err := tx.NextCheck()
		wantErr(t, err, store.ErrNotFound)
		if err := tx.AddCheck(c1); err != nil {
			return err
		}
		return tx.AddCheck(c2)
	})
	e.update(func(tx store.Tx) error {
		same(t, "the oldest", must[*store.Check](t)(tx.NextCheck()), c1)
		same(t, "locked", must[*store.Check](t)(tx.LockCheck(c1.ID)), c1)
		_, err := tx.LockCheck(c2.ID + 1)
		wantErr(t, err, store.ErrNotFound)
		c1.Reached = a.ID
		if err := tx.SaveCheck(c1, false); err != nil {
			return err
		}
		same(t, "how far", must[*store.Check](t)(tx.NextCheck()), c1)
		if err := tx.SaveCheck(c1, true); err != nil {
			return err
		}
		same(t, "the next", must[*store.Check](t)(tx.NextCheck()), c2)
		for _, tt := range []struct {
			scope store.Scope
			ref   int64
			want  []int64
		}{
			{store.OfUser, f.users[0].ID, []int64{a.ID, b.ID}}, {store.OfApp, f.app.ID, []int64{a.ID, b.ID, other.ID}},
			{store.OfMethod, f.method.ID, []int64{a.ID, b.ID, other.ID}}, {store.OfAgent, f.agent.ID, []int64{a.ID, b.ID, other.ID}}, {store.OfUser, 999, nil},
		} {
			ids, next, err := tx.ToCheck(tt.scope, tt.ref, 0, 100)
			if err != nil || next != 0 {
				t.Fatalf("%s: %v, next %d", tt.scope, err, next)
			}
			same(t, string(tt.scope), ids, tt.want)
		}
		ids, next, err := tx.ToCheck(store.OfApp, f.app.ID, 0, 2)
		if err != nil || next != b.ID || len(ids) != 2 {
			t.Fatalf("the first two: %v, next %d, %v", ids, next, err)
		}
		return nil
	})
}

func testHousekeeping(t *testing.T, e *env) {
	f := e.fixture()
	old := e.launch(f, 0, true)
	e.step(48 * time.Hour)
	young := e.launch(f, 0, true)
	running := e.launch(f, 1, true)
	if !e.grant(running.ID, 0, time.Hour) {
		t.Fatal("no lease")
	}
	e.view(func(tx store.Tx) error {
		ids := func(s session.Status, quiet, since time.Time) []int64 {
			return must[[]int64](t)(tx.Idle(s, quiet, since, 0, 10))
		}
		same(t, "all", ids(session.Launched, time.Time{}, time.Time{}), []int64{old.ID, young.ID})
		same(t, "quiet for two days", ids(session.Launched, tx.WallNow().Add(-48*time.Hour), time.Time{}), []int64{old.ID})
		same(t, "so since before today", ids(session.Launched, time.Time{}, tx.WallNow().Add(-time.Hour)), []int64{old.ID})
		same(t, "of another status", len(ids(session.Stopped, time.Time{}, time.Time{})), 0)
		same(t, "above", must[[]int64](t)(tx.Idle(session.Launched, time.Time{}, time.Time{}, old.ID, 10)), []int64{young.ID})
		same(t, "matching", must[[]int64](t)(tx.MatchingIDs(store.SessionQuery{Kind: session.Device, Sort: "-user"}, old.ID, 1)), []int64{young.ID})
		same(t, "matching nothing", len(must[[]int64](t)(tx.MatchingIDs(store.SessionQuery{Username: "nobody"}, 0, 10))), 0)
		same(t, "seats held", must[[]int64](t)(tx.SeatHolders(f.method.ID, 0, 10)), []int64{running.ID})
		same(t, "seats held above", len(must[[]int64](t)(tx.SeatHolders(f.method.ID, running.ID, 10))), 0)
		return nil
	})
	for _, s := range []*session.Session{old, running} {
		e.change(s.ID, func(tx store.Tx, s *session.Session) { s.Delete(tx.WallNow()) })
	}
	e.step(time.Minute)
	e.update(func(tx store.Tx) error {
		same(t, "not yet", len(must[[]int64](t)(tx.Forgettable(tx.WallNow().Add(-time.Hour), 10))), 0)
		same(t, "without a lease out", must[[]int64](t)(tx.Forgettable(tx.WallNow(), 10)), []int64{old.ID})
		if err := tx.ForgetSession(old.ID); err != nil {
			return err
		}
		_, err := tx.Session(old.ID)
		wantErr(t, err, store.ErrNotFound)
		same(t, "its history", len(must[[]session.Transition](t)(tx.Transitions(old.ID))), 0)
		return nil
	})
}

func testRestrictions(t *testing.T, e *env) {
	f := e.fixture()
	p := f.provision
	p.Ownership = directory.Organisation
	p.Networks = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")}
	p.Exceptions = []directory.Exception{{UserID: f.users[0].ID, AppID: f.app.ID}, {UserID: f.users[1].ID, AppID: f.app.ID}}
	p.StartsAt, p.EndsAt = e.clock.Now().Add(time.Hour), e.clock.Now().Add(2*time.Hour)
	f.agent.Ownership = directory.Own
	e.update(func(tx store.Tx) error {
		if err := tx.SaveProvision(p); err != nil {
			return err
		}
		return tx.SaveAgent(f.agent)
	})
	e.view(func(tx store.Tx) error {
		same(t, "provision", must[*directory.Provision](t)(tx.Provision(p.ID)), p)
		same(t, "for a user", must[[]*directory.Provision](t)(tx.ProvisionsFor(f.users[0].ID, f.method.ID)), []*directory.Provision{p})
		same(t, "whose device", must[*store.Agent](t)(tx.Agent(f.agent.ID)).Ownership, directory.Own)
		turned := func(from, to time.Duration) []int64 {
			return must[[]int64](t)(tx.ProvisionsTurned(e.clock.Now().Add(from), e.clock.Now().Add(to)))
		}
		same(t, "nothing turns yet", len(turned(0, time.Hour-1)), 0)
		same(t, "it begins", turned(0, time.Hour), []int64{p.ID})
		same(t, "it has begun", len(turned(time.Hour, 2*time.Hour-1)), 0)
		same(t, "it ends", turned(time.Hour, 2*time.Hour), []int64{p.ID})
		return nil
	})
	p.Exceptions, p.Networks = p.Exceptions[:1], nil
	e.update(func(tx store.Tx) error {
		if err := tx.SaveProvision(p); err != nil {
			return err
		}
		return tx.CreateEnrolmentKey(&store.EnrolmentKey{Kind: "player", Hash: []byte("own"), Ownership: directory.Own})
	})
	e.view(func(tx store.Tx) error {
		same(t, "changed", must[*directory.Provision](t)(tx.Provision(p.ID)), p)
		same(t, "key", must[*store.EnrolmentKey](t)(tx.EnrolmentKey([]byte("own"))).Ownership, directory.Own)
		return nil
	})
}

func testSilence(t *testing.T, e *env) {
	f := e.fixture()
	s := e.launch(f, 0, true)
	unbound := e.launch(f, 0, false)
	if err := e.st.MarkSeen(t.Context(), map[int64]store.Seen{f.agent.ID: {At: e.clock.Now(), Lease: e.in(0)}}); err != nil {
		t.Fatal(err)
	}
	e.step(time.Hour)
	e.view(func(tx store.Tx) error {
		list := func(silent time.Duration) []store.SessionRow {
			q := store.SessionQuery{SilentSince: tx.WallNow().Add(-silent), Sort: "-id", PageSize: 10}
			n, exact, err := tx.CountSessions(q, 100)
			rows := must[store.SessionPage](t)(tx.ListSessions(q)).Rows
			if err != nil || !exact || n != len(rows) {
				t.Fatalf("counted %d of %d, %v %v", n, len(rows), exact, err)
			}
			return rows
		}
		if rows := list(30 * time.Minute); len(rows) != 1 || rows[0].ID != s.ID {
			t.Fatalf("silent for half an hour: %d rows; %d is not bound to a device", len(rows), unbound.ID)
		}
		same(t, "silent for two hours", len(list(2*time.Hour)), 0)
		return nil
	})
}

// testHistory: what is deleted is in the history only, in its place of every order.
func testHistory(t *testing.T, e *env) {
	f := e.fixture()
	var all, listed []int64
	for i := range 7 {
		id := e.launch(f, i%3, i%2 == 0).ID
		all = append(all, id)
		if i%3 == 1 {
			e.change(id, func(tx store.Tx, s *session.Session) { s.Delete(tx.WallNow()) })
		} else {
			listed = append(listed, id)
		}
		e.step(time.Minute)
	}
	queries := []store.SessionQuery{{}, {Kind: session.Device}, {Statuses: []session.Status{session.Launched}}, {Q: "doe"}, {AppID: f.app.ID}, {From: e.clock.Now().Add(-time.Hour)}}
	e.view(func(tx store.Tx) error {
		for _, q := range queries {
			for _, sort := range []store.Sort{"id", "-id", "-started_at", "since", "user", "-app", "duration", "-duration"} {
				for _, history := range []bool{false, true} {
					q.Sort, q.History, q.PageSize, q.PageToken = sort, history, 2, ""
					want := listed
					if history {
						want = all
					}
					n, exact, err := tx.CountSessions(q, 100)
					if err != nil || !exact || n != len(want) {
						t.Fatalf("%+v: counted %d, %v %v, want %d", q, n, exact, err, len(want))
					}
					seen := map[int64]bool{}
					var last int64
					for {
						page := must[store.SessionPage](t)(tx.ListSessions(q))
						for _, r := range page.Rows {
							if seen[r.ID] || sort == "id" && r.ID < last || sort == "-id" && last != 0 && r.ID > last {
								t.Fatalf("%+v: %d comes again, or too late", q, r.ID)
							}
							seen[r.ID], last = true, r.ID
						}
						if q.PageToken = page.Next; q.PageToken == "" {
							break
						}
					}
					for _, id := range want {
						if !seen[id] {
							t.Errorf("%+v: %d is missing", q, id)
						}
					}
					if len(seen) != len(want) {
						t.Errorf("%+v: %d rows, want %d", q, len(seen), len(want))
					}
				}
			}
		}
		return nil
	})
}

func testDenials(t *testing.T, e *env) {
	f := e.fixture()
	s := e.launch(f, 0, true)
	e.update(func(tx store.Tx) error {
		for run := range 3 {
			d := store.Denial{At: tx.WallNow().Add(time.Duration(run) * time.Minute), Session: s.ID, Run: uint32(run + 1), UserID: f.users[0].ID, AppID: f.app.ID,
				DeliveryMethodID: f.method.ID, AgentID: f.agent.ID, Code: session.RefusedNoSeat, Message: "All seats are in use."}
			if err := tx.AddDenial(d); err != nil {
				return err
			}
		}
		return nil
	})
	e.view(func(tx store.Tx) error {
		list := must[[]store.Denial](t)(tx.DenialsOf(f.method.ID, 0, 2))
		if len(list) != 2 || list[0].Run != 3 || list[0].UserName != "joe Doe" || list[0].Username != "joe" || list[0].AgentName != "DEV-1" {
			t.Fatalf("newest first, with names: %+v", list)
		}
		rest := must[[]store.Denial](t)(tx.DenialsOf(f.method.ID, list[1].ID, 2))
		if len(rest) != 1 || rest[0].Run != 1 {
			t.Fatalf("the rest: %+v", rest)
		}
		same(t, "of another", len(must[[]store.Denial](t)(tx.DenialsOf(f.other.ID, 0, 2))), 0)
		same(t, "since", must[int](t)(tx.CountDenials(f.method.ID, tx.WallNow().Add(time.Minute))), 2)
		return nil
	})
}
