package control_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"leasehold/internal/catalog"
	"leasehold/internal/control"
	"leasehold/internal/directory"
	"leasehold/internal/lease"
	"leasehold/internal/servertest"
	"leasehold/internal/session"
	"leasehold/internal/store"
	"leasehold/internal/wire"
)

// fleet is random devices, users and administrators in simulated time, and what must hold
// of them whatever happens.
type fleet struct {
	t       *testing.T
	s       *stepped
	rnd     *rand.Rand
	keys    lease.Keys
	apps    []int64
	seats   map[int64]int // by delivery method
	devices []*device
	trace   []string
	events  map[session.Event]int
	codes   map[session.RefusalCode]int
}

// TestFleet runs random fleets on both databases and looks after every step: no seat is
// given twice, no order stays open, nothing runs without the server knowing that it may,
// and at the end every row says what is so, and then goes.
// LEASEHOLD_FLEET_SEEDS runs more of them.
func TestFleet(t *testing.T) {
	seeds := 0
	if v := os.Getenv("LEASEHOLD_FLEET_SEEDS"); v != "" {
		seeds, _ = strconv.Atoi(v)
	}
	each(t, func(t *testing.T, s *stepped) {
		n := map[string]int{"sqlite": 30, "postgres": 12}[s.db]
		if seeds > 0 {
			n = seeds
		}
		events, codes := map[session.Event]int{}, map[session.RefusalCode]int{}
		for seed := range n {
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				f := newFleet(t, s.fresh(t), uint64(seed))
				f.run(200)
				for e, n := range f.events {
					events[e] += n
				}
				for c, n := range f.codes {
					codes[c] += n
				}
			})
		}
		// The fleets met everything that they are there for.
		for _, a := range session.Table {
			if a.Kind == session.Device && a.To != session.Unchanged && events[a.Event] == 0 {
				t.Errorf("in none of %d fleets: %s", n, a.Event)
			}
		}
		for _, c := range []session.RefusalCode{session.RefusedNoSeat, session.RefusedEntitled, session.RefusedEnded} {
			if codes[c] == 0 {
				t.Errorf("in none of %d fleets a lease was refused: %s", n, c)
			}
		}
		t.Log(events, codes)
	})
}

func newFleet(t *testing.T, s *stepped, seed uint64) *fleet {
	f := &fleet{t: t, s: s, rnd: rand.New(rand.NewPCG(seed, 1)), seats: map[int64]int{}, events: map[session.Event]int{}, codes: map[session.RefusalCode]int{}}
	if err := json.Unmarshal(s.Control.JWKS(), &f.keys); err != nil {
		t.Fatal(err)
	}
	for i, terms := range []servertest.Terms{
		{Seats: 2, Heartbeat: 60, Warnings: []int{120, 60}, Packages: command},
		{Seats: 2, Heartbeat: 60, Warnings: []int{120, 60}, Packages: command, Kind: lease.Fixed, Offline: 2 * 86400},
	} {
		app, dm := s.App(fmt.Sprintf("App %d", i), terms)
		f.apps, f.seats[dm.ID] = append(f.apps, app.ID), terms.Seats
		next := *dm
		next.ID, next.Name, next.Licence.Seats = 0, dm.Name+", newer", 1
		if err := s.Control.CreateDeliveryMethod(t.Context(), s.Admin, &next); err != nil {
			t.Fatal(err)
		}
		f.seats[next.ID] = 1
	}
	for i := range 4 {
		key := s.EnrolmentKey()
		e, err := s.Control.Enrol(t.Context(), &wire.Enrol{V: 1, Key: key, Kind: wire.Player, Name: fmt.Sprintf("LAB-%d", i), OS: "linux", Arch: "amd64"}, "")
		if err != nil {
			t.Fatal(err)
		}
		f.devices = append(f.devices, &device{f: f, id: e.AgentID, name: fmt.Sprintf("LAB-%d", i), online: true, epoch: 1, ppm: f.rnd.Int64N(801) - 400, apps: map[int64]*instance{}})
	}
	return f
}

func (f *fleet) say(format string, args ...any) {
	f.trace = append(f.trace, fmt.Sprintf("%s ", f.s.now.Format("2 15:04:05"))+fmt.Sprintf(format, args...))
}

func (f *fleet) fatal(format string, args ...any) {
	f.t.Helper()
	for _, l := range f.trace[max(0, len(f.trace)-60):] {
		f.t.Log(l)
	}
	f.t.Fatalf(format, args...)
}

func (f *fleet) must(err error) {
	f.t.Helper()
	if err != nil {
		f.fatal("%v", err)
	}
}

func (f *fleet) run(steps int) {
	for range steps {
		f.step()
		f.look()
	}
	f.converge()
	f.count()
	f.goAway()
}

// pick chooses one of a map's keys, in an order that depends on the seed alone.
func pick[K int64, V any](rnd *rand.Rand, m map[K]V) (K, bool) {
	if len(m) == 0 {
		return 0, false
	}
	keys := slices.Sorted(maps.Keys(m))
	return keys[rnd.IntN(len(keys))], true
}

func (f *fleet) step() {
	d := f.devices[f.rnd.IntN(len(f.devices))]
	d.tick()
	id, has := pick(f.rnd, d.apps)
	i := d.apps[id]
	switch f.rnd.IntN(60) {
	case 0:
		// A wall clock of the servers that is set, by minutes or by days, ends nothing.
		by := []time.Duration{-24 * time.Hour, -20 * time.Second, 5 * time.Minute, 2 * time.Hour}[f.rnd.IntN(4)]
		f.say("the server's wall clock is set by %v", by)
		f.s.set(by)
	case 1:
		f.down([]time.Duration{20 * time.Second, 3 * time.Minute, 20 * time.Minute}[f.rnd.IntN(3)])
	case 2:
		// The lease clock is late: nothing is free before its time for that.
		f.say("a minute passes without a tick")
		f.s.silently(time.Minute)
	}
	switch n := f.rnd.IntN(100); {
	case n < 22:
		passes := []time.Duration{time.Second, 20 * time.Second, time.Minute, time.Minute, 2 * time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute}
		if f.rnd.IntN(12) == 0 {
			passes = []time.Duration{3 * time.Hour, 26 * time.Hour, 50 * time.Hour}
		}
		f.pass(passes[f.rnd.IntN(len(passes))])
	case n < 51:
		f.checkIn(d, f.rnd.IntN(7))
	case n < 54:
		f.deliver(d)
	case n < 63:
		f.launch(d)
	case n < 77:
		if has {
			if i.newer != nil && !i.Running && f.rnd.IntN(2) == 0 {
				f.checkIn(d, 4) // the session moves, and the old version starts all the same
			}
			f.say("%s: start %d", d.name, id)
			d.start(id, i)
			if f.rnd.IntN(2) == 0 {
				f.checkIn(d, 0)
			}
		}
	case n < 82:
		if has && i.Running {
			f.say("%s: exit %d", d.name, id)
			d.exit(id, i)
		}
	case n < 83:
		if has {
			f.say("%s: remove %d", d.name, id)
			d.remove(id, i)
		}
	case n < 85:
		if has && !i.Running && i.Lease != nil {
			f.say("%s: return %d", d.name, id)
			d.note(id, wire.Observation{Type: session.ObsReturned, UpTo: i.GiveUp(d.number)})
		}
	case n < 88:
		// Offline it is for a while; most of the time it is not.
		d.online = !d.online || f.rnd.IntN(2) == 0
		f.say("%s: online %v", d.name, d.online)
	case n < 89:
		f.say("%s: restart", d.name)
		d.restart()
	case n < 90:
		f.say("%s: journal lost", d.name)
		d.loseJournal()
	case n < 91:
		d.wall = time.Duration(f.rnd.Int64N(int64(4*24*time.Hour))) - 2*24*time.Hour
		f.say("%s: wall clock jumps to %v", d.name, d.wall)
	default:
		f.administer()
	}
}

// down lets time pass while no server is up: its lease clock stands still, and a node that
// starts has no reading of it before its second tick.
func (f *fleet) down(by time.Duration) {
	f.say("the server is down for %v", by)
	for ; by > 0; by -= 30 * time.Second {
		f.s.silently(min(by, 30*time.Second))
		for _, d := range f.devices {
			d.tick()
		}
	}
	f.must(f.s.Store.RestartClock(f.t.Context()))
	f.s.step(lease.Period)
	f.s.step(lease.Period)
}

// pass lets time pass: guards work by themselves, the server does its own work.
func (f *fleet) pass(by time.Duration) {
	f.say("%v pass", by)
	// In steps that end before and after the moments that matter.
	for by > 0 {
		step := min(by, 90*time.Second)
		if by > time.Hour {
			step = min(by, 30*time.Minute)
		}
		f.s.step(step)
		by -= step
		for _, d := range f.devices {
			d.tick()
		}
	}
	f.must(f.s.Control.Check(f.t.Context()))
	f.must(f.s.Control.RunBatches(f.t.Context()))
	f.must(f.s.Control.HousekeepDaily(f.t.Context()))
}

// checkIn sends a check-in, whose fate is one of seven: it is late, its answer is lost, or
// all is well.
func (f *fleet) checkIn(d *device, fate int) {
	if !d.online {
		return
	}
	sent := d.now()
	m := d.request()
	f.say("%s: check-in %d, fate %d", d.name, m.Number, fate)
	if fate == 3 {
		d.late = append(d.late, m) // under way; the device gives it up
		return
	}
	a, err := (&servertest.Direct{Control: f.s.Control, Agent: d.id}).CheckIn(f.t.Context(), m)
	f.must(err)
	d.heard = m.Number
	if a.Quarantined {
		f.fatal("%s is quarantined", d.name)
	}
	if fate != 4 { // the answer is lost
		d.apply(a, sent)
	}
}

// deliver lets a message arrive long after it was given up.
func (f *fleet) deliver(d *device) {
	if len(d.late) == 0 {
		return
	}
	n := f.rnd.IntN(len(d.late))
	m := d.late[n]
	d.late = slices.Delete(d.late, n, n+1)
	f.say("%s: check-in %d arrives late", d.name, m.Number)
	before := f.known()
	_, err := (&servertest.Direct{Control: f.s.Control, Agent: d.id}).CheckIn(f.t.Context(), m)
	f.must(err)
	// A later one told all of it, and what became of it since.
	if after := f.known(); m.Number < d.heard && !maps.Equal(before, after) {
		f.fatal("%s: check-in %d came after %d and changed what is known:\n%v\n%v", d.name, m.Number, d.heard, before, after)
	}
	d.heard = max(d.heard, m.Number)
}

// known is what the server takes for true of each session.
func (f *fleet) known() map[int64]string {
	out := map[int64]string{}
	for _, s := range f.sessions(true) {
		out[s.ID] = fmt.Sprintf("%s, %s since %v, run %d of %d, lease %+v, order %+v", s.Status, s.Observed, s.ObservedSince, s.Run, s.RunMethod, s.Lease, s.Order)
	}
	return out
}

func (f *fleet) launch(d *device) {
	l, err := f.s.Control.Launch(f.t.Context(), f.s.User, f.apps[f.rnd.IntN(len(f.apps))], 0)
	var refused *session.Refusal
	if errors.As(err, &refused) {
		return
	}
	f.must(err)
	f.say("launch %d", l.Session.ID)
	if !d.online || f.rnd.IntN(6) == 0 {
		return
	}
	r, err := f.s.Control.Redeem(f.t.Context(), d.id, &wire.Redeem{V: 1, Ticket: ticket(f.t, l.Link)}, "")
	f.must(err)
	f.say("%s: add %d", d.name, r.Directive.Session)
	d.add(r.Directive)
}

// administer is a random act of an administrator.
func (f *fleet) administer() {
	ctx, c, who := f.t.Context(), f.s.Control, f.s.Admin
	sessions := f.sessions(false)
	switch n := f.rnd.IntN(14); {
	case n < 4 && len(sessions) > 0:
		s := sessions[f.rnd.IntN(len(sessions))]
		if as := s.Actions(); len(as) > 0 && (as[0] == session.Evict || f.rnd.IntN(3) == 0) {
			f.say("%s %d", as[0], s.ID)
			_, err := c.Act(ctx, who, s.ID, as[0], "")
			f.must(err)
		}
	case n == 4 && f.rnd.IntN(3) == 0:
		action := []session.Action{session.Evict, session.Expire}[f.rnd.IntN(2)]
		f.say("%s everything", action)
		b, err := c.Preview(ctx, who, control.BatchRequest{Action: action, Filter: &store.SessionQuery{}})
		f.must(err)
		b, err = c.RunBatch(ctx, who, b.ID, "")
		f.must(err)
		if b.Applied+b.Skipped != b.Total {
			f.fatal("batch %+v", b.Batch)
		}
	case n == 5 && f.rnd.IntN(2) == 0:
		f.say("revoke access")
		_, err := c.RevokeAccess(ctx, who, f.s.User.UserID, f.apps[f.rnd.IntN(len(f.apps))], "", false)
		f.must(err)
	case n < 10:
		on, now := f.rnd.IntN(4) > 0, f.rnd.IntN(2) == 0
		p := f.rnd.Int64N(int64(len(f.apps))) + 1
		f.say("provision %d: %v, at once %v", p, on, now)
		_, err := c.UpdateProvision(ctx, who, p, control.Ending{Now: now}, func(p *directory.Provision) error {
			p.Enabled, p.Exceptions, p.UserIDs = on, nil, []int64{f.s.User.UserID}
			return nil
		})
		f.must(err)
		f.must(c.Check(ctx))
	case n < 13:
		// The newer version is offered, or no longer.
		app := f.rnd.IntN(len(f.apps))
		old, next := int64(2*app+1), int64(2*app+2)
		offered := f.rnd.IntN(3) > 0
		f.say("the newer version of app %d: %v", app, offered)
		_, err := c.UpdateDeliveryMethod(ctx, who, old, func(m *catalog.DeliveryMethod) error {
			m.SuccessorID = 0
			if offered {
				m.SuccessorID = next
			}
			return nil
		})
		f.must(err)
		_, err = c.UpdateProvision(ctx, who, int64(app+1), control.Ending{}, func(p *directory.Provision) error {
			p.DeliveryMethodIDs = []int64{old, next}
			return nil
		})
		f.must(err)
	default:
		_, err := c.Housekeep(ctx, who, f.rnd.IntN(2) == 0)
		f.must(err)
	}
}

func (f *fleet) sessions(history bool) []store.SessionRow {
	f.t.Helper()
	var out []store.SessionRow
	for q := (store.SessionQuery{History: history, PageSize: 500}); ; {
		l, err := f.s.Control.ListSessions(f.t.Context(), q)
		f.must(err)
		out = append(out, l.Rows...)
		if q.PageToken = l.Next; l.Next == "" {
			return out
		}
	}
}

// look checks what must hold after every step.
func (f *fleet) look() {
	f.t.Helper()
	for _, d := range f.devices {
		d.tick()
	}
	f.s.Control.Beat(f.t.Context())
	held := map[int64][]int64{}
	where := map[int64]*instance{}
	for _, d := range f.devices {
		for id, i := range d.apps {
			where[id] = i
			switch {
			case i.Running && i.authorised:
				held[i.runMethod] = append(held[i.runMethod], id)
			case !i.Running && i.Kind == lease.Fixed && i.Lease != nil && i.Lease.End > d.now() && i.Lease.Generation > i.Stored:
				held[i.seatOf] = append(held[i.seatOf], id)
			}
		}
	}
	for m, ids := range held {
		if len(ids) > f.seats[m] {
			f.fatal("%d seats of delivery method %d are held, by %v; there are %d", len(ids), m, ids, f.seats[m])
		}
	}
	for _, s := range f.sessions(true) {
		i := where[s.ID]
		if o := s.Order; o.Open() && o.ETA < f.s.leaseNow().Earliest {
			f.fatal("the order of session %d is open after its ETA: %+v", s.ID, o)
		} else if o != nil && !o.Open() && i != nil && i.Running && i.authorised && i.Mark < o.UpTo {
			f.fatal("the order of session %d is closed and the app runs on: %+v, %+v", s.ID, o, i.Holder)
		}
		if s.Lease == nil && i != nil && i.Running && i.authorised {
			f.fatal("session %d has no lease out and its app runs under one: %s, %+v", s.ID, s.Status, i.Holder)
		}
		if i != nil && i.Running && i.authorised && s.Lease != nil && s.Lease.Run == i.Run && s.Lease.DeliveryMethod != i.runMethod {
			f.fatal("session %d runs delivery method %d under a lease and a seat of %d", s.ID, i.runMethod, s.Lease.DeliveryMethod)
		}
		if s.Lease == nil && (s.Status == session.Running || s.Status == session.RenewalRequested) {
			f.fatal("session %d is %s without a lease", s.ID, s.Status)
		}
	}
}

// converge lets every device speak for a while: then every row says what is so.
func (f *fleet) converge() {
	for _, d := range f.devices {
		d.online, d.late = true, nil
	}
	calm := 0
	for n := range 18 {
		if n == 15 {
			calm = f.turns()
		}
		f.pass(61 * time.Second)
		for _, d := range f.devices {
			f.checkIn(d, 0)
			f.checkIn(d, 0)
			f.look()
		}
	}
	// Where nothing happens nothing is written, whatever the devices repeat.
	if now := f.turns(); now != calm {
		f.fatal("%d transitions were written while nothing happened", now-calm)
	}
	where := map[int64]*instance{}
	for _, d := range f.devices {
		maps.Copy(where, d.apps)
	}
	for _, s := range f.sessions(true) {
		want := session.IsAbsent
		i := where[s.ID]
		if i != nil {
			want = session.IsIdle
			if i.Running {
				want = session.IsRunning
			}
		}
		if s.Observed != want {
			f.fatal("session %d is observed %s and is %s (%s)", s.ID, s.Observed, want, s.Status)
		}
		running := s.Status == session.Running || s.Status == session.UpgradeRequested && s.Observed == session.IsRunning
		if really := i != nil && i.Running; running != really {
			f.fatal("session %d is %s (%s) and running is %v, authorised %v", s.ID, s.Status, s.Reason, really, i != nil && i.authorised)
		}
		if s.Order.Open() {
			f.fatal("session %d: an order is still open: %+v", s.ID, s.Order)
		}
		if i != nil && (s.Status == session.Removed || !s.DeletedAt.IsZero()) {
			f.fatal("session %d is %s, deleted %v, and still on its device", s.ID, s.Status, s.DeletedAt)
		}
	}
}

// turns is how many transitions there are, but for renewals: fixed leases write theirs.
func (f *fleet) turns() (n int) {
	for _, s := range f.sessions(true) {
		d, err := f.s.Control.Session(f.t.Context(), s.ID)
		f.must(err)
		for _, tr := range d.Transitions {
			if tr.Event != session.EvRenewalAsked && tr.Event != session.EvRenewalGranted {
				n++
			}
		}
	}
	return n
}

// count notes what has happened, before it is forgotten.
func (f *fleet) count() {
	for _, s := range f.sessions(true) {
		d, err := f.s.Control.Session(f.t.Context(), s.ID)
		f.must(err)
		for _, tr := range d.Transitions {
			f.events[tr.Event]++
		}
		for _, x := range d.Denials {
			f.codes[x.Code]++
		}
	}
}

// goAway lets every device vanish for good: no row stays for ever.
func (f *fleet) goAway() {
	for _, d := range f.devices {
		d.online = false
	}
	_, err := f.s.Control.UpdateSettings(f.t.Context(), f.s.Admin, func(c *control.Settings) error { c.HistoryDays = 3; return nil })
	f.must(err)
	for range 42 {
		f.s.step(24 * time.Hour)
		f.must(f.s.Control.HousekeepDaily(f.t.Context()))
	}
	if left := f.sessions(true); len(left) > 0 {
		f.fatal("%d rows are left, the first %d: %s since %v, deleted %v", len(left), left[0].ID, left[0].Status, left[0].StatusSince, left[0].DeletedAt)
	}
}
