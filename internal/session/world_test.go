package session_test

import (
	"encoding/binary"
	"time"

	"leasehold/internal/lease"
	"leasehold/internal/session"
)

// A world is one state of a small system: one seat, two sessions, one or two devices, the
// messages under way, the server. It runs the real rules; what it adds is the order in
// which the server and an agent call them, as control and agent do. A tick is a second.
type world struct {
	cfg *config
	now int64

	// The server.
	ahead    int64      // how far its wall clock is ahead of the truth: it must change nothing
	mark     lease.Time // the lease clock's row …
	ticked   int64      // … and when it was last written
	up       int64      // since when the server is up
	blind    bool       // the server has no reading of the clock: it started a moment ago
	length   int64      // of the leases that an admin has set; 0: as they began
	sessions [2]*session.Session
	chains   [2]lease.Chain
	applied  [2]uint64
	restored lease.Time    // when it was told that the database was restored, 0 never
	longest  time.Duration // the longest lease that agents have reported since
	backup   *backup       // what a restore goes back to
	turns    [2]int        // since the first device was copied: who got a lease last, and how often that changed

	devs [3]*device // the third is a copy of the first
	net  []message

	left budget
}

type backup struct {
	mark     lease.Time
	length   int64
	sessions [2]*session.Session
	chains   [2]lease.Chain
	applied  [2]uint64
}

// budget bounds how often the rarer things happen.
type budget struct {
	Starts, Sends, Lost, Crashes, Loses, Doubles, Evicts, Expires, Returns, Removes, Jumps, Stalls, Outages, Backups, Restores, Copies, Uncommitted, Deaths, Shortens, Lengthens, Kills int
}

type config struct {
	name    string
	kind    lease.Kind
	devOf   [2]int // which device each session is on
	budget  budget
	without lease.Rule
	maxNow  int64
	long    bool // a heartbeat of three ticks instead of one
	one     bool // only the first device does anything
	instant bool // every message arrives at once
	before  bool // agents of the version before, which do not say what is left of a lease
	report  bool // after a restore every device checks in at once
	regular bool // a device whose app runs checks in every second that the server is up
}

// terms of the delivery method. Where an admin may still shorten them, they are longer.
func (w *world) terms() lease.Terms {
	heartbeat := time.Second
	if w.left.Shortens > 0 || w.cfg.long {
		heartbeat = 3 * time.Second
	}
	return lease.Terms{Kind: w.cfg.kind, Heartbeat: heartbeat, Window: time.Second, Offline: time.Duration(max(4, w.length)) * time.Second, ForceMargin: time.Second}
}

const (
	window = 1
	margin = 1
	wait   = 1 // the authorisation wait
	maxNet = 2
)

type device struct {
	id      int
	dead    bool // the player is not running
	gone    bool // … and never will again
	number  uint64
	token   string
	granted uint64
	out     uint64 // the check-in whose answer is awaited
	sentAt  int64
	holder  [2]lease.Holder
	present [2]bool
	guards  [2]guard
	orphans [2]guard // apps whose guards were killed: nobody sees them any more, and nobody ends them
	forgot  [2]bool  // the journal was lost and the guard is not found yet
	journal []session.Observation
	whose   []int  // the session of each journal entry
	first   uint64 // sequence of the first entry in the journal
}

// A guard is the process that an app runs under. It goes on without the player.
type guard struct {
	alive      bool
	authorised bool // it was given a lease's end, not only the authorisation wait
	closing    bool
	exited     bool // the player has not seen its end yet
	killed     bool // … which is that of the guard alone: the app may be left
	run        uint32
	mark       uint64
	deadline   int64
	cut        bool // it closed its app at the lease's end, though its player was in touch
}

type message struct {
	answer bool
	dev    int // of devs
	number uint64
	// request
	sentAt  int64
	token   string
	granted uint64
	first   uint64
	obs     []session.Observation
	whose   []int
	snaps   []session.Snapshot
	ids     []int
	// answer
	ack      uint64
	leases   []*lease.Grant
	length   int64 // of each
	revokes  map[int]uint64
	refused  map[int]bool
	removals []int
	newToken string
}

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func at(tick int64) time.Time { return epoch.Add(time.Duration(tick) * time.Second) }

// clock is a moment when lease time is read exactly, for tests that step it by the wall.
func clock(t time.Time) lease.Now {
	return lease.Now{Wall: t, Earliest: leaseAt(t), Latest: leaseAt(t), Signs: true}
}

func leaseAt(t time.Time) lease.Time { return lease.Time(1).Add(t.Sub(epoch)) }

// serverNow is a look at the clocks by the one server. Its mark stands still while the tick
// is late and while the server is down; lease time is behind the truth after that.
func (w *world) serverNow() lease.Now {
	n := lease.Now{Wall: at(w.now + w.ahead), Earliest: w.mark}
	if !w.blind {
		n.Latest, n.Signs = w.mark.Add(time.Duration(w.now-w.ticked)*time.Second), true
	}
	return n
}

func newWorld(c *config) *world {
	w := &world{cfg: c, left: c.budget, now: 100, ticked: 100, mark: lease.Time(0).Add(100 * time.Second)}
	for i := range w.devs[:2] {
		w.devs[i] = &device{id: i, first: 1}
	}
	for i := range w.sessions {
		s := session.Launch(session.Device, int64(i+1), 1, 1, 1, session.Actor{Role: session.User}, w.serverNow())
		s.ID, s.AgentID = int64(i+1), int64(c.devOf[i]+1)
		d := w.devs[c.devOf[i]]
		d.holder[i] = lease.Holder{Session: s.ID, Kind: c.kind, Without: c.without}
		d.present[i] = true
		s.Observe(session.Observation{Type: session.ObsAdded, At: at(w.now)}, session.Source{})
		s.TakeTransitions()
		w.sessions[i] = s
	}
	w.keep()
	return w
}

// keep makes the backup that a restore would go back to.
func (w *world) keep() {
	if w.left.Restores > 0 {
		w.backup = &backup{mark: w.mark, length: w.length, sessions: [2]*session.Session{cloneSession(w.sessions[0]), cloneSession(w.sessions[1])}, chains: w.chains, applied: w.applied}
	}
}

func cloneSession(s *session.Session) *session.Session {
	c := *s
	if s.Lease != nil {
		l := *s.Lease
		c.Lease = &l
	}
	if s.Order != nil {
		o := *s.Order
		c.Order = &o
	}
	c.TakeTransitions()
	return &c
}

func (d *device) clone() *device {
	if d == nil {
		return nil
	}
	c := *d
	for i := range c.holder {
		if l := c.holder[i].Lease; l != nil {
			x := *l
			c.holder[i].Lease = &x
		}
	}
	c.journal = append([]session.Observation(nil), d.journal...)
	c.whose = append([]int(nil), d.whose...)
	return &c
}

func (w *world) clone() *world {
	c := *w
	for i := range c.sessions {
		c.sessions[i] = cloneSession(w.sessions[i])
	}
	for i := range c.devs {
		c.devs[i] = w.devs[i].clone()
	}
	c.net = append([]message(nil), w.net...) // messages are never changed
	return &c
}

// key is the state with all times relative to now, so that states which differ only in
// the date are one.
func (w *world) key() string {
	b := make([]byte, 0, 512)
	n := func(vs ...int64) {
		for _, v := range vs {
			b = binary.AppendVarint(b, v)
		}
	}
	f := func(vs ...bool) {
		for _, v := range vs {
			if v {
				b = append(b, 1)
			} else {
				b = append(b, 0)
			}
		}
	}
	str := func(s string) { n(int64(len(s))); b = append(b, s...) }
	lt := func(x lease.Time) { n(int64(x.Sub(w.mark) / time.Millisecond)) }
	n(w.ahead, w.ticked-w.now, w.length)
	if w.cfg.regular {
		n(w.now - w.up)
	}
	f(w.blind)
	if w.restored != 0 {
		lt(w.restored)
		n(int64(w.longest))
	}
	if b := w.backup; b != nil && w.left.Restores > 0 {
		lt(b.mark)
		n(b.length)
		for i, s := range b.sessions {
			n(int64(s.Run), int64(s.Wanted), int64(s.Stored), int64(b.chains[i].Last))
			if s.Lease != nil {
				lt(s.Lease.FreeAt)
			}
		}
	}
	for i, s := range w.sessions {
		str(string(s.Status) + string(s.Observed))
		n(int64(s.Run), int64(s.Mark), int64(s.Wanted), int64(s.Stored), int64(s.Ended))
		if l := s.Lease; l != nil {
			n(int64(l.Generation), int64(l.Run))
			lt(l.GrantedAt)
			lt(l.ExpiresAt)
			lt(l.FreeAt)
		}
		if o := s.Order; o != nil {
			n(int64(o.UpTo))
			f(o.Open())
			if o.Open() {
				lt(o.ETA)
			}
		}
		c := w.chains[i]
		n(int64(c.Last), int64(w.applied[i]), int64(w.turns[0]), int64(w.turns[1]))
		str(c.Token + "/" + c.Previous)
		f(c.Quarantined)
	}
	for _, d := range w.devs {
		if d == nil {
			continue
		}
		f(d.dead, d.gone)
		n(int64(d.number), int64(d.granted), int64(d.out), d.sentAt-w.now, int64(d.first), int64(len(d.journal)))
		str(d.token)
		for i := range d.holder {
			h, g := &d.holder[i], &d.guards[i]
			n(int64(h.Run), int64(h.Mark), int64(h.Stored), int64(h.Seen), int64(h.Fence))
			f(h.Running, d.present[i], d.forgot[i], h.Lease != nil, g.alive, g.authorised, g.closing, g.exited, g.cut, g.killed)
			if l := h.Lease; l != nil {
				n(int64(l.Generation), int64(l.Run), l.End-w.now)
			}
			if g.alive {
				n(int64(g.run), int64(g.mark), g.deadline-w.now)
			}
			if o := &d.orphans[i]; o.alive {
				f(o.authorised)
				n(int64(o.mark), o.deadline-w.now)
			}
			if h.Unproved != 0 {
				n(h.Unproved-w.now, int64(h.UnprovedMark))
			}
		}
		for j, o := range d.journal {
			str(string(o.Type))
			n(int64(d.whose[j]), int64(o.Run), int64(o.Mark), int64(o.UpTo))
			f(o.Unproved)
		}
	}
	for _, m := range w.net {
		f(m.answer)
		n(int64(m.dev), int64(m.number), m.sentAt-w.now, int64(m.ack), int64(len(m.obs)), int64(len(m.leases)), int64(len(m.revokes)), int64(len(m.refused)))
		str(m.token + "/" + m.newToken)
		for _, s := range m.snaps {
			str(string(s.State))
			n(int64(s.Run), int64(s.Mark), int64(s.Stored), int64(s.Ended), int64(s.Seen))
			f(s.Guard, s.Holds)
			n(int64(s.Left))
		}
		for _, l := range m.leases {
			n(l.Session, int64(l.Generation), int64(l.Run))
		}
		for i := range 2 {
			n(int64(m.revokes[i]))
		}
	}
	l := w.left
	n(int64(l.Starts), int64(l.Sends), int64(l.Lost), int64(l.Shortens), int64(l.Crashes), int64(l.Loses), int64(l.Doubles), int64(l.Evicts), int64(l.Expires), int64(l.Returns), int64(l.Removes),
		int64(l.Jumps), int64(l.Stalls), int64(l.Outages), int64(l.Backups), int64(l.Lengthens), int64(l.Restores), int64(l.Copies), int64(l.Uncommitted), int64(l.Deaths), int64(l.Kills))
	return string(b)
}
