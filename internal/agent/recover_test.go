package agent_test

import (
	"context"
	"testing"
	"time"

	"leasehold/internal/agent"
	"leasehold/internal/agent/boottime"
	"leasehold/internal/agent/runner"
	"leasehold/internal/agent/runner/fake"
	"leasehold/internal/session"
)

// slowRunner takes its time to find what runs.
type slowRunner struct {
	*fake.Runner
	found chan struct{}
}

func (r slowRunner) Recover(ctx context.Context) ([]runner.Run, error) {
	list, err := r.Runner.Recover(ctx)
	<-r.found
	return list, err
}

// An app ended while its agent was away. The first report already says so: one that said
// that it runs would be granted a lease for a run that is over.
func TestEndedMeanwhile(t *testing.T) {
	inWorld(t, floating, func(w *world) {
		id := w.launch()
		w.pass(10 * time.Second)
		w.want(id, session.Running)
		if err := w.end(); err != nil {
			t.Fatal(err)
		}
		w.pass(time.Minute)
		w.run(id, 1).Exit(0)
		e := exit(t, w.run(id, 1))
		w.pass(time.Hour)
		w.want(id, session.Stopped) // the lease has lapsed
		w.net.set(func() { w.net.requests = nil })
		w.start()
		w.pass(10 * time.Second)
		if m := w.net.requests[0]; len(m.Sessions) != 1 || m.Sessions[0].State != session.IsIdle || len(m.Observations) == 0 {
			t.Errorf("the first report is %+v", m)
		}
		if s := w.want(id, session.Stopped); !s.ObservedSince.Equal(e.At.Wall) {
			t.Errorf("observed since %v, it ended at %v", s.ObservedSince, e.At.Wall)
		}
	})
}

// What the user starts while the agent is still looking for what runs is started then,
// once.
func TestStartedMeanwhile(t *testing.T) {
	inWorld(t, floating, func(w *world) {
		id := w.launch()
		w.pass(10 * time.Second)
		w.run(id, 1).Exit(0)
		w.pass(10 * time.Second)
		w.want(id, session.Stopped)
		if err := w.end(); err != nil {
			t.Fatal(err)
		}
		found := make(chan struct{})
		a, err := agent.Open(agent.Config{Dir: w.dir, Server: w.net, Runner: slowRunner{w.runner, found}, Apps: w.apps, Clock: boottime.Go})
		if err != nil {
			t.Fatal(err)
		}
		w.begin(a)
		w.pass(time.Second)
		if err := w.agent.Start(id); err != nil {
			t.Fatal(err)
		}
		w.pass(time.Second)
		close(found)
		w.pass(10 * time.Second)
		w.want(id, session.Running)
		if s := w.Session(id); s.Run != 2 {
			t.Errorf("run %d", s.Run)
		}
	})
}
