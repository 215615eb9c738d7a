//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"leasehold/internal/catalog"
	"leasehold/internal/control"
	"leasehold/internal/directory"
	"leasehold/internal/server"
	"leasehold/internal/simulate"
	"leasehold/internal/wire"
)

// node is a real server on loopback with one user and one app, and no limit on seats.
type node struct {
	*server.Server
	url         string
	admin, user control.Who
	app, method int64
	stop        func() error
}

func newNode(ctx context.Context, db *database, heartbeat, warning int, packages []catalog.Package) (*node, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	n := &node{url: "http://" + l.Addr().String(), admin: control.Who{Username: "bench", Admin: true}}
	if n.Server, err = server.New(ctx, server.Config{Store: db.Store, PublicURL: n.url, Limits: control.MaxLimits}); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	u := &directory.User{Username: "bench", Name: "Bench"}
	if err := n.Control.CreateUser(ctx, n.admin, u, ""); err != nil {
		return nil, err
	}
	n.user = control.WhoIs(u, "")
	a := &catalog.App{Name: "Bench"}
	if err := n.Control.CreateApp(ctx, n.admin, a); err != nil {
		return nil, err
	}
	if packages == nil {
		packages = []catalog.Package{{Type: catalog.Command, Command: []string{"simulated"}}}
	}
	d := &catalog.DeliveryMethod{AppID: a.ID, Name: "Bench", HeartbeatSeconds: heartbeat, WarningsSeconds: []int{warning}, Packages: packages}
	if err := n.Control.CreateDeliveryMethod(ctx, n.admin, d); err != nil {
		return nil, err
	}
	p := &directory.Provision{Name: "Bench", UserIDs: []int64{u.ID}, DeliveryMethodIDs: []int64{d.ID}, Enabled: true}
	if err := n.Control.CreateProvision(ctx, n.admin, p); err != nil {
		return nil, err
	}
	n.app, n.method = a.ID, d.ID
	serve, cancel := context.WithCancel(context.WithoutCancel(ctx))
	served := make(chan error, 1)
	go func() { served <- n.Serve(serve, l) }()
	n.stop = func() error {
		cancel()
		return <-served
	}
	if err := n.Control.AwaitClock(ctx); err != nil {
		return nil, errors.Join(err, n.stop())
	}
	return n, nil
}

func newClient(workers int) *http.Client {
	return &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: workers, MaxConnsPerHost: workers}}
}

// result is what a load came to.
type result struct {
	rate   float64
	took   []time.Duration
	errors int64
	first  error
}

// hammer lets workers call fn for a while; fn is given the worker's number and a count.
func hammer(ctx context.Context, workers int, d time.Duration, fn func(ctx context.Context, worker, i int) error) *result {
	r := &result{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	var n atomic.Int64
	begin := time.Now()
	for w := range workers {
		wg.Go(func() {
			var took []time.Duration
			for i := 0; time.Since(begin) < d && ctx.Err() == nil; i++ {
				b := time.Now()
				if err := fn(ctx, w, i); err != nil {
					mu.Lock()
					r.errors++
					r.first = err
					mu.Unlock()
					continue
				}
				n.Add(1)
				took = append(took, time.Since(b))
			}
			mu.Lock()
			r.took = append(r.took, took...)
			mu.Unlock()
		})
	}
	wg.Wait()
	r.rate = float64(n.Load()) / time.Since(begin).Seconds()
	return r
}

// echo is the machine's limit: the same message decoded and encoded again, and nothing else.
func echo(ctx context.Context, o *options, d time.Duration) (*result, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	srv := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var m wire.CheckIn
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		json.NewEncoder(w).Encode(&m)
	})}
	go srv.Serve(l)
	defer srv.Close()
	client := newClient(o.workers)
	defer client.CloseIdleConnections()
	body, err := json.Marshal(&wire.CheckIn{V: wire.Version, Number: 77, Token: "0123456789abcdef0123456789abcdef", Granted: 76, Epoch: 1, Complete: true,
		Sessions: []wire.SessionState{{Session: 48213, State: "running", Run: 1, Seen: 3, Guard: true, Holds: true}}})
	if err != nil {
		return nil, err
	}
	return hammer(ctx, o.workers, d, func(ctx context.Context, _, _ int) error {
		req, err := http.NewRequestWithContext(ctx, "POST", "http://"+l.Addr().String(), bytes.NewReader(body))
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		var m wire.CheckIn
		err = json.NewDecoder(resp.Body).Decode(&m)
		io.Copy(io.Discard, resp.Body)
		return err
	}), nil
}

// benchCheckIns measures check-ins that only say that all is well, and check-ins each of
// which renews a lease, against the real server over loopback.
func benchCheckIns(ctx context.Context, o *options, db *database, t *report) error {
	// A heartbeat of a second is the shortest, and agents take turns, so that a renewal is
	// due; the warnings make leases long enough that none ends before its turn.
	n, err := newNode(ctx, db, 1, 300, nil)
	if err != nil {
		return err
	}
	client := newClient(o.workers)
	defer client.CloseIdleConnections()
	err = n.hammer(ctx, o, client, t)
	return errors.Join(err, n.stop())
}

func (n *node) hammer(ctx context.Context, o *options, client *http.Client, t *report) error {
	key, _, err := n.Control.NewEnrolmentKey(ctx, n.admin, control.KeyTerms{Kind: wire.Player, Simulated: true, Uses: control.MaxKeyUses})
	if err != nil {
		return err
	}
	each := time.Duration(o.seconds) * time.Second
	bare, err := echo(ctx, o, each/2)
	if err != nil {
		return err
	}
	s := t.section(fmt.Sprintf("Check-ins over loopback HTTP, %d workers, client and server on the same %d cores", o.workers, runtime.NumCPU()),
		"load\tper second\tof bare echo\tp50\tp99\terrors")
	row := func(name string, r *result, rate float64) {
		s.row(name, rate, fmt.Sprintf("%.0f %%", 100*rate/bare.rate), quantile(r.took, 0.5), quantile(r.took, 0.99), r.errors)
	}
	row("bare JSON echo", bare, bare.rate)

	// Many agents, so that each has waited out its heartbeat when its turn comes again.
	agents := make([][]*simulate.Agent, o.workers)
	err = parallel(o.workers, func(w int) error {
		for i := range max(1, o.agents/o.workers) {
			a, err := simulate.Enrol(ctx, client, n.url, key, fmt.Sprintf("BENCH-%d-%d", w, i))
			if err != nil {
				return err
			}
			agents[w] = append(agents[w], a)
		}
		return nil
	})
	if err != nil {
		return err
	}
	r := hammer(ctx, o.workers, each/2, func(ctx context.Context, w, i int) error {
		_, err := agents[w][i%len(agents[w])].CheckIn(ctx)
		return err
	})
	row("check-ins that change nothing", r, r.rate)
	if r.first != nil {
		s.note("first error: %v", r.first)
	}
	err = parallel(o.workers, func(w int) error {
		for _, a := range agents[w] {
			l, err := n.Control.Launch(ctx, n.user, n.app, 0)
			if err != nil {
				return err
			}
			id, err := a.Redeem(ctx, l.Link)
			if err != nil {
				return err
			}
			if err := a.Start(id); err != nil {
				return err
			}
			// The start has to be told in time.
			if _, err := a.CheckIn(ctx); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	var renewed atomic.Int64
	r = hammer(ctx, o.workers, each, func(ctx context.Context, w, i int) error {
		out, err := agents[w][i%len(agents[w])].CheckIn(ctx)
		if err == nil {
			renewed.Add(int64(len(out.Leases)))
		}
		return err
	})
	renewals := float64(renewed.Load()) / each.Seconds()
	row("check-ins of running apps", r, r.rate)
	row("… of which renew a lease, durably", r, renewals)
	if r.first != nil {
		s.note("first error: %v", r.first)
	}
	return nil
}

// parallel lets n workers do something, and returns what went wrong.
func parallel(n int, fn func(worker int) error) error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for w := range n {
		wg.Go(func() { errs[w] = fn(w) })
	}
	wg.Wait()
	return errors.Join(errs...)
}
