package simulate

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"leasehold/internal/session"
)

// Load is many agents that check in at the pace the server gives them while their apps
// come and go, bounded in number and time.
type Load struct {
	Server string
	Key    string // an enrolment key
	Agents int
	For    time.Duration
	Seed   uint64
	// Launch launches an app and returns the session and its link.
	Launch func(ctx context.Context) (id int64, link string, err error)
	// Evict lets an administrator evict a session.
	Evict func(ctx context.Context, id int64) error
	// Rows returns what the server says of all sessions that were launched.
	Rows func(ctx context.Context) (map[int64]session.State, error)

	client   *http.Client
	agents   []*Agent
	sessions [][]int64
	quiet    atomic.Bool // nothing starts or exits any more
	counting atomic.Bool
	mu       sync.Mutex
	took     []time.Duration
	renewals int
	failed   int
	first    error
}

// Report is what a load came to.
type Report struct {
	Agents     int           `json:"agents"`
	Seconds    float64       `json:"seconds"`
	CheckIns   int           `json:"check_ins"`
	CheckInsPS float64       `json:"check_ins_per_second"`
	RenewalsPS float64       `json:"renewals_per_second"`
	P50        time.Duration `json:"p50_ns"`
	P95        time.Duration `json:"p95_ns"`
	P99        time.Duration `json:"p99_ns"`
	Max        time.Duration `json:"max_ns"`
	Evictions  int           `json:"evictions"`
	Errors     int           `json:"errors"`
	FirstError string        `json:"first_error,omitempty"`
	Agreeing   int           `json:"agreeing"`    // sessions that both see alike
	Disagree   []string      `json:"disagreeing"` // one line each
}

const (
	atOnce    = 64               // requests under way while the fleet is made
	settleFor = 60 * time.Second // at most
)

// Run enrols the agents, lets them live, and compares what they know with the rows.
func (l *Load) Run(ctx context.Context) (*Report, error) {
	l.client = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: atOnce, MaxConnsPerHost: 4 * atOnce}}
	defer l.client.CloseIdleConnections()
	if err := l.enrol(ctx); err != nil {
		return nil, err
	}
	live, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	for i := range l.agents {
		wg.Go(func() { l.live(live, i) })
	}
	l.counting.Store(true)
	begin := time.Now()
	evictions := l.evict(ctx, begin.Add(l.For))
	l.counting.Store(false)
	r := l.report(time.Since(begin))
	r.Evictions = evictions
	l.quiet.Store(true)
	if err := l.settle(ctx); err != nil {
		return r, err
	}
	return r, l.compare(ctx, r)
}

// enrol makes the agents, each with one session whose app runs.
func (l *Load) enrol(ctx context.Context) error {
	l.agents, l.sessions = make([]*Agent, l.Agents), make([][]int64, l.Agents)
	var next atomic.Int64
	errs := make([]error, atOnce)
	var wg sync.WaitGroup
	for w := range atOnce {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < l.Agents && errs[w] == nil; i = int(next.Add(1)) - 1 {
				errs[w] = l.begin(ctx, i)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (l *Load) begin(ctx context.Context, i int) error {
	a, err := Enrol(ctx, l.client, l.Server, l.Key, fmt.Sprintf("Simulated %05d", i))
	if err != nil {
		return fmt.Errorf("simulate: enrol: %w", err)
	}
	a.CloseAfter = 500 * time.Millisecond
	id, link, err := l.Launch(ctx)
	if err != nil {
		return fmt.Errorf("simulate: launch: %w", err)
	}
	if _, err := a.Redeem(ctx, link); err != nil {
		return fmt.Errorf("simulate: redeem: %w", err)
	}
	l.agents[i], l.sessions[i] = a, []int64{id}
	return a.Start(id)
}

// live lets one agent check in until ctx is done, while its app comes and goes.
func (l *Load) live(ctx context.Context, i int) {
	a, id := l.agents[i], l.sessions[i][0]
	rnd := rand.New(rand.NewPCG(l.Seed, uint64(i)))
	var wait time.Duration
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		if running := len(a.Running()) > 0; !l.quiet.Load() {
			switch x := rnd.Float64(); {
			case running && x < 0.03:
				a.Exit(id)
			case !running && x < 0.5:
				// After an expiry the server refuses, which is no error here.
				_ = a.Start(id)
			}
		}
		begin := time.Now()
		out, err := a.CheckIn(ctx)
		took := time.Since(begin)
		if ctx.Err() != nil {
			return
		}
		// As an agent that cannot reach its server: it tries again a little later.
		wait = time.Second
		l.mu.Lock()
		switch {
		case err != nil:
			l.failed++
			if l.first == nil {
				l.first = err
			}
		case l.counting.Load():
			l.took = append(l.took, took)
			l.renewals += len(out.Leases)
		}
		l.mu.Unlock()
		if err == nil {
			wait = time.Duration(out.NextMillis) * time.Millisecond
			if l.quiet.Load() {
				wait = min(wait, time.Second)
			}
		}
	}
}

// evict lets an administrator evict one session after another, about one in twenty of all.
func (l *Load) evict(ctx context.Context, end time.Time) (n int) {
	rnd := rand.New(rand.NewPCG(l.Seed, 1<<32))
	pause := max(l.For/time.Duration(max(1, l.Agents/20)), time.Millisecond)
	for {
		select {
		case <-ctx.Done():
			return n
		case <-time.After(min(pause, time.Until(end))):
		}
		if !time.Now().Before(end) {
			return n
		}
		// One that has exited cannot be evicted; then it is another's turn.
		if l.Evict(ctx, l.sessions[rnd.IntN(len(l.sessions))][0]) == nil {
			n++
		}
	}
}

// settle waits until every agent has told all, and nothing is about to close.
func (l *Load) settle(ctx context.Context) error {
	for end := time.Now().Add(settleFor); time.Now().Before(end); {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(3 * time.Second):
		}
		if !slices.ContainsFunc(l.agents, (*Agent).busy) {
			return nil
		}
	}
	return nil // what has not settled is told by the comparison
}

// busy reports whether the server cannot know the agent's truth yet.
func (a *Agent) busy() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.journal) > 0 {
		return true
	}
	for _, app := range a.apps {
		if app.Running && !app.closeAt.IsZero() {
			return true
		}
	}
	return false
}

// compare holds what each agent knows against the server's rows. Those that differ are
// looked at again, because agents go on while the list is read.
func (l *Load) compare(ctx context.Context, r *Report) error {
	for try := range 3 {
		if try > 0 {
			time.Sleep(2 * time.Second)
		}
		rows, err := l.Rows(ctx)
		if err != nil {
			return fmt.Errorf("simulate: read the rows: %w", err)
		}
		r.Agreeing, r.Disagree = 0, []string{}
		for i, a := range l.agents {
			truth := a.Truth()
			for _, id := range l.sessions[i] {
				is, ok := truth[id]
				if !ok {
					is = session.IsAbsent
				}
				if is == rows[id] {
					r.Agreeing++
				} else {
					r.Disagree = append(r.Disagree, fmt.Sprintf("session %d on %s: the agent knows %q, the row says %q", id, a.Name, is, rows[id]))
				}
			}
		}
		if len(r.Disagree) == 0 {
			return nil
		}
	}
	return nil
}

func (l *Load) report(d time.Duration) *Report {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := &Report{Agents: l.Agents, Seconds: d.Seconds(), CheckIns: len(l.took), Errors: l.failed,
		CheckInsPS: float64(len(l.took)) / d.Seconds(), RenewalsPS: float64(l.renewals) / d.Seconds()}
	if l.first != nil {
		r.FirstError = l.first.Error()
	}
	if n := len(l.took); n > 0 {
		slices.Sort(l.took)
		r.P50, r.P95, r.P99, r.Max = l.took[n/2], l.took[n*95/100], l.took[n*99/100], l.took[n-1]
	}
	return r
}
