package control_test

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"leasehold/internal/lease"
	"leasehold/internal/session"
	"leasehold/internal/wire"
)

// device is a player in simulated time. It keeps the rules of leases by the same
// [lease.Holder] as a real one, on a clock that goes a little wrong, and its guards end
// what they have to at the very last moment.
type device struct {
	f      *fleet
	id     int64
	name   string
	online bool
	ppm    int64         // by how much its clock is fast, in millionths
	wall   time.Duration // by how much its wall clock is wrong

	number, epoch, seq, granted uint64
	heard                       uint64 // the latest check-in that the server has dealt with
	token                       string
	journal                     []wire.Observation
	apps                        map[int64]*instance
	late                        []*wire.CheckIn // sent, and under way ever since
}

// instance is a session on a device.
type instance struct {
	lease.Holder
	what       wire.App
	newer      *wire.App
	ready      bool // the package of the newer version is there
	runMethod  int64
	authorised bool          // the current run had a lease, at least once
	seatOf     int64         // whose seat the lease is that it holds
	deadline   lease.Instant // of the guard
	closing    lease.Instant // when it is closed, of one that was told to; 0: it was not
}

const fleetForce = 10 * time.Second

func (d *device) now() lease.Instant {
	e := int64(d.f.s.elapsed)
	return e + e/1_000_000*d.ppm
}

func (d *device) note(id int64, o wire.Observation) {
	d.seq++
	o.Seq, o.Session = d.seq, id
	if o.At.IsZero() {
		o.At = d.f.s.now.Add(d.wall)
	}
	d.journal = append(d.journal, o)
}

func (i *instance) window() lease.Instant {
	return int64(time.Duration(i.what.WarningsSeconds[0]) * time.Second)
}

// tick is what guards do by themselves: a run is over when its lease is, or the time after
// its warnings, and what resists goes by force after the force margin.
func (d *device) tick() {
	for id, i := range d.apps {
		if !i.Running {
			continue
		}
		end := i.deadline
		if i.closing != 0 {
			end = min(end, i.closing)
		}
		if d.now() >= end+int64(fleetForce) {
			d.exit(id, i)
		}
	}
}

func (d *device) add(dir wire.Directive) {
	if d.apps[dir.Session] != nil || dir.App == nil {
		return
	}
	d.apps[dir.Session] = &instance{Holder: lease.Holder{Session: dir.Session, Kind: dir.App.Licence}, what: *dir.App}
	d.note(dir.Session, wire.Observation{Type: session.ObsAdded})
}

func (d *device) start(id int64, i *instance) {
	if i.Running {
		return
	}
	d.swap(id, i, false)
	run, err := i.Start()
	if err != nil {
		d.f.t.Fatal(err)
	}
	i.runMethod, i.closing, i.authorised = i.what.DeliveryMethod, 0, false
	i.deadline = d.now() + int64(30*time.Second) + i.window()
	if i.Covered(d.now()) {
		i.deadline, i.authorised = i.Lease.End, true
	}
	d.note(id, wire.Observation{Type: session.ObsStarted, Run: run, Mark: i.Mark, Method: i.runMethod})
}

func (d *device) exit(id int64, i *instance) {
	run := i.Run
	i.Exit()
	i.authorised = false
	d.note(id, wire.Observation{Type: session.ObsExited, Run: run})
}

// swap puts the newer version in place of the old one, once the server has moved the
// session.
func (d *device) swap(id int64, i *instance, moved bool) {
	if i.newer == nil || i.Running || !moved {
		return
	}
	if i.Lease != nil {
		d.note(id, wire.Observation{Type: session.ObsReturned, UpTo: i.GiveUp(d.number)})
	}
	i.what, i.newer, i.Kind = *i.newer, nil, i.newer.Licence
}

func (d *device) remove(id int64, i *instance) {
	if i.Running {
		d.exit(id, i)
	}
	d.note(id, wire.Observation{Type: session.ObsRemoved, UpTo: i.GiveUp(d.number)})
	delete(d.apps, id)
}

// restart is a kill -9: what is on disk stays, and guards go on.
func (d *device) restart() { d.number += 256 }

// loseJournal begins the next epoch with a full report.
func (d *device) loseJournal() {
	d.epoch, d.seq, d.journal = d.epoch+1, 0, nil
}

func (d *device) request() *wire.CheckIn {
	d.tick()
	d.number++
	m := &wire.CheckIn{V: wire.Version, Number: d.number, Token: d.token, Granted: d.granted, Epoch: d.epoch, Complete: true}
	m.Observations = append(m.Observations, d.journal...)
	for _, id := range slices.Sorted(maps.Keys(d.apps)) {
		i := d.apps[id]
		i.Lapse(d.now())
		st := wire.SessionState{Session: id, State: session.IsIdle, Run: i.Run, Mark: i.Mark, Stored: i.Stored, Ended: i.Ended(), Seen: i.Seen,
			Method: i.what.DeliveryMethod, Holds: i.Lease != nil && i.Lease.Generation > i.Stored && (i.Kind == lease.Fixed || i.Lease.Run == i.Run)}
		if st.Holds {
			st.LeftMillis = i.LeftMillis(d.now())
		}
		if i.Running {
			st.State, st.Guard, st.RunMethod = session.IsRunning, true, i.runMethod
		}
		if i.newer != nil {
			i.ready = i.ready || d.f.rnd.IntN(4) == 0
			st.Upgrade, st.Ready = i.newer.DeliveryMethod, i.ready
		}
		m.Sessions = append(m.Sessions, st)
	}
	return m
}

func (d *device) apply(a *wire.Answer, sent lease.Instant) {
	if a.Number != d.number {
		return
	}
	d.number = max(d.number, a.JumpTo)
	if a.NextEpoch > d.epoch {
		d.epoch, d.seq, d.journal = a.NextEpoch, 0, nil
	} else if a.Ack.Epoch == d.epoch {
		for len(d.journal) > 0 && d.journal[0].Seq <= a.Ack.Seq {
			d.journal = d.journal[1:]
		}
	}
	if a.Token != "" {
		d.token, d.granted = a.Token, a.Number
	}
	for _, l := range a.Leases {
		d.accept(l, a.Number, sent)
	}
	for _, r := range a.Refusals {
		if i := d.apps[r.Session]; i != nil && i.Running && r.Run == i.Run {
			d.close(i)
		}
	}
	for _, dir := range a.Directives {
		d.do(dir)
	}
}

func (d *device) accept(l wire.Lease, number uint64, sent lease.Instant) {
	c, err := d.f.keys.Verify(l.Token, d.id)
	if err != nil {
		d.f.t.Fatal(err)
	}
	i := d.apps[c.Session]
	if i == nil {
		return
	}
	end := sent + c.LengthSeconds*int64(time.Second)
	if i.Accept(c.Generation, c.Run, end, d.now(), number) != nil {
		return
	}
	i.seatOf = i.what.DeliveryMethod
	if i.Running {
		i.seatOf = i.runMethod
		if i.Covered(d.now()) {
			i.deadline, i.authorised = max(i.deadline, i.Lease.End), true
		}
	}
}

func (d *device) close(i *instance) {
	if i.closing == 0 {
		i.closing = d.now() + i.window()
	}
}

func (d *device) do(dir wire.Directive) {
	i := d.apps[dir.Session]
	if i == nil {
		if dir.Type == wire.DirAdd {
			d.add(dir)
		}
		return
	}
	switch dir.Type {
	case wire.DirRevoke:
		news, end := i.Revoke(dir.UpTo)
		if news {
			d.note(dir.Session, wire.Observation{Type: session.ObsRevoked, UpTo: dir.UpTo})
		}
		if end {
			d.close(i)
		}
	case wire.DirRemove:
		d.remove(dir.Session, i)
	case wire.DirOffer:
		i.ready = false
		if i.newer = dir.App; dir.App != nil {
			d.note(dir.Session, wire.Observation{Type: session.ObsUpgradeAsked, Method: dir.App.DeliveryMethod})
		}
	case wire.DirUpgrade:
		i.newer = dir.App
		d.swap(dir.Session, i, true)
	case wire.DirAdd:
	default:
		d.f.t.Fatalf("directive %s", dir.Type)
	}
}

func (d *device) String() string {
	return fmt.Sprintf("%s: %d apps, online %v, %d under way", d.name, len(d.apps), d.online, len(d.late))
}
