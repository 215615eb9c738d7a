package storetest

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"leasehold/internal/lease"
	"leasehold/internal/session"
	"leasehold/internal/store"
	"leasehold/internal/wire"
)

// testStreams: the hosts that can take a session, how full they are, and the streams whose
// time has come.
func testStreams(t *testing.T, e *env) {
	f := e.fixture()
	now := e.clock.Now()
	host := func(name, pool string, slots int, change func(*store.Agent)) *store.Agent {
		a := &store.Agent{Kind: wire.Host, Name: name, OS: "linux", Arch: "amd64", Pool: pool, Slots: slots, Approved: true, Credential: []byte(name), CreatedAt: now, Seen: store.Seen{At: now, Lease: e.in(0)}}
		if change != nil {
			change(a)
		}
		e.update(func(tx store.Tx) error { return tx.CreateAgent(a) })
		return a
	}
	one := host("one", "gpu", 3, nil)
	two := host("two", "gpu", 1, nil)
	elsewhere := host("elsewhere", "", 5, nil).ID
	host("none", "gpu", 0, nil)
	host("copied", "gpu", 5, func(a *store.Agent) { a.Chain.Quarantined = true })
	silent := host("silent", "gpu", 5, func(a *store.Agent) { a.Seen.Lease = e.in(-31 * time.Second) })
	gone := host("gone", "gpu", 5, nil)
	e.update(func(tx store.Tx) error { return tx.DeleteAgent(gone.ID) })

	stream := func(host int64) *session.Session {
		s := session.Launch(session.Stream, f.users[0].ID, f.app.ID, f.method.ID, f.provision.ID, session.Actor{Role: session.User, Name: "ann"}, e.now())
		s.AgentID = host
		e.update(func(tx store.Tx) error { return tx.CreateSession(s) })
		s.TakeTransitions()
		return s
	}
	first, second, onSilent := stream(one.ID), stream(one.ID), stream(silent.ID)
	up := func(id int64) {
		e.change(id, func(_ store.Tx, s *session.Session) {
			s.Lease = &lease.Grant{Session: id, DeliveryMethod: f.method.ID, Kind: lease.Floating, Generation: 1, Run: 1, GrantedAt: e.in(0), ExpiresAt: e.in(time.Hour), FreeAt: e.in(time.Hour)}
			s.Observe(session.Observation{Type: session.ObsUp, Run: 1, At: e.clock.Now()}, session.Source{Agent: session.Actor{Role: session.Agent, Name: "one"}})
		})
	}
	up(first.ID)
	up(onSilent.ID)
	e.change(first.ID, func(_ store.Tx, s *session.Session) {
		s.Viewers, s.UnwatchedSince, s.IdleAt = 2, now.Add(time.Second), now.Add(time.Hour)
	})
	if s := e.get(first.ID); s.Status != session.Connected || s.Viewers != 2 || !s.UnwatchedSince.Equal(now.Add(time.Second)) || !s.IdleAt.Equal(now.Add(time.Hour)) {
		t.Errorf("stored and read: %+v", s)
	}
	loads := func() []store.HostLoad {
		var l []store.HostLoad
		e.view(func(tx store.Tx) error {
			l = must[[]store.HostLoad](t)(tx.Hosts("gpu", 0, tx.LeaseNow().Earliest.Add(-30*time.Second)))
			return nil
		})
		return l
	}
	named := host("named", "Default", 5, nil).ID
	e.view(func(tx store.Tx) error {
		var ids []int64
		for _, h := range must[[]store.HostLoad](t)(tx.Hosts("", 0, tx.LeaseNow().Earliest.Add(-30*time.Second))) {
			ids = append(ids, h.Agent)
		}
		same(t, "hosts of the default pool, by no name and by its name", ids, []int64{elsewhere, named})
		return nil
	})
	same(t, "hosts of the pool", loads(), []store.HostLoad{{Agent: one.ID, Slots: 3, Live: 2}, {Agent: two.ID, Slots: 1}})
	e.update(func(tx store.Tx) error {
		a := must[*store.Agent](t)(tx.LockAgent(two.ID))
		a.Slots, a.Pool, a.Missing = 7, "cpu", []string{"Memory: none", "Home size: none"}
		return tx.SaveAgent(a)
	})
	same(t, "hosts, one in another pool", loads(), []store.HostLoad{{Agent: one.ID, Slots: 3, Live: 2}})
	e.view(func(tx store.Tx) error {
		if a := must[*store.Agent](t)(tx.Agent(two.ID)); a.Slots != 7 || a.Pool != "cpu" || len(a.Missing) != 2 || a.Missing[1] != "Home size: none" {
			t.Errorf("host %+v", a)
		}
		return nil
	})
	due := func(silent time.Duration, limit int) (ids []int64) {
		e.view(func(tx store.Tx) error {
			ids = must[[]int64](t)(tx.StreamsDue(tx.LeaseNow().Earliest.Add(-silent), limit))
			return nil
		})
		return ids
	}
	same(t, "nothing is due", len(due(time.Hour, 10)), 0)
	same(t, "on a silent host", due(30*time.Second, 10), []int64{onSilent.ID})
	e.step(session.StartWithin)
	same(t, "not up in time", due(time.Hour, 10), []int64{second.ID})
	same(t, "both", due(session.StartWithin+30*time.Second, 10), []int64{second.ID, onSilent.ID})
	same(t, "one of them", due(session.StartWithin+30*time.Second, 1), []int64{second.ID})
}

// testTunnels: a ticket is good once, for its host, until it is over.
func testTunnels(t *testing.T, e *env) {
	const host, other = 7, 8
	add := func(ticket string, session int64, life time.Duration) {
		e.update(func(tx store.Tx) error {
			return tx.AddTunnel(&store.Tunnel{Ticket: ticket, Session: session, Agent: host, Node: "https://a.example.org", ExpiresAt: e.in(life)})
		})
	}
	waiting := func(agent int64) (out []string) {
		e.view(func(tx store.Tx) error {
			for _, x := range must[[]store.Tunnel](t)(tx.Tunnels(agent)) {
				out = append(out, x.Ticket)
			}
			return nil
		})
		return out
	}
	add("a", 1, 30*time.Second)
	add("b", 2, 10*time.Second)
	same(t, "waiting", waiting(host), []string{"a", "b"})
	same(t, "for another", len(waiting(other)), 0)
	e.step(10 * time.Second)
	same(t, "one is over", waiting(host), []string{"a"})
	take := func(agent int64, ticket string) (*store.Tunnel, error) {
		var x *store.Tunnel
		err := e.st.Update(t.Context(), func(tx store.Tx) (err error) {
			x, err = tx.TakeTunnel(agent, ticket)
			return err
		})
		return x, err
	}
	for _, wrong := range []struct {
		agent  int64
		ticket string
	}{{other, "a"}, {host, "b"}, {host, "c"}, {host, ""}} {
		_, err := take(wrong.agent, wrong.ticket)
		wantErr(t, err, store.ErrNotFound)
	}
	var x *store.Tunnel
	var err error
	e.update(func(tx store.Tx) error {
		x, err = tx.TakeTunnel(host, "a")
		return err
	})
	if err != nil || x.Session != 1 || x.Agent != host || x.Node != "https://a.example.org" || x.ExpiresAt != e.in(20*time.Second) {
		t.Fatalf("taken: %+v, %v", x, err)
	}
	_, err = take(host, "a")
	wantErr(t, err, store.ErrNotFound)

	// At once, one has it.
	add("d", 3, time.Minute)
	var won, lost atomic.Int32
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			switch _, err := take(host, "d"); {
			case err == nil:
				won.Add(1)
			case errors.Is(err, store.ErrNotFound):
				lost.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	all.Wait()
	if won.Load() != 1 || lost.Load() != 7 {
		t.Errorf("%d have it, %d not", won.Load(), lost.Load())
	}
}
