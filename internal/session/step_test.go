package session_test

import (
	"fmt"
	"strconv"
	"time"

	"leasehold/internal/lease"
	"leasehold/internal/session"
)

// A step is one thing that may happen next.
type step struct {
	format string
	args   []any
	do     func(*world)
}

func (s step) String() string { return fmt.Sprintf(s.format, s.args...) }

// steps lists everything that may happen next in w.
func (w *world) steps() []step {
	var out []step
	add := func(do func(*world), format string, args ...any) {
		out = append(out, step{format, args, do})
	}
	for di, d := range w.devs {
		if d == nil || w.cfg.one && d.id != 0 {
			continue
		}
		for i := range w.sessions {
			if w.devOf(i) != d.id {
				continue
			}
			w.appSteps(add, di, d, i)
		}
		switch {
		case d.gone:
		case d.dead:
			add(func(w *world) {
				d := w.devs[di]
				d.dead = false
				for i := range d.guards {
					d.see(i, w.now)
				}
			}, "the player of device %d starts again", di+1)
		default:
			if len(w.net) < maxNet && w.left.Sends > 0 {
				if !w.cfg.instant {
					add(func(w *world) { w.send(di) }, "device %d sends a check-in", di+1)
				}
				add((func(w *world) { w.exchange(di) }), "device %d checks in and gets its answer", di+1)
			}
			if w.left.Crashes > 0 {
				add(func(w *world) { w.left.Crashes--; w.crash(di) }, "the player of device %d is killed", di+1)
			}
			if w.left.Deaths > 0 {
				add(func(w *world) { w.left.Deaths--; w.crash(di); w.devs[di].gone = true }, "the player of device %d is killed for good", di+1)
			}
			if w.left.Loses > 0 {
				add(func(w *world) { w.left.Loses--; w.lose(di) }, "device %d loses its journal", di+1)
			}
			if w.left.Copies > 0 && di == 0 {
				add(func(w *world) { w.left.Copies--; w.copy() }, "device 1's state folder is copied")
			}
		}
	}
	for mi := range w.net {
		m := &w.net[mi]
		what := "check-in"
		if m.answer {
			what = "answer to check-in"
		}
		n, dev := m.number, m.dev+1
		if w.left.Lost > 0 {
			add(func(w *world) { w.left.Lost--; w.drop(mi) }, "%s %d of device %d is lost", what, n, dev)
		}
		add(func(w *world) { m := w.net[mi]; w.drop(mi); w.deliver(m, true) }, "%s %d of device %d arrives", what, n, dev)
		if !m.answer && w.left.Doubles > 0 && len(w.net) < maxNet {
			add(func(w *world) { m := w.net[mi]; w.left.Doubles--; w.deliver(m, true) }, "%s %d of device %d arrives, and will again", what, n, dev)
		}
		if !m.answer && w.left.Uncommitted > 0 && w.cfg.without.Has(lease.CommitFirst) {
			add(func(w *world) { m := w.net[mi]; w.left.Uncommitted--; w.drop(mi); w.deliver(m, false) }, "%s %d of device %d is answered, and the server killed before it commits", what, n, dev)
		}
	}
	for i, s := range w.sessions {
		if w.cfg.one && i != 0 {
			continue
		}
		for _, a := range s.Actions() {
			left := &w.left.Evicts
			if a == session.Expire {
				left = &w.left.Expires
			}
			if *left > 0 {
				add(func(w *world) {
					if a == session.Expire {
						w.left.Expires--
					} else {
						w.left.Evicts--
					}
					if err := w.sessions[i].Act(a, session.Actor{Role: session.Admin}, "", w.serverNow(), (wait+window+margin)*time.Second); err != nil {
						panic("an action that is offered is refused: " + err.Error())
					}
				}, "an admin orders: %s session %d", a, i+1)
			}
		}
	}
	if w.left.Shortens > 0 {
		add(func(w *world) { w.left.Shortens-- }, "an admin shortens the heartbeat")
	}
	if w.left.Lengthens > 0 {
		add(func(w *world) { w.left.Lengthens--; w.length = 20 }, "an admin lengthens the offline duration")
	}
	if w.left.Jumps > 0 {
		for _, by := range []int64{-30, 30} {
			add(func(w *world) { w.left.Jumps--; w.ahead += by }, "the server's wall clock jumps by %d s", by)
		}
	}
	if w.left.Backups > 0 && w.left.Restores > 0 {
		add(func(w *world) { w.left.Backups--; w.keep() }, "a backup is taken")
	}
	if w.left.Restores > 0 {
		add(func(w *world) { w.left.Restores--; w.restore() }, "the database is restored from its backup")
	}
	if w.now < 100+w.cfg.maxNow {
		add(func(w *world) { w.pass(); w.tick() }, "a second passes")
		if w.left.Stalls > 0 {
			add(func(w *world) { w.left.Stalls--; w.pass(); w.sweep() }, "a second passes, and the tick is late")
		}
	}
	if w.left.Outages > 0 && w.now+outage <= 100+w.cfg.maxNow {
		add(func(w *world) {
			w.left.Outages--
			w.down()
		}, "the server is down for %d seconds", outage)
	}
	return out
}

func (w *world) devOf(i int) int { return w.cfg.devOf[i] }

func (w *world) appSteps(add func(func(*world), string, ...any), di int, d *device, i int) {
	g, h := &d.guards[i], &d.holder[i]
	on := ""
	if di == 2 {
		on = " on the copy"
	}
	if g.alive {
		add(func(w *world) { w.devs[di].guards[i].end(); w.devs[di].see(i, w.now) }, "the app of session %d exits%s", i+1, on)
	}
	if g.alive && w.left.Kills > 0 {
		add(func(w *world) { w.left.Kills--; w.kill(di, i) }, "the guard of session %d's app is killed%s", i+1, on)
	}
	if d.dead {
		return
	}
	if d.forgot[i] {
		add(func(w *world) { w.devs[di].find(i, w.now) }, "the player looks for the guard of session %d%s", i+1, on)
	}
	if h.Running || d.forgot[i] || g.alive || g.exited || !d.present[i] {
		return
	}
	if w.left.Starts > 0 && h.Run < 2 {
		add(func(w *world) { w.left.Starts--; w.start(di, i) }, "the user starts session %d%s", i+1, on)
	}
	if w.left.Returns > 0 && h.Lease != nil && w.cfg.kind == lease.Fixed {
		add(func(w *world) {
			w.left.Returns--
			d := w.devs[di]
			d.note(i, session.Observation{Type: session.ObsReturned, UpTo: d.holder[i].GiveUp(d.number), At: at(w.now)})
		}, "the user returns session %d's lease%s", i+1, on)
	}
	if w.left.Removes > 0 {
		add(func(w *world) {
			w.left.Removes--
			d := w.devs[di]
			d.present[i] = false
			d.note(i, session.Observation{Type: session.ObsRemoved, UpTo: d.holder[i].GiveUp(d.number), At: at(w.now)})
		}, "the user removes session %d%s", i+1, on)
	}
}

func (g *guard) end() { g.alive, g.exited = false, true }

// kill kills the guard of an app, which lives on. It may hold its seat until its lease ends.
func (w *world) kill(di, i int) {
	d := w.devs[di]
	g := d.guards[i]
	if l := d.holder[i].Lease; l != nil {
		g.deadline = max(g.deadline, l.End)
	}
	d.orphans[i] = g
	d.guards[i] = guard{exited: true, killed: true, deadline: g.deadline}
	d.see(i, w.now)
}

// see journals the end of a run, if the player lives and knows of the run.
func (d *device) see(i int, now int64) {
	if g := &d.guards[i]; g.exited && !d.dead && !d.forgot[i] {
		if g.killed {
			d.holder[i].ExitUnproved(g.deadline + margin)
		} else {
			d.holder[i].Exit()
		}
		g.exited, g.killed = false, false
		d.note(i, session.Observation{Type: session.ObsExited, Run: d.holder[i].Run, At: at(now)})
	}
}

// find is a player that lost its journal looking for the guards of its runs.
func (d *device) find(i int, now int64) {
	d.forgot[i] = false
	d.holder[i].Running = true
	d.see(i, now)
}

func (d *device) note(i int, o session.Observation) {
	switch o.Type {
	case session.ObsExited, session.ObsReturned, session.ObsRemoved:
		o.Unproved = d.holder[i].Unproved != 0
	}
	d.journal, d.whose = append(d.journal, o), append(d.whose, i)
}

func (w *world) start(di, i int) {
	d := w.devs[di]
	h := &d.holder[i]
	run, err := h.Start()
	if err != nil {
		panic(err)
	}
	d.note(i, session.Observation{Type: session.ObsStarted, Run: run, Mark: h.Mark, At: at(w.now)})
	g := guard{alive: true, run: run, mark: h.Mark, deadline: w.now + wait + window}
	if h.Covered(w.now) {
		g.authorised, g.deadline = true, h.Lease.End
	}
	d.guards[i] = g
}

func (w *world) crash(di int) {
	d := w.devs[di]
	d.dead, d.out = true, 0
	for i := len(w.net) - 1; i >= 0; i-- {
		if w.net[i].answer && w.net[i].dev == di {
			w.drop(i) // nobody is there to read it
		}
	}
}

// lose takes the journal away, and with it what the player knew of runs under way.
func (w *world) lose(di int) {
	w.crash(di)
	d := w.devs[di]
	d.dead = false
	d.first += uint64(len(d.journal))
	d.journal, d.whose = nil, nil
	w.applied[d.id] = d.first - 1 // the next epoch
	for i := range d.holder {
		if d.guards[i].alive || d.guards[i].exited {
			d.forgot[i], d.holder[i].Running = true, false
		}
	}
}

// copy copies device 1's state folder to another machine, where none of its runs is.
func (w *world) copy() {
	c := w.devs[0].clone()
	c.out, c.dead = 0, false
	for i := range c.guards {
		c.guards[i], c.orphans[i] = guard{exited: c.holder[i].Running}, guard{}
		c.see(i, w.now)
	}
	w.devs[2] = c
}

func (w *world) drop(mi int) { w.net = append(append([]message(nil), w.net[:mi]...), w.net[mi+1:]...) }

// outage is how long the server is away at a time.
const outage = 8

// down lets time pass while no server counts it. What comes up has no reading of the clock
// before its second tick.
func (w *world) down() {
	w.up = w.now + outage
	for range outage {
		w.pass()
	}
	w.ticked, w.blind = w.now, true
}

// pass lets a second pass on the devices.
func (w *world) pass() {
	w.now++
	for _, d := range w.devs {
		if d == nil {
			continue
		}
		for i := range d.guards {
			g := &d.guards[i]
			if g.alive && w.now >= g.deadline && w.cfg.regular && g.authorised && !g.closing && !d.dead && w.now-w.up >= 2 {
				g.cut = true
			}
			if g.alive && w.now >= g.deadline+margin {
				g.end()
				d.see(i, w.now)
			}
			if o := &d.orphans[i]; o.alive && w.now >= o.deadline+margin {
				*o = guard{}
			}
			d.holder[i].Lapse(w.now)
		}
	}
}

// tick moves the lease clock on, and lets time act.
func (w *world) tick() {
	w.mark = w.mark.Add(min(time.Duration(w.now-w.ticked)*time.Second, lease.MaxStep))
	w.ticked, w.blind = w.now, false
	w.sweep()
	for di, d := range w.devs {
		if w.cfg.regular && d != nil && !d.dead && d.guards[0].alive {
			w.left.Sends++
			w.exchange(di)
		}
	}
}

func (w *world) sweep() {
	for _, s := range w.sessions {
		s.Tick(w.serverNow(), session.Contact{}, w.cfg.without)
		s.TakeTransitions()
	}
}

func (w *world) restore() {
	b := w.backup
	w.sessions = [2]*session.Session{cloneSession(b.sessions[0]), cloneSession(b.sessions[1])}
	w.chains, w.applied = b.chains, b.applied
	// The row goes back; a new nonce, and new connections, let nobody read it by readings
	// from before.
	w.mark, w.ticked, w.length = b.mark, w.now, b.length
	if !w.cfg.without.Has(lease.HoldAfterRestore) {
		w.restored = w.mark
	}
	for i := range w.devs[:2] {
		// The agent is asked for its next epoch; here its journal simply goes on from there.
		w.applied[i] = w.devs[i].first - 1
	}
	for di, d := range w.devs[:2] {
		if w.cfg.report && !d.dead {
			w.left.Sends++
			w.exchange(di)
		}
	}
}

// send puts a check-in on its way: what the agent knows at this moment.
func (w *world) send(di int) {
	d := w.devs[di]
	w.left.Sends--
	d.number++
	d.out, d.sentAt = d.number, w.now
	m := message{dev: di, number: d.number, sentAt: w.now, token: d.token, granted: d.granted, first: d.first,
		obs: append([]session.Observation(nil), d.journal...), whose: append([]int(nil), d.whose...)}
	for i := range w.sessions {
		if w.devOf(i) != d.id {
			continue
		}
		h := &d.holder[i]
		s := session.Snapshot{State: session.IsIdle, Run: h.Run, Mark: h.Mark, Stored: h.Stored, Ended: h.Ended(), Seen: h.Seen,
			Guard: d.guards[i].alive && !d.guards[i].exited || h.Unproved != 0,
			Holds: h.Lease != nil && (h.Kind == lease.Fixed || h.Covered(w.now)), Left: -1}
		if s.Holds && !w.cfg.before {
			s.Left = time.Duration(h.Lease.End-w.now) * time.Second
		}
		switch {
		case h.Running:
			s.State = session.IsRunning
		case d.forgot[i]:
			s.Ended = min(s.Ended, h.Mark) // nothing is known to have ended
		case !d.present[i]:
			s.State = session.IsAbsent
		}
		m.snaps, m.ids = append(m.snaps, s), append(m.ids, i)
	}
	w.net = append(append([]message(nil), w.net...), m)
}

// exchange is a check-in whose request and answer arrive at once.
func (w *world) exchange(di int) {
	w.send(di)
	m := w.net[len(w.net)-1]
	w.drop(len(w.net) - 1)
	w.receive(w.serve(m))
}

func (w *world) deliver(m message, commit bool) {
	if m.answer {
		w.receive(m)
		return
	}
	before := w
	if !commit {
		before = w.clone()
	}
	a := w.serve(m)
	if !commit {
		w.sessions, w.chains, w.applied = before.sessions, before.chains, before.applied
	}
	if !w.devs[m.dev].dead {
		w.net = append(append([]message(nil), w.net...), a)
	}
}

// serve is the server's side of a check-in, in the order in which control does it.
func (w *world) serve(m message) message {
	dev := w.devs[m.dev].id
	c := &w.chains[dev]
	verdict := c.Present(m.number, m.token, m.granted, w.cfg.without)
	if now := w.serverNow(); verdict == lease.Restored && now.Signs && !w.cfg.without.Has(lease.HoldAfterRestore) {
		w.restored = now.Latest
	}
	src := session.Source{Agent: session.Actor{Role: session.Agent}, Quarantined: verdict == lease.Copied, Without: w.cfg.without}
	a := message{answer: true, dev: m.dev, number: m.number, revokes: map[int]uint64{}, refused: map[int]bool{}}
	for j, o := range m.obs {
		if seq := m.first + uint64(j); seq == w.applied[dev]+1 {
			w.sessions[m.whose[j]].Observe(o, src)
			w.applied[dev] = seq
		}
	}
	a.ack = w.applied[dev]
	now := w.serverNow()
	for k, snap := range m.snaps {
		i := m.ids[k]
		s := w.sessions[i]
		if verdict == lease.Stale {
			continue
		}
		s.Reconcile(snap, now, src)
		if verdict == lease.Copied {
			continue
		}
		terms := w.terms()
		if w.restored != 0 && snap.Holds && !w.cfg.without.Has(lease.HoldReported) {
			w.longest = max(w.longest, snap.Left)
		}
		longest := max(terms.Length(), w.longest)
		hold := w.restored != 0 && now.Earliest < w.restored.Add(longest+terms.Margin(longest))
		g, refusal := s.Ask(snap, session.Asking{Now: now, Terms: terms, Without: w.cfg.without, Hold: hold,
			Entitled: func() *session.Refusal { return nil },
			Seat: func() (bool, *session.Refusal) {
				if other := w.sessions[1-i]; other.Lease != nil && !other.Lease.Over(now, w.cfg.without) {
					return false, &session.Refusal{Code: session.RefusedNoSeat}
				}
				return true, nil
			}})
		if g != nil {
			a.leases, a.length = append(a.leases, g), int64(terms.Length()/time.Second)
		}
		if refusal != nil {
			a.refused[i] = true
		}
		if s.Wanted > snap.Stored {
			a.revokes[i] = s.Wanted
		}
		if s.Status == session.Removed && snap.State != session.IsAbsent {
			a.removals = append(a.removals, i)
		}
	}
	if len(a.leases) > 0 {
		a.newToken = strconv.Itoa(m.dev) + "." + strconv.FormatUint(m.number, 10)
		if w.devs[2] != nil && dev == 0 {
			if w.turns[0] != m.dev+1 {
				w.turns[0], w.turns[1] = m.dev+1, w.turns[1]+1
			}
		}
	}
	if verdict != lease.Stale {
		c.Commit(m.number, m.token, a.newToken)
	}
	for _, s := range w.sessions {
		s.TakeTransitions()
	}
	return a
}

// receive is the agent's side of an answer, in the order in which the agent does it.
func (w *world) receive(m message) {
	d := w.devs[m.dev]
	late := d.out != m.number
	if d.dead || late && !w.cfg.without.Has(lease.IgnoreRevoked) {
		return // only the answer to the last check-in counts
	}
	if !late {
		d.out = 0
	}
	for d.first <= m.ack && len(d.journal) > 0 {
		d.first++
		d.journal, d.whose = d.journal[1:], d.whose[1:]
	}
	if m.newToken != "" && !late {
		d.token, d.granted = m.newToken, m.number
	}
	for i, upTo := range m.revokes {
		news, end := d.holder[i].Revoke(upTo)
		if news {
			d.note(i, session.Observation{Type: session.ObsRevoked, UpTo: upTo, At: at(w.now)})
		}
		if g := &d.guards[i]; end && g.alive {
			g.closing, g.deadline = true, min(g.deadline, w.now+window)
		}
	}
	for i := range m.refused {
		if g := &d.guards[i]; g.alive && d.holder[i].Lease == nil {
			g.closing, g.deadline = true, min(g.deadline, w.now+window)
		}
	}
	for _, i := range m.removals {
		if !d.holder[i].Running {
			d.present[i] = false
		}
	}
	for _, l := range m.leases {
		i := int(l.Session - 1)
		h, g := &d.holder[i], &d.guards[i]
		from := d.sentAt
		if w.cfg.without.Has(lease.CountFromSending) {
			from = w.now
		}
		end := from + m.length
		if h.Accept(l.Generation, l.Run, end, w.now, m.number) != nil {
			continue
		}
		if g.alive && (!g.closing || w.cfg.without.Has(lease.RunAfterRevocation)) && h.Covered(w.now) {
			g.authorised, g.deadline = true, h.Lease.End
		}
	}
}

// wrong says what must never be and is, or "".
func (w *world) wrong() string {
	holders := 0
	for i, s := range w.sessions {
		for _, d := range w.devs {
			if d == nil || d.id != w.devOf(i) || w.devs[2] != nil {
				continue
			}
			g, h := &d.guards[i], &d.holder[i]
			if g.cut {
				return fmt.Sprintf("session %d: its app was closed though its device checked in every second", i+1)
			}
			running := g.alive && g.authorised
			orphan := d.orphans[i].alive && d.orphans[i].authorised
			// A fixed lease that has not ended lets the app start at any time.
			may := h.Kind == lease.Fixed && h.Lease != nil && w.now < h.Lease.End && (h.Lease.Generation > h.Stored || h.Without.Has(lease.IgnoreRevoked)) && d.present[i]
			if running || orphan || may {
				holders++
			}
			if o := s.Order; o != nil && !o.Open() {
				if running && g.mark < o.UpTo {
					return fmt.Sprintf("session %d: the order is closed (%s) while its app still runs", i+1, o.ClosedBy)
				}
				if orphan && d.orphans[i].mark < o.UpTo {
					return fmt.Sprintf("session %d: the order is closed (%s) while an app of it may be left", i+1, o.ClosedBy)
				}
				if may && h.Lease.Generation <= o.UpTo {
					return fmt.Sprintf("session %d: the order is closed (%s) while its app can still run", i+1, o.ClosedBy)
				}
			}
		}
		// With nobody answering ever again, time alone must bring every row to rest.
		rest := cloneSession(s)
		never := w.serverNow()
		never.Earliest = never.Earliest.Add(1000 * time.Second)
		rest.Tick(never, session.Contact{}, w.cfg.without)
		if rest.Status.Active() || rest.Order.Open() {
			return fmt.Sprintf("session %d: its row says %s for ever if its device is gone", i+1, rest.Status)
		}
	}
	if holders > 1 {
		return "the one seat is held twice"
	}
	for i, c := range w.chains {
		if c.Quarantined && w.devs[2] == nil {
			return fmt.Sprintf("device %d is taken for a copy and is none", i+1)
		}
	}
	if w.turns[1] > 3 {
		return "a device and its copy get leases side by side"
	}
	return ""
}
