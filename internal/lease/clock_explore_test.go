package lease

import (
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"
)

var exploreStates = flag.Int("clockstates", 100_000, "how many states of the lease clock each world is searched for")

// The explorer of the lease clock: two nodes that may pause anywhere, start late and crash,
// attempts whose outcome is lost and which commit late, transactions between any of it, a
// restore to an old row, and up to two players that get leases through either node. It
// runs Readings as it ships.
//
// Every time is kept relative to now, and every lease time relative to the row's mark, so
// that histories are unbounded; only ages are bounded (maxAge). A unit is half a Period.
const unit = Period / 2

type clockWorld struct {
	name    string
	nodes   int // 1 or 2
	maxAge  int // of a reading, in units: how long a node may pause
	players int
	restore bool
	crash   bool
	without Rule
	length  int  // of a lease, in units
	instant bool // a player's check-in is one step
}

// clockState is one state. It is comparable, so that states can be kept in a map.
type clockState struct {
	Nonce   Nonce
	Written int8  // units since the row was last written, at most maxAge
	Least   int16 // the least L(t) − t of any reading so far, relative to mark and now; noReading: none
	N       [2]clockNode
	P       [2]clockPlayer
	Holder  int8 // of the one seat: a player's number, 0 nobody
	Free    int16
	Backup  int8 // 0 none, 1 taken, 2 restored
	BNonce  Nonce
	next    Nonce
}

const noReading = 1 << 14

type clockNode struct {
	Up bool
	R  Readings // with now = 0, so that a reading is minus its age

	Tick     int8 // 0 none under way, 1 sent, 2 compared apart (a mutant), 3 answered and the answer under way
	X        Boot
	Add      int8
	Was, New Nonce
	Shown    Nonce // what the answer shows

	Late         bool // an attempt whose outcome was given up, and which may still commit
	LAdd         int8
	LWas, LNonce Nonce

	Tx       int8 // 0 none, 1 begun, 2 looked, 3 has read the time
	Player   int8
	Row      Row   // as the look showed it; Mark relative to the present mark
	Earliest int16 // relative to the present mark
	Latest   int16
}

type clockPlayer struct {
	Stage int8 // 0 none, 1 its request is on its way, 2 in a transaction, 3 its answer is on its way
	Age   int8 // since the request was sent
	Left  int8 // of the lease that it holds
}

type clockStep struct {
	s    clockState
	what string
	bad  string
}

func units(d time.Duration) int16 { return int16(d / unit) }

// write commits a tick's write.
func (w *clockWorld) write(s *clockState, add int8, n Nonce) (bad string) {
	if add > s.Written {
		bad = fmt.Sprintf("the mark advances by %d, but only %d have passed since the last write", add, s.Written)
	}
	s.Written, s.Nonce = 0, n
	if s.Least != noReading {
		if s.Least -= int16(add); s.Least < 0 {
			bad = "the earliest reading has overtaken a latest one"
		}
	}
	s.Free = max(s.Free-int16(add), -100)
	for i := range s.N {
		d := &s.N[i]
		if d.Tx >= 2 {
			d.Row.Mark = d.Row.Mark.Add(-time.Duration(add) * unit)
			d.Earliest, d.Latest = d.Earliest-int16(add), d.Latest-int16(add)
		}
	}
	return bad
}

func (w *clockWorld) steps(s clockState) (out []clockStep) {
	emit := func(s clockState, bad, format string, args ...any) {
		out = append(out, clockStep{s, fmt.Sprintf(format, args...), bad})
	}
	if t, ok := w.pass(s); ok {
		emit(t, "", "time passes")
	}
	for i := range w.nodes {
		w.nodeSteps(s, i, emit)
	}
	for p := range w.players {
		if w.instant {
			break
		}
		w.playerSteps(s, p, emit)
	}
	if w.restore && s.Backup == 0 {
		t := s
		t.Backup, t.BNonce = 1, s.Nonce
		emit(t, "", "a backup is taken")
	}
	if w.restore && s.Backup == 1 {
		t := s
		t.Backup, t.Nonce, t.Written, t.Least = 2, s.BNonce, 0, noReading
		if !w.without.Has(FreshConnection) {
			// Whoever restores writes a new nonce, and every connection is new.
			t.next++
			t.Nonce = t.next
		}
		for i := range t.N {
			d := &t.N[i]
			*d = clockNode{Up: d.Up, R: d.R}
			if !w.without.Has(FreshConnection) {
				d.R = Readings{}
			}
		}
		emit(t, "", "the database is restored from the backup")
	}
	return out
}

// pass lets a unit of time pass, unless a reading would grow too old.
func (w *clockWorld) pass(s clockState) (clockState, bool) {
	limit := -Boot(w.maxAge) * unit
	ok := true
	age := func(b *Boot) {
		if *b -= unit; *b < limit {
			ok = false
		}
	}
	s.Written = min(s.Written+1, int8(w.maxAge))
	if s.Least != noReading {
		if s.Least++; s.Least > int16(2*w.maxAge) {
			s.Least = noReading // it binds nobody any more
		}
	}
	for i := range s.N {
		d := &s.N[i]
		if d.R.nonce != 0 {
			age(&d.R.seen)
			age(&d.R.look)
			if d.R.known {
				age(&d.R.older)
			}
		}
		if d.Tick > 0 {
			age(&d.X)
		}
	}
	for i := range s.P {
		p := &s.P[i]
		p.Left = max(0, p.Left-1)
		if p.Stage > 0 {
			p.Age = min(p.Age+1, int8(w.length))
		}
	}
	return s, ok
}

type emitter func(s clockState, bad, format string, args ...any)

func (w *clockWorld) nodeSteps(s clockState, i int, emit emitter) {
	was := &s.N[i]
	name := string(rune('A' + i))
	if was.Late {
		t := s
		d := &t.N[i]
		d.Late, d.LAdd, d.LWas, d.LNonce = false, 0, 0, 0
		if was.LWas == s.Nonce || w.without.Has(CompareNonce) {
			emit(t, w.write(&t, was.LAdd, was.LNonce), "%s's lost attempt commits late", name)
		} else {
			emit(t, "", "%s's lost attempt fails", name)
		}
	}
	if !was.Up {
		t := s
		t.N[i].Up = true
		emit(t, "", "%s starts", name)
		return
	}
	if w.crash {
		t := s
		if p := was.Player; p > 0 {
			t.P[p-1] = clockPlayer{Left: t.P[p-1].Left}
		}
		t.N[i] = clockNode{Late: was.Late, LAdd: was.LAdd, LWas: was.LWas, LNonce: was.LNonce}
		emit(t, "", "%s crashes", name)
	}
	switch was.Tick {
	case 0:
		t := s
		d := &t.N[i]
		d.Tick, d.X = 1, 0
		add, cmp := d.R.Step(0, MaxStep)
		if add > 0 {
			t.next++
			d.Add, d.Was, d.New = int8(add/unit), cmp, t.next
		}
		emit(t, "", "%s sends its tick: +%d", name, d.Add)
	case 1:
		t := s
		d := &t.N[i]
		match := d.Add > 0 && (d.Was == s.Nonce || w.without.Has(CompareNonce))
		if match && w.without.Has(OneStatement) {
			d.Tick = 2
			emit(t, "", "%s's tick finds the nonce that it last saw", name)
			break
		}
		w.commitTick(t, i, match, name, emit)
	case 2:
		w.commitTick(s, i, true, name, emit)
	case 3:
		t := s
		d := &t.N[i]
		if d.Shown == d.New && d.New != 0 {
			d.R.Wrote(d.New, d.X, 0)
		} else {
			d.R.Looked(d.Shown, d.X, 0)
		}
		d.Tick, d.X, d.Add, d.Was, d.New, d.Shown = 0, 0, 0, 0, 0, 0
		emit(t, "", "%s has the answer to its tick", name)
	}
	if was.Tick > 0 && !was.Late && w.crash {
		// It gives up: the outcome is unknown, the connection is closed, its readings go.
		t := s
		d := &t.N[i]
		if was.Tick == 1 && was.Add > 0 {
			d.Late, d.LAdd, d.LWas, d.LNonce = true, was.Add, was.Was, was.New
		}
		d.R = Readings{}
		d.Tick, d.X, d.Add, d.Was, d.New, d.Shown = 0, 0, 0, 0, 0, 0
		emit(t, "", "%s gives its tick up", name)
	}
	w.txSteps(s, i, name, emit)
}

func (w *clockWorld) commitTick(t clockState, i int, match bool, name string, emit emitter) {
	d := &t.N[i]
	bad := ""
	if match {
		bad = w.write(&t, d.Add, d.New)
	}
	d.Tick, d.Shown = 3, t.Nonce
	emit(t, bad, "%s's tick is done: wrote %v", name, match)
}

func (w *clockWorld) txSteps(s clockState, i int, name string, emit emitter) {
	was := &s.N[i]
	end := func(d *clockNode) {
		d.Tx, d.Player, d.Row, d.Earliest, d.Latest = 0, 0, Row{}, 0, 0
	}
	if w.instant {
		w.instantly(s, i, name, emit)
		return
	}
	switch was.Tx {
	case 0:
		for k := range max(1, w.players) {
			t := s
			d := &t.N[i]
			if w.players > 0 {
				if s.P[k].Stage != 1 {
					continue
				}
				t.P[k].Stage, d.Player = 2, int8(k+1)
			}
			d.Tx = 1
			emit(t, "", "%s begins a transaction for player %d", name, d.Player)
		}
	case 1:
		t := s
		d := &t.N[i]
		d.Tx, d.Row = 2, Row{Nonce: s.Nonce}
		emit(t, "", "%s's transaction looks at the row", name)
	case 2:
		t := s
		d := &t.N[i]
		_, latest, ok := d.R.At(d.Row, 0, w.without)
		if !ok {
			if d.Player > 0 {
				t.P[d.Player-1].Stage, t.P[d.Player-1].Age = 0, 0
			}
			end(d)
			emit(t, "", "%s cannot read the latest time and grants nothing", name)
			break
		}
		bad := ""
		d.Earliest, d.Latest = units(d.Row.Mark.Sub(0)), units(latest.Sub(0))
		if d.Latest < int16(s.Written) {
			bad = "a latest reading is earlier than the mark and what has passed since"
		}
		t.Least = min(t.Least, d.Latest)
		d.Tx = 3
		d.Row = Row{}
		e, l := d.Earliest, d.Latest
		if w.players == 0 {
			end(d)
		}
		emit(t, bad, "%s reads the time: E = mark%+d, L = mark%+d", name, e, l)
	case 3:
		w.grant(s, i, name, emit, end)
	}
}

// instantly has each player check in and get its answer in one step.
func (w *clockWorld) instantly(s clockState, i int, name string, emit emitter) {
	for k := range w.players {
		_, latest, ok := s.N[i].R.At(Row{Nonce: s.Nonce}, 0, w.without)
		if !ok {
			continue
		}
		t := s
		d := &t.N[i]
		d.Player, d.Earliest, d.Latest = int8(k+1), 0, units(latest.Sub(0))
		w.grant(t, i, name, func(t clockState, _, format string, args ...any) {
			bad := ""
			if t.P[k].Stage == 3 {
				t.P[k] = clockPlayer{Left: int8(w.length)}
				if t.P[1-k].Left > 0 {
					bad = "two live leases for one seat"
				}
			}
			emit(t, bad, format, args...)
		}, func(d *clockNode) { d.Player, d.Earliest, d.Latest = 0, 0, 0 })
	}
}

// grant decides on a player's lease, as TakeSeat and NewGrant do, without any margin.
func (w *clockWorld) grant(s clockState, i int, name string, emit emitter, end func(*clockNode)) {
	t := s
	d := &t.N[i]
	p := d.Player
	free, sign := d.Earliest, d.Latest
	if w.without.Has(FreeByEarliest) {
		free = d.Latest
	}
	if w.without.Has(SignByLatest) {
		sign = d.Earliest
	}
	end(d)
	if t.Holder != 0 && t.Holder != p && free < t.Free {
		t.P[p-1].Stage, t.P[p-1].Age = 0, 0
		emit(t, "", "%s refuses player %d", name, p)
		return
	}
	until := sign + int16(w.length)
	if t.Holder == p {
		until = max(until, t.Free)
	}
	t.Holder, t.Free, t.P[p-1].Stage = p, until, 3
	emit(t, "", "%s grants player %d a lease", name, p)
}

func (w *clockWorld) playerSteps(s clockState, k int, emit emitter) {
	p := s.P[k]
	if p.Stage == 0 {
		t := s
		t.P[k].Stage = 1
		emit(t, "", "player %d sends a check-in", k+1)
	}
	if p.Stage == 1 || p.Stage == 3 {
		t := s
		t.P[k].Stage, t.P[k].Age = 0, 0
		emit(t, "", "a message of player %d is lost", k+1)
	}
	if p.Stage == 3 {
		t := s
		t.P[k].Left = max(p.Left, int8(w.length)-p.Age)
		t.P[k].Stage, t.P[k].Age = 0, 0
		bad := ""
		if t.P[0].Left > 0 && t.P[1].Left > 0 {
			bad = "two live leases for one seat"
		}
		emit(t, bad, "player %d has its lease", k+1)
	}
}

// canonical numbers nonces by their order in the state, so that states which differ only
// in their names are one.
func (s clockState) canonical() clockState {
	names := map[Nonce]Nonce{0: 0}
	name := func(n *Nonce) {
		if _, ok := names[*n]; !ok {
			names[*n] = Nonce(len(names))
		}
		*n = names[*n]
	}
	name(&s.Nonce)
	name(&s.BNonce)
	for i := range s.N {
		d := &s.N[i]
		for _, n := range []*Nonce{&d.R.nonce, &d.Was, &d.New, &d.Shown, &d.LWas, &d.LNonce, &d.Row.Nonce} {
			name(n)
		}
	}
	s.next = Nonce(len(names))
	return s
}

// search looks breadth first, so that the first trace found is a shortest one.
func (w *clockWorld) search(limit int) (states int, all bool, bad string, trace []string) {
	type from struct {
		parent clockState
		what   string
	}
	begin := clockState{Nonce: 1, Least: noReading, next: 1}.canonical()
	seen := map[clockState]from{begin: {}}
	queue := []clockState{begin}
	for len(queue) > 0 {
		s := queue[0]
		queue = queue[1:]
		if states++; states > limit {
			return states, false, "", nil
		}
		for _, st := range w.steps(s) {
			c := st.s.canonical()
			_, known := seen[c]
			if !known {
				seen[c] = from{s, st.what}
				queue = append(queue, c)
			}
			if st.bad != "" {
				trace = []string{st.what}
				for x := s; x != begin; x = seen[x].parent {
					trace = append([]string{seen[x].what}, trace...)
				}
				return states, false, st.bad, trace
			}
		}
	}
	return states, true, "", nil
}

// TestExploreClock searches the lease clock's worlds for a mark that runs ahead of time, a
// latest reading that is too early, an earliest one that overtakes it, and two live leases
// for one seat.
func TestExploreClock(t *testing.T) {
	for _, w := range []clockWorld{
		{name: "two nodes", nodes: 2, maxAge: 2},
		{name: "two nodes that crash and lose outcomes", nodes: 2, maxAge: 2, crash: true},
		{name: "long pauses", nodes: 2, maxAge: 4},
		{name: "restore", nodes: 2, maxAge: 2, restore: true},
		{name: "one node, two players", nodes: 1, maxAge: 2, players: 2, length: 2},
		{name: "two players that check in at once", nodes: 2, maxAge: 3, players: 2, length: 2, instant: true},
		{name: "two players", nodes: 2, maxAge: 2, players: 2, length: 2},
	} {
		t.Run(w.name, func(t *testing.T) {
			n, all, bad, trace := w.search(*exploreStates)
			if bad != "" {
				t.Fatalf("%s:\n  %s", bad, strings.Join(trace, "\n  "))
			}
			t.Logf("%d states (all: %v)", n, all)
		})
	}
}

// TestEveryRuleIsNeededClock takes each rule out and expects the search to find what
// it prevents.
func TestEveryRuleIsNeededClock(t *testing.T) {
	for _, w := range []clockWorld{
		{name: "CompareNonce", without: CompareNonce, nodes: 2, maxAge: 2},
		{name: "OneStatement", without: OneStatement, nodes: 2, maxAge: 2},
		{name: "ExactNonce", without: ExactNonce, nodes: 2, maxAge: 3},
		{name: "FreshConnection", without: FreshConnection, nodes: 2, maxAge: 3, restore: true},
		{name: "SignByLatest", without: SignByLatest, nodes: 1, maxAge: 2, players: 2, length: 2, instant: true},
		{name: "FreeByEarliest", without: FreeByEarliest, nodes: 2, maxAge: 3, players: 2, length: 2, instant: true},
	} {
		t.Run(w.name, func(t *testing.T) {
			n, all, bad, trace := w.search(3_000_000)
			if bad == "" {
				t.Fatalf("without it nothing goes wrong in %d states (all: %v): is the rule needed?", n, all)
			}
			t.Logf("%s, after %d states:\n  %s", bad, n, strings.Join(trace, "\n  "))
		})
	}
}
