package control_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"leasehold/internal/auth"
	"leasehold/internal/catalog"
	"leasehold/internal/control"
	"leasehold/internal/lease"
	"leasehold/internal/pgtest"
	"leasehold/internal/server/agentapi"
	"leasehold/internal/servertest"
	"leasehold/internal/session"
	"leasehold/internal/simulate"
	"leasehold/internal/store"
	"leasehold/internal/store/postgres"
	"leasehold/internal/store/sqlite"
	"leasehold/internal/store/sqlite/sqlitetest"
	"leasehold/internal/wire"

	"log/slog"
	"os"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// stepped is a server whose clock the test steps, with agents that speak the wire.
type stepped struct {
	*servertest.Server
	t       *testing.T
	mu      sync.Mutex
	now     time.Time
	elapsed time.Duration
	url     string
	db      string
	dsn     string // of PostgreSQL
	from    string // the address that agents come from
	client  *http.Client
	// lose, if set, decides which answers never arrive.
	lose func() bool
}

// each runs a test on both databases.
func each(t *testing.T, do func(t *testing.T, s *stepped)) {
	for _, db := range []string{"sqlite", "postgres"} {
		t.Run(db, func(t *testing.T) { do(t, (&stepped{db: db}).fresh(t)) })
	}
}

// fresh is another server, on a new database of the same kind.
func (s *stepped) fresh(t *testing.T) *stepped {
	db := s.db
	s = &stepped{t: t, db: db, now: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC).Add(-lease.Period)}
	clock := func() time.Time {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.now
	}
	boot := func() time.Duration {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.elapsed
	}
	var st store.Store
	var err error
	if db == "sqlite" {
		st, err = sqlite.Open(t.Context(), sqlitetest.Folder(t), sqlite.WithClock(clock), sqlite.WithBoot(boot))
	} else {
		s.dsn = pgtest.Made(t)
		st, err = postgres.Open(t.Context(), s.dsn, postgres.WithClock(clock), postgres.WithBoot(boot))
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	s.Server = servertest.With(t, st, control.Config{Elapsed: boot})
	s.step(lease.Period) // with the second tick it reads the lease clock
	routes := auth.NewRoutes()
	(&agentapi.Server{Control: s.Control, Log: slog.New(slog.DiscardHandler), ClientIP: func(*http.Request) string { return s.from }}).Register(routes)
	hs := httptest.NewServer(routes)
	t.Cleanup(hs.Close)
	s.url = hs.URL
	s.client = &http.Client{Transport: s}
	return s
}

// RoundTrip loses answers where the test says so.
func (s *stepped) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err == nil && s.lose != nil && s.lose() {
		resp.Body.Close()
		return nil, errors.New("the answer is lost")
	}
	return resp, err
}

// step lets time pass, watched by the server second by second.
func (s *stepped) step(d time.Duration) {
	s.t.Helper()
	s.mu.Lock()
	s.now, s.elapsed = s.now.Add(d), s.elapsed+d
	s.mu.Unlock()
	s.Control.Beat(s.t.Context())
}

// leaseNow is a look at the clocks.
func (s *stepped) leaseNow() (n lease.Now) {
	s.t.Helper()
	if err := s.Store.View(s.t.Context(), func(tx store.Tx) error { n = tx.LeaseNow(); return nil }); err != nil {
		s.t.Fatal(err)
	}
	return n
}

func (s *stepped) agent(name string) *simulate.Agent {
	s.t.Helper()
	a, err := simulate.Enrol(s.t.Context(), s.client, s.url, s.EnrolmentKey(), name)
	if err != nil {
		s.t.Fatal(err)
	}
	a.Clock = func() time.Duration {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.elapsed
	}
	return a
}

func (s *stepped) say(a *simulate.Agent) {
	s.t.Helper()
	if _, err := a.CheckIn(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

// running launches the app on the agent and starts it.
func (s *stepped) running(a *simulate.Agent, app int64) int64 {
	s.t.Helper()
	id := s.added(a, app)
	if err := a.Start(id); err != nil {
		s.t.Fatal(err)
	}
	s.say(a)
	return id
}

func (s *stepped) added(a *simulate.Agent, app int64) int64 {
	s.t.Helper()
	id, err := a.Redeem(s.t.Context(), s.Launch(app).Link)
	if err != nil {
		s.t.Fatal(err)
	}
	s.say(a)
	return id
}

func (s *stepped) is(id int64, want session.Status) {
	s.t.Helper()
	if got := s.Session(id); got.Status != want {
		s.t.Fatalf("session %d is %s (%s), want %s", id, got.Status, got.Reason, want)
	}
}

// history lists a session's statuses.
func (s *stepped) history(id int64) (out []session.Status) {
	s.t.Helper()
	d, err := s.Control.Session(s.t.Context(), id)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, tr := range d.Transitions {
		out = append(out, tr.To)
	}
	return out
}

var command = []catalog.Package{{Type: catalog.Command, Command: []string{"app"}}}

func TestOneLife(t *testing.T) {
	each(t, func(t *testing.T, s *stepped) {
		app, _ := s.App("App", servertest.Terms{Packages: command, Heartbeat: 60})
		a := s.agent("LAB-1")
		id := s.running(a, app.ID)
		s.is(id, session.Running)
		s.Act(id, session.Evict, "exam")
		s.is(id, session.Evicted)
		if o := s.Session(id).Order; !o.Open() || !o.DeliveredAt.IsZero() || o.Promised.Before(o.RequestedAt) {
			t.Fatalf("order %+v", o)
		}
		s.say(a) // the order arrives, the app closes
		s.say(a) // … which is reported
		o := s.Session(id).Order
		if o.Open() || o.ClosedBy != session.ByAgent || o.DeliveredAt.IsZero() || o.WarnedAt.IsZero() {
			t.Fatalf("order %+v", o)
		}
		if err := a.Start(id); err != nil {
			t.Fatal(err)
		}
		s.say(a)
		s.is(id, session.Running)
		if g := s.Session(id).Lease.Generation; g != 2 {
			t.Errorf("generation %d after one eviction", g)
		}
		a.Exit(id)
		s.say(a)
		s.Act(id, session.Expire, "")
		s.say(a)
		s.is(id, session.Expired)
		if err := a.Start(id); err != nil {
			t.Fatal(err)
		}
		s.say(a)
		if got := s.Session(id); got.Lease != nil || got.Status != session.Expired || got.Observed != session.IsRunning {
			t.Errorf("an expired session that is started: %s, observed %s, lease %v", got.Status, got.Observed, got.Lease)
		}
		d, err := s.Control.Session(t.Context(), id)
		if err != nil || len(d.Denials) != 1 || d.Denials[0].Code != session.RefusedEnded {
			t.Errorf("denials %+v, %v", d, err)
		}
		var e *session.RefusedError
		if _, err := s.Control.Act(t.Context(), s.Admin, id, session.Evict, ""); !errors.As(err, &e) {
			t.Errorf("evict of an expired session: %v", err)
		}
	})
}

// TestRenewalIsQuiet: a routine renewal of a floating lease writes no transition.
func TestRenewalIsQuiet(t *testing.T) {
	each(t, func(t *testing.T, s *stepped) {
		app, _ := s.App("App", servertest.Terms{Packages: command, Heartbeat: 60})
		a := s.agent("LAB-1")
		id := s.running(a, app.ID)
		before, first := len(s.history(id)), s.Session(id).Lease.ExpiresAt
		s.say(a)
		if got := s.Session(id).Lease.ExpiresAt; got != first {
			t.Error("renewed before a heartbeat has passed")
		}
		for range 5 {
			s.step(time.Minute)
			s.say(a)
		}
		if got := s.Session(id).Lease.ExpiresAt; got != first.Add(5*time.Minute) {
			t.Errorf("the lease ends %v, want %v", got, first.Add(5*time.Minute))
		}
		if n := len(s.history(id)); n != before {
			t.Errorf("renewals wrote %d transitions", n-before)
		}
	})
}

// TestLapse: a session that nobody hears from becomes stopped when its lease has
// certainly ended, and its seat is free then and not before.
func TestLapse(t *testing.T) {
	each(t, func(t *testing.T, s *stepped) {
		app, dm := s.App("App", servertest.Terms{Packages: command, Heartbeat: 60, Warnings: []int{120, 60}, Seats: 1})
		a, b := s.agent("LAB-1"), s.agent("LAB-2")
		id := s.running(a, app.ID)
		free := s.Session(id).Lease.FreeAt
		terms := dm.Terms(10 * time.Second)
		if want := terms.Length() + terms.Margin(terms.Length()); free.Sub(s.leaseNow().Latest) != want {
			t.Fatalf("the seat is free after %v, want %v", free.Sub(s.leaseNow().Latest), want)
		}
		s.step(free.Sub(s.leaseNow().Latest) - time.Second)
		s.is(id, session.Running)
		second := s.added(b, app.ID)
		if err := b.Start(second); err != nil {
			t.Fatal(err)
		}
		s.say(b)
		if s.Session(second).Lease != nil {
			t.Fatal("the seat is given before it is free")
		}
		s.step(time.Second)
		s.is(id, session.Stopped)
		if r := s.Session(id).Reason; r != "lease lapsed: nothing heard from LAB-1 since 2026-03-01 09:00:00 UTC" {
			t.Errorf("reason %q", r)
		}
		b.Exit(second)
		if err := b.Start(second); err != nil {
			t.Fatal(err)
		}
		s.say(b)
		s.is(second, session.Running)
	})
}

// TestOrderLapses: with nobody answering, an order closes at its ETA.
func TestOrderLapses(t *testing.T) {
	each(t, func(t *testing.T, s *stepped) {
		app, _ := s.App("App", servertest.Terms{Packages: command, Heartbeat: 60})
		a := s.agent("LAB-1")
		id := s.running(a, app.ID)
		s.Act(id, session.Evict, "")
		eta, told := s.Session(id).Order.ETA, s.Row(id).OrderETA
		s.step(eta.Sub(s.leaseNow().Latest) - time.Second)
		if !s.Session(id).Order.Open() {
			t.Fatal("closed before its ETA")
		}
		s.step(time.Second)
		if o := s.Session(id).Order; o.Open() || o.ClosedBy != session.ByLapse || !o.ClosedAt.Equal(told) {
			t.Fatalf("order %+v", o)
		}
		// A later report refines, and never opens it again.
		s.say(a)
		s.say(a)
		if o := s.Session(id).Order; o.Open() || o.ClosedBy != session.ByLapse {
			t.Fatalf("order %+v", o)
		}
	})
}

// TestLostAnswers: with every other answer lost, all is applied once.
func TestLostAnswers(t *testing.T) {
	each(t, func(t *testing.T, s *stepped) {
		app, _ := s.App("App", servertest.Terms{Packages: command, Heartbeat: 60, Seats: 1})
		a := s.agent("LAB-1")
		id := s.added(a, app.ID)
		n := 0
		s.lose = func() bool { n++; return n%2 == 1 }
		say := func() {
			for range 2 {
				_, _ = a.CheckIn(t.Context()) // the first answer is lost, the second arrives
			}
		}
		for range 3 {
			if err := a.Start(id); err != nil {
				t.Fatal(err)
			}
			say()
			s.is(id, session.Running)
			a.Exit(id)
			say()
			s.is(id, session.Stopped)
			s.step(time.Minute)
		}
		want := []session.Status{session.Launched, session.Added, session.Running, session.Stopped, session.Running, session.Stopped, session.Running, session.Stopped}
		got := s.history(id)
		if len(got) != len(want) {
			t.Fatalf("history %v, want %v", got, want)
		}
		if s.Session(id).Lease != nil {
			t.Error("a lease is out though nothing runs")
		}
	})
}

// TestRefusedRenewal: whoever loses the entitlement is evicted at the next renewal, with the reason.
func TestRefusedRenewal(t *testing.T) {
	each(t, func(t *testing.T, s *stepped) {
		app, _ := s.App("App", servertest.Terms{Packages: command, Heartbeat: 60})
		a := s.agent("LAB-1")
		id := s.running(a, app.ID)
		if _, err := s.Control.UpdateApp(t.Context(), s.Admin, app.ID, control.Ending{}, func(a *catalog.App) error { a.Status = catalog.Suspended; return nil }); err != nil {
			t.Fatal(err)
		}
		s.say(a)
		s.is(id, session.Running) // until a renewal is due
		s.step(time.Minute)
		s.say(a)
		s.is(id, session.Evicted)
		got := s.Session(id)
		if got.Order == nil || got.Order.By.Role != session.Server || got.Reason == "" {
			t.Errorf("order %+v, reason %q", got.Order, got.Reason)
		}
		s.say(a)
		s.say(a)
		if o := s.Session(id).Order; o.Open() || o.ClosedBy != session.ByAgent {
			t.Errorf("order %+v", o)
		}
		var r *session.Refusal
		if _, err := s.Control.Launch(context.Background(), s.User, app.ID, 0); !errors.As(err, &r) || r.Code != session.RefusedSuspended {
			t.Errorf("launch of a suspended app: %v", err)
		}
	})
}

// TestSuperseded: a newer session of the same app on the same device takes the older one's place.
func TestSuperseded(t *testing.T) {
	each(t, func(t *testing.T, s *stepped) {
		app, _ := s.App("App", servertest.Terms{Packages: command})
		a, b := s.agent("LAB-1"), s.agent("LAB-2")
		idle, elsewhere, runs := s.added(a, app.ID), s.added(b, app.ID), s.running(a, app.ID)
		s.is(idle, session.AwaitingExpiry)
		newest := s.added(a, app.ID)
		s.is(newest, session.Added)
		s.is(runs, session.Running)
		s.is(elsewhere, session.Added)
		a.Exit(runs)
		s.say(a)
		s.is(runs, session.AwaitingExpiry)
	})
}

// TestSupersededSeat: with one seat, a newer session has it as soon as the device has given
// up the older one's, and is refused nothing meanwhile; what runs is not taken away.
func TestSupersededSeat(t *testing.T) {
	each(t, func(t *testing.T, s *stepped) {
		app, dm := s.App("App", servertest.Terms{Packages: command, Heartbeat: 60, Seats: 1, Kind: lease.Fixed, Offline: 86400})
		a := s.agent("LAB-1")
		old := s.added(a, app.ID)
		s.say(a)
		if s.Session(old).Lease == nil {
			t.Fatal("the older one has no lease")
		}
		newer := s.added(a, app.ID)
		s.is(old, session.AwaitingExpiry)
		if s.Session(old).Lease == nil || s.Session(newer).Lease != nil {
			t.Error("the seat moved before the device had stored that the lease is revoked")
		}
		s.say(a)
		if s.Session(old).Lease != nil || s.Session(newer).Lease == nil {
			t.Errorf("leases: %+v, %+v", s.Session(old).Lease, s.Session(newer).Lease)
		}
		use, err := s.Control.MethodUse(t.Context(), dm.ID, 0)
		if err != nil || len(use.Denials) != 0 || use.Taken != 1 {
			t.Errorf("use %+v, %v", use, err)
		}

		// It runs now: the next one gets no seat before it is closed, and says where.
		if err := a.Start(newer); err != nil {
			t.Fatal(err)
		}
		s.say(a)
		newest := s.added(a, app.ID)
		s.say(a)
		s.is(newer, session.Running)
		d, err := s.Control.Session(t.Context(), newest)
		if err != nil || len(d.Denials) == 0 || !strings.Contains(d.Denials[0].Message, "on this device already: close it there") {
			t.Fatalf("denials %+v, %v", d.Denials, err)
		}
		a.Exit(newer)
		s.say(a) // it is told to give the lease up
		s.say(a) // it has
		s.is(newer, session.AwaitingExpiry)
		if s.Session(newer).Lease != nil || s.Session(newest).Lease == nil {
			t.Errorf("after it was closed: %+v, %+v", s.Session(newer).Lease, s.Session(newest).Lease)
		}
	})
}

// TestCopiedFolder: a copy of an agent's state is found out and gets nothing more.
func TestCopiedFolder(t *testing.T) {
	each(t, func(t *testing.T, s *stepped) {
		app, _ := s.App("App", servertest.Terms{Packages: command, Heartbeat: 60, Seats: 5})
		a := s.agent("LAB-1")
		id := s.running(a, app.ID)
		b := a.Copy()
		for range 3 {
			s.step(time.Minute)
			for _, x := range []*simulate.Agent{b, a} {
				// A stale one is asked to come again at once.
				for out, err := x.CheckIn(t.Context()); err == nil && out.NextMillis == 0; {
					out, err = x.CheckIn(t.Context())
				}
			}
		}
		ag, err := s.Control.Agent(t.Context(), a.ID)
		if err != nil || !ag.Chain.Quarantined {
			t.Fatalf("not found out: %+v, %v", ag, err)
		}
		// Its reports free nothing: the seat ends with the lease.
		a.Exit(id)
		s.say(a)
		if s.Session(id).Lease == nil {
			t.Error("a quarantined agent's report freed a seat")
		}
		s.step(10 * time.Minute)
		if s.Session(id).Lease != nil {
			t.Error("the lease of a quarantined agent does not end")
		}
	})
}

// TestRestoredDatabase: while seats may be out that the database has forgotten, holders
// are renewed and nobody new gets one.
func TestRestoredDatabase(t *testing.T) {
	each(t, func(t *testing.T, s *stepped) {
		app, dm := s.App("App", servertest.Terms{Packages: command, Heartbeat: 60, Seats: 5})
		a, b := s.agent("LAB-1"), s.agent("LAB-2")
		id := s.running(a, app.ID)
		if err := s.Store.RestartClock(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.Control.Restored(t.Context(), 0); !errors.Is(err, lease.ErrNoReading) {
			t.Fatalf("without a reading of the restarted clock: %v", err)
		}
		s.step(lease.Period)
		s.step(lease.Period)
		if err := s.Control.Restored(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		other := s.running(b, app.ID)
		if s.Session(other).Lease != nil {
			t.Error("a new seat is given at once")
		}
		s.step(time.Minute)
		s.say(a)
		s.is(id, session.Running)
		terms := dm.Terms(10 * time.Second)
		for range int((terms.Length()+terms.Margin(terms.Length()))/time.Minute) + 1 {
			s.step(time.Minute)
			s.say(a)
		}
		s.say(b)
		s.is(other, session.Running)
		s.is(id, session.Running)
	})
}

// TestNoSeatTwice: many agents who want the one seat at the same time.
func TestNoSeatTwice(t *testing.T) {
	each(t, func(t *testing.T, s *stepped) {
		app, dm := s.App("App", servertest.Terms{Packages: command, Heartbeat: 60, Seats: 3})
		var agents []*simulate.Agent
		var ids []int64
		for range 16 {
			a := s.agent("LAB")
			id := s.added(a, app.ID)
			if err := a.Start(id); err != nil {
				t.Fatal(err)
			}
			agents, ids = append(agents, a), append(ids, id)
		}
		var wg sync.WaitGroup
		for _, a := range agents {
			wg.Go(func() {
				if _, err := a.CheckIn(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		held := 0
		for _, id := range ids {
			if s.Session(id).Lease != nil {
				held++
			}
		}
		taken, err := s.Control.SeatsTaken(t.Context(), dm.ID)
		if err != nil || held != 3 || taken != 3 {
			t.Errorf("%d hold a lease, %d seats are taken, of 3: %v", held, taken, err)
		}
	})
}

// TestPush: an order hints the agent, and the hint says nothing else.
func TestPush(t *testing.T) {
	each(t, func(t *testing.T, s *stepped) {
		app, _ := s.App("App", servertest.Terms{Packages: command})
		a := s.agent("LAB-1")
		id := s.running(a, app.ID)
		hint, stop := s.Control.Hub.WaitAgent(a.ID)
		defer stop()
		s.Act(id, session.Evict, "")
		select {
		case <-hint:
		default:
			t.Error("no hint for an order")
		}
	})
}

func ticket(t *testing.T, link string) string {
	t.Helper()
	u, err := url.Parse(link)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query().Get("ticket")
}

// An older message that arrives late, after a newer one that changed nothing, says nothing
// of now.
func TestLateAfterQuiet(t *testing.T) {
	each(t, func(t *testing.T, s *stepped) {
		app, _ := s.App("App", servertest.Terms{Packages: command, Heartbeat: 60})
		e, err := s.Control.Enrol(t.Context(), &wire.Enrol{V: 1, Key: s.EnrolmentKey(), Kind: wire.Player, Name: "LAB-1", OS: "linux", Arch: "amd64"}, "")
		if err != nil {
			t.Fatal(err)
		}
		d := &servertest.Direct{Control: s.Control, Agent: e.AgentID}
		say := func(m wire.CheckIn) *wire.Answer {
			t.Helper()
			m.V, m.Epoch, m.Complete = 1, 1, true
			a, err := d.CheckIn(t.Context(), &m)
			if err != nil {
				t.Fatal(err)
			}
			return a
		}
		l := s.Launch(app.ID)
		if _, err := s.Control.Redeem(t.Context(), e.AgentID, &wire.Redeem{V: 1, Ticket: ticket(t, l.Link)}, ""); err != nil {
			t.Fatal(err)
		}
		id := l.Session.ID
		there := wire.SessionState{Session: id, State: session.IsIdle, Method: 1}
		say(wire.CheckIn{Number: 1, Observations: []wire.Observation{{Seq: 1, Session: id, Type: session.ObsAdded, At: s.now}}, Sessions: []wire.SessionState{there}})
		s.is(id, session.Added)
		say(wire.CheckIn{Number: 3, Sessions: []wire.SessionState{there}}) // nothing new
		if a := say(wire.CheckIn{Number: 2}); len(a.Leases) > 0 {          // from before it was added
			t.Errorf("a late message is granted %v", a.Leases)
		}
		s.is(id, session.Added)
		say(wire.CheckIn{Number: 4})
		s.is(id, session.Removed)
	})
}
