//go:build linux

package e2e

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"leasehold/internal/pgtest"
)

var (
	killSeed   = flag.Uint64("kill.seed", 0, "seed of the kill loops; 0 takes one by the clock")
	killRounds = flag.Int("kill.rounds", 50, "how often player and server are killed, each, on each database")
)

// TestKill kills the player and the server again and again at random moments while people
// launch, evict and expire, and looks afterwards whether anything that was acknowledged was
// lost or doubled. Now and then one is stopped for seconds instead, so that its ticks and
// check-ins are late, and PostgreSQL's wall clock is set to and fro all the time. (SQLite's
// is the server's own, which only the whole machine's would move.)
func TestKill(t *testing.T) {
	seed := *killSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	for i, database := range []string{"SQLite", "PostgreSQL"} {
		t.Run(database, func(t *testing.T) {
			t.Parallel()
			var more []string
			if database == "PostgreSQL" {
				pg, err := pgtest.StartFaked()
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(pg.Stop)
				setClock(t, pg, rand.New(rand.NewPCG(seed, 4)))
				url, err := pg.New()
				if err != nil {
					t.Fatal(err)
				}
				more = []string{"--database-url", url}
			}
			t.Logf("run it again with -kill.seed=%d", seed)
			killLoop(t, rand.New(rand.NewPCG(seed, uint64(i))), more)
		})
	}
}

func killLoop(t *testing.T, rnd *rand.Rand, more []string) {
	s := newServer(t, more...)
	s.up()
	root := s.signIn(adminName, adminPassword)
	org := seed(root)
	d := enrol(t, root, s.url, "LAB-204")
	dir := filepath.Dir(d.dir) // names the processes of this device's apps; see appProcesses
	apps := []int64{
		org.app("Stays", 1, []int{1}, "--pid-file", filepath.Join(dir, "stays")),
		org.app("Family", 1, []int{1}, "--children", "1", "--pid-file", filepath.Join(dir, "family")),
		org.app("Exits", 1, []int{1}, "--exit-after", "1500ms", "--pid-file", filepath.Join(dir, "exits")),
		org.app("Deaf", 1, []int{1}, "--ignore-term", "--pid-file", filepath.Join(dir, "deaf")),
	}
	d.up()
	ann := s.signIn("ann", userPassword)
	// The first launch records the device as Ann's, so that the others can be pushed.
	l := ann.mustLaunch(apps[0], 0)
	d.do("launch", l.Link)
	root.awaitStatus(l.Session.ID, "running")
	var devices struct{ Devices []struct{ ID int64 } }
	root.call("GET", "/devices", nil, &devices)

	w := &driver{root: root, ann: ann, d: d, apps: apps, device: devices.Devices[0].ID, rnd: rand.New(rand.NewPCG(rnd.Uint64(), 1)), acts: map[string]*act{}}
	w.launched = append(w.launched, l.Session.ID)
	stop := make(chan struct{})
	var people, killers sync.WaitGroup
	people.Go(func() { w.drive(stop) })
	began := time.Now()
	killers.Go(func() { kill(t, &d.program, rand.New(rand.NewPCG(rnd.Uint64(), 2)), d.running) })
	killers.Go(func() { kill(t, &s.program, rand.New(rand.NewPCG(rnd.Uint64(), 3)), s.ready) })
	killers.Wait()
	close(stop)
	people.Wait()
	if t.Failed() {
		return
	}
	t.Logf("%d rounds for each, one in five a stop of seconds and the others kills, in %v: %s", *killRounds, time.Since(began).Round(time.Second), w)
	if len(w.launched) < *killRounds/4 || len(w.acts) < *killRounds/4 {
		t.Error("hardly anything was going on: this shows little")
	}
	w.check(t, d)
}

// setClock sets PostgreSQL's wall clock at random moments until the test ends.
func setClock(t *testing.T, pg *pgtest.Server, rnd *rand.Rand) {
	stop, stopped := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		defer func() { stopped <- n }()
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Duration(rnd.Int64N(int64(3 * time.Second)))):
			}
			off := []time.Duration{0, -20 * time.Second, 2 * time.Hour, -time.Hour, time.Minute}[rnd.IntN(5)]
			if err := pg.SetWall(off); err != nil {
				t.Error(err)
				return
			}
			n++
		}
	}()
	t.Cleanup(func() {
		close(stop)
		if n := <-stopped; n < *killRounds/4 {
			t.Errorf("the wall clock was set %d times only", n)
		}
	})
}

// kill kills a program so many times, each after a random time, and starts it again.
func kill(t *testing.T, p *program, rnd *rand.Rand, ready func() bool) {
	upTo := func(d time.Duration) time.Duration { return time.Duration(rnd.Int64N(int64(d))) }
	for range *killRounds {
		time.Sleep(upTo(2 * time.Second)) // the random moment
		if rnd.IntN(5) == 0 {
			// Longer than a tick's period and its slack, and than some leases.
			p.freeze(upTo(5 * time.Second))
			continue
		}
		if err := p.signal(syscall.SIGKILL); err != nil {
			t.Error(err)
			return
		}
		time.Sleep(upTo(500 * time.Millisecond))
		if err := p.start(); err != nil {
			t.Error(err)
			return
		}
		// Most moments are after it was ready, some while it starts.
		if rnd.IntN(5) > 0 && !waitFor(30*time.Second, ready) {
			t.Errorf("%s does not come back", p.name)
			return
		}
	}
}

// act is an action that was asked for, with a reason of its own by which it is known.
type act struct {
	session int64
	action  string
	known   bool // the server answered
	done    bool // with success
}

// driver is the people who go on working while everything is killed.
type driver struct {
	root, ann *api
	d         *device
	apps      []int64
	device    int64
	rnd       *rand.Rand

	launched []int64 // acknowledged
	unknown  int     // launches whose answer was lost
	refused  int
	acts     map[string]*act

	rounds, down int           // of work; how many found no server
	slowest      time.Duration // of them
	slow         string        // what it did
}

func (w *driver) String() string {
	evicted, expired, refused, unknown := 0, 0, 0, 0
	for _, a := range w.acts {
		switch {
		case !a.known:
			unknown++
		case !a.done:
			refused++
		case a.action == "evict":
			evicted++
		default:
			expired++
		}
	}
	return fmt.Sprintf("%d launches acknowledged, %d unanswered, %d refused; %d evicted, %d expired, %d refused, %d unanswered; %d rounds of work, %d of them without a server, the slowest %v to %s",
		len(w.launched), w.unknown, w.refused, evicted, expired, refused, unknown, w.rounds, w.down, w.slowest.Round(time.Millisecond), w.slow)
}

func (w *driver) drive(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-time.After(time.Duration(50+w.rnd.IntN(150)) * time.Millisecond):
		}
		began := time.Now()
		what := w.work()
		if took := time.Since(began); took > w.slowest {
			w.slowest, w.slow = took, what
		}
		w.rounds++
	}
}

// work does one thing that people do, and says what.
func (w *driver) work() string {
	var out struct{ Sessions []session }
	if w.root.try("GET", "/sessions?page_size=100", nil, &out) != nil {
		w.down++
		return "list"
	}
	var running, idle []int64
	for _, s := range out.Sessions {
		if slices.Contains(s.Actions, "evict") {
			running = append(running, s.ID)
		}
		if slices.Contains(s.Actions, "expire") {
			idle = append(idle, s.ID)
		}
	}
	pick := func(list []int64) int64 { return list[w.rnd.IntN(len(list))] }
	switch n := w.rnd.IntN(10); {
	case n < 4 && len(running) < 8:
		w.launch()
		return "launch"
	case n < 7 && len(running) > 0:
		w.act(pick(running), "evict")
		return "evict"
	case n < 9 && len(idle) > 0:
		w.act(pick(idle), "expire")
		return "expire"
	case len(idle) > 0 && len(running) < 8:
		// Started again in the player, or refused there; both may be.
		_, _ = command(w.root.t, nil, "player", "start", fmt.Sprint(pick(idle)), "--state", w.d.dir)
		return "start"
	}
	return "nothing"
}

func (w *driver) launch() {
	device := w.device
	if w.rnd.IntN(4) == 0 {
		device = 0
	}
	l, err := w.ann.launch(w.apps[w.rnd.IntN(len(w.apps))], device)
	var answered *answerError
	switch {
	case err == nil:
		w.launched = append(w.launched, l.Session.ID)
		if device == 0 {
			// It may be that server or player is killed meanwhile; then it stays launched.
			_, _ = command(w.root.t, nil, "player", "launch", l.Link, "--accept", "--state", w.d.dir)
		}
	case errors.As(err, &answered) && answered.code < 500:
		w.refused++
	default:
		w.unknown++
	}
}

func (w *driver) act(session int64, action string) {
	a := &act{session: session, action: action}
	reason := fmt.Sprintf("%s number %d", action, len(w.acts)+1)
	err := w.root.try("POST", fmt.Sprintf("/sessions/%d/%s", session, action), object{"reason": reason}, nil)
	var answered *answerError
	a.done = err == nil
	a.known = a.done || errors.As(err, &answered) && answered.code < 500
	w.acts[reason] = a
}
