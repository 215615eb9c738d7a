//go:build linux

package host_test

import (
	"context"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"leasehold/internal/servertest"
	"leasehold/internal/session"
	"leasehold/internal/store"
	"leasehold/internal/wslink"
)

// network is what lies between a host and its server. While it is dropped, nothing passes
// and nobody is told; while it is cut, connections break off and none is made.
type network struct {
	url string
	to  string
	l   net.Listener

	mu    sync.Mutex
	flows chan struct{} // closed while bytes pass
	cut   bool
	conns map[net.Conn]bool
	wg    sync.WaitGroup

	refused atomic.Int64 // connections, while it is cut
}

// through has a server's hosts reach it through a network, tunnels included.
func through(t *testing.T, s *servertest.Server) *network {
	t.Helper()
	to, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &network{url: "http://" + l.Addr().String(), to: to.Host, l: l, flows: make(chan struct{}), conns: map[net.Conn]bool{}}
	close(n.flows)
	s.Control.NodeURL = n.url
	n.wg.Go(n.accept)
	t.Cleanup(func() {
		l.Close()
		n.breakOff()
		n.mend()
		n.wg.Wait()
	})
	return n
}

func (n *network) accept() {
	for {
		c, err := n.l.Accept()
		if err != nil {
			return
		}
		n.mu.Lock()
		cut := n.cut
		n.mu.Unlock()
		if cut {
			n.refused.Add(1)
			c.Close()
			continue
		}
		n.wg.Go(func() { n.carry(c) })
	}
}

func (n *network) carry(c net.Conn) {
	defer c.Close()
	d, err := net.Dial("tcp", n.to)
	if err != nil {
		return
	}
	defer d.Close()
	n.mu.Lock()
	n.conns[c], n.conns[d] = true, true
	n.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { n.copy(d, c) })
	both.Go(func() { n.copy(c, d) })
	both.Wait()
	n.mu.Lock()
	delete(n.conns, c)
	delete(n.conns, d)
	n.mu.Unlock()
}

func (n *network) copy(to, from net.Conn) {
	buf := make([]byte, 32<<10)
	for {
		k, err := from.Read(buf)
		n.mu.Lock()
		flows := n.flows
		n.mu.Unlock()
		<-flows
		if k > 0 {
			if _, werr := to.Write(buf[:k]); werr != nil {
				err = werr
			}
		}
		if err != nil {
			to.Close()
			from.Close()
			return
		}
	}
}

// drop lets nothing pass from now on.
func (n *network) drop() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.flows = make(chan struct{})
}

// breakOff ends all connections, and lets nobody connect.
func (n *network) breakOff() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut = true
	for c := range n.conns {
		c.Close()
	}
}

// mend lets everything pass again.
func (n *network) mend() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut = false
	select {
	case <-n.flows:
	default:
		close(n.flows)
	}
}

// viewer is a browser that watches a session.
type viewer struct {
	*websocket.Conn
	t *testing.T
}

// watch looks at a session until there is a picture: its display has said what it is.
func watch(t *testing.T, s *servertest.Server, id int64) *viewer {
	t.Helper()
	for ctx := t.Context(); ; {
		c, err := s.Watch(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		_, hello, err := c.Read(ctx)
		if err == nil {
			if string(hello) != "RFB 003.008\n" {
				t.Fatalf("the display says %q", hello)
			}
			t.Cleanup(func() { c.CloseNow() })
			return &viewer{c, t}
		}
		// As its page does: it comes again.
		if code, reason, ok := wslink.Closed(err); !ok || code != wslink.Unreachable {
			t.Fatalf("the browser is told %d %q: %v", code, reason, err)
		}
	}
}

// told waits until the viewer's connection is closed, and returns how.
func (v *viewer) told(within time.Duration) (code int, reason string) {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.t.Context(), within)
	defer cancel()
	var err error
	for err == nil {
		_, _, err = v.Read(ctx)
	}
	if ctx.Err() != nil {
		v.t.Fatalf("within %v the browser is told nothing", within)
	}
	code, reason, _ = wslink.Closed(err)
	return code, reason
}

// streamed is a session that is connected, on a host behind a network.
func streamed(t *testing.T, heartbeat int) (s *servertest.Server, m *machine, n *network, app, id int64, pids func() []int) {
	t.Helper()
	s, app, pids = organisation(t, heartbeat)
	n = through(t, s)
	m = enrolAt(t, s, n.url)
	m.start()
	id = launch(t, s, app)
	is(t, s, id, session.Connected)
	m.displays()
	return s, m, n, app, id, pids
}

// The network of a host breaks off for some seconds: who watches loses the picture, and comes
// back to the same app.
func TestCutForSeconds(t *testing.T) {
	t.Parallel()
	s, m, n, _, id, pids := streamed(t, 20)
	v := watch(t, s, id)
	servertest.Eventually(t, long, "somebody watches", func() bool { return s.Session(id).Viewers == 1 })
	before := pids()
	n.breakOff()
	if code, reason := v.told(10 * time.Second); code != wslink.Unreachable || reason != "the connection to the host is lost" {
		t.Errorf("told %d %q", code, reason)
	}
	// The host tries in vain, which takes it seconds: it waits longer after each.
	servertest.Eventually(t, long, "the host tries in vain", func() bool { return n.refused.Load() >= 5 })
	if st := s.Session(id).Status; st != session.Connected && st != session.Unknown {
		t.Errorf("cut for seconds, it is %s", st)
	}
	n.mend()
	v = watch(t, s, id)
	st := is(t, s, id, session.Connected)
	if now := pids(); st.Run != 1 || len(now) != 1 || now[0] != before[0] || !alive(now[0]) {
		t.Errorf("run %d, processes %v, before %v", st.Run, now, before)
	}
	s.Act(id, session.Kill, "")
	v.told(long)
	m.nothing(before...)
	m.forgotten()
}

// The network of a host drops everything for longer than a lease: the app is ended at the
// lease's end by its guard, and by the server when that is certain. Afterwards the host tells
// when it truly ended, and there is room for the next.
func TestCutForLongerThanALease(t *testing.T) {
	t.Parallel()
	// The shortest lease that outlives the silence after which a session is unknown.
	s, m, n, app, id, pids := streamed(t, 11)
	s.Seats(s.Session(id).DeliveryMethodID, 1)
	pid := pids()[0]
	// The host has a lease that was only just granted, or it would end before it is unknown.
	var l store.SessionRow
	var end time.Time
	servertest.Eventually(t, long, "its lease is fresh", func() bool {
		l, end = s.Row(id), m.leaseEnd(id)
		return l.Lease != nil && time.Until(end) > l.Lease.ExpiresAt.Sub(l.Lease.GrantedAt)-2*time.Second && l.LeaseEnds.Sub(end) < time.Second
	})
	n.drop()
	if st := is(t, s, id, session.Unknown); st.Reason != "nothing heard from the host" || !alive(pid) {
		t.Errorf("reason %q, its app is alive: %v", st.Reason, alive(pid))
	}
	servertest.Eventually(t, long, "the guard ends the app", func() bool { return !alive(pid) })
	died := time.Now()
	if late := died.Sub(end); late < 0 || late > force {
		t.Errorf("it ended %v after its lease, which the host has until %v", late, end)
	}
	if end.After(l.LeaseEnds) {
		t.Errorf("the host has its lease until %v, the server signed %v", end, l.LeaseEnds)
	}
	if st := s.Session(id); st.Status != session.Unknown {
		t.Errorf("its seat is not certainly free, and it is %s", st.Status)
	}
	if _, err := s.Control.Launch(t.Context(), s.User, app, 0); err == nil {
		t.Error("its seat was given away before it was certainly free")
	}
	st := is(t, s, id, session.Disconnected)
	if !strings.HasPrefix(st.Reason, session.ReasonLapsed+": nothing heard from ") || st.Lease != nil || st.EndedAt.Before(l.LeaseFree) {
		t.Errorf("reason %q, lease %v, ended at %v, free at %v", st.Reason, st.Lease, st.EndedAt, l.LeaseFree)
	}
	m.nothing(pid)
	n.mend()
	servertest.Eventually(t, long, "the host tells of the end", func() bool { return s.Session(id).Observed != session.IsRunning })
	st = s.Session(id)
	// Its display and what cleans up behind it go after the app.
	if st.EndedAt.Before(end) || !st.EndedAt.Before(l.LeaseFree) || st.Status != session.Disconnected {
		t.Errorf("its app ended at %v, and it is %s as of %v, its lease until %v", died, st.Status, st.EndedAt, l.LeaseEnds)
	}
	m.forgotten()
	next := launch(t, s, app)
	is(t, s, next, session.Connected)
	s.Act(next, session.Kill, "")
	m.nothing(pids()...)
}

// What is ordered while the network is cut is carried out when it is back, by the host.
func TestOrdersWhileCut(t *testing.T) {
	t.Parallel()
	s, m, n, app, killed, pids := streamed(t, 20)
	ended := launch(t, s, app)
	is(t, s, ended, session.Connected)
	m.displays()
	n.drop()
	s.Act(killed, session.Kill, "it hangs")
	if err := s.Control.EndStream(t.Context(), s.User, ended); err != nil {
		t.Error(err)
	}
	if st := s.Session(killed); st.Status != session.Killed || !st.Order.Open() {
		t.Errorf("killed: %s, order %+v", st.Status, st.Order)
	}
	if st := s.Session(ended); st.Status != session.Disconnected || st.Reason != "ended by its user" {
		t.Errorf("ended: %s, %q", st.Status, st.Reason)
	}
	for _, id := range []int64{killed, ended} {
		if s.Session(id).Lease == nil {
			t.Errorf("session %d runs, and its seat is free", id)
		}
	}
	for _, pid := range pids() {
		if !alive(pid) {
			t.Errorf("process %d heard of its end through a network that is cut", pid)
		}
	}
	n.mend()
	m.nothing(pids()...)
	servertest.Eventually(t, long, "the kill is carried out", func() bool { return !s.Session(killed).Order.Open() })
	if o := s.Session(killed).Order; o.ClosedBy != session.ByAgent || o.Already {
		t.Errorf("order %+v", o)
	}
	for _, id := range []int64{killed, ended} {
		servertest.Eventually(t, long, "its seat is free", func() bool { return s.Session(id).Lease == nil })
	}
	m.forgotten()
}

// A network that drops everything and tells nobody: who watches is told in bounded time, and
// so is the host, which comes again when it can.
func TestHalfOpen(t *testing.T) {
	t.Parallel()
	s, m, n, _, id, pids := streamed(t, 60)
	v := watch(t, s, id)
	servertest.Eventually(t, long, "somebody watches", func() bool { return s.Session(id).Viewers == 1 })
	n.drop()
	began := time.Now()
	// docs/protocol.md promises twice the keep-alive, and a quarter of it to look.
	const bound = wslink.KeepAlive * 9 / 4
	if code, reason := v.told(bound + 5*time.Second); code != wslink.Unreachable || reason != "the connection to the host is lost" {
		t.Errorf("told %d %q", code, reason)
	}
	t.Logf("the viewer was told after %v", time.Since(began))
	m.wrote(t, bound, "a viewer was lost")
	n.mend()
	v = watch(t, s, id)
	is(t, s, id, session.Connected)
	servertest.Eventually(t, long, "one watches", func() bool { return s.Session(id).Viewers == 1 })
	s.Act(id, session.Kill, "")
	v.told(long)
	m.nothing(pids()...)
}
