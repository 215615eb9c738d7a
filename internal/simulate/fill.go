package simulate

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"leasehold/internal/session"
)

// Life is a point in a session's life that a simulated device brings it to.
type Life string

// The lives of the demo's list, one for every status of device apps.
const (
	Launched         Life = "launched"
	Added            Life = "added"
	Running          Life = "running"
	RenewalRequested Life = "renewal_requested"
	UpgradeRequested Life = "upgrade_requested"
	Stopped          Life = "stopped"
	Evicted          Life = "evicted"
	AwaitingExpiry   Life = "awaiting_expiry"
	Expired          Life = "expired"
	Removed          Life = "removed"
)

// Fleet is a number of simulated devices that live on.
type Fleet struct {
	Client *http.Client
	Server string
	Key    string // an enrolment key
	// Launch launches a random app for a random user, or the same again for a session
	// that was launched before, and returns the session and its link.
	Launch func(ctx context.Context, again int64) (id int64, link string, err error)
	// Act lets an administrator evict or expire a session.
	Act func(ctx context.Context, id int64, a session.Action, reason string) error

	wg sync.WaitGroup
}

// Fill makes devices simulated devices named by name, and brings sessions to each of the
// lives as often as it says.
func (f *Fleet) Fill(ctx context.Context, seed uint64, devices int, name func(i int) string, lives map[Life]int) error {
	rnd := rand.New(rand.NewPCG(seed, 1))
	agents := make([]*Agent, devices)
	for i := range agents {
		a, err := Enrol(ctx, f.Client, f.Server, f.Key, name(i))
		if err != nil {
			return fmt.Errorf("simulate: enrol: %w", err)
		}
		a.CloseAfter = time.Duration(20+rnd.IntN(100)) * time.Second
		agents[i] = a
	}
	var todo []Life
	for _, l := range []Life{Launched, Added, Running, RenewalRequested, UpgradeRequested, Stopped, Evicted, AwaitingExpiry, Expired, Removed} {
		for range lives[l] {
			todo = append(todo, l)
		}
	}
	rnd.Shuffle(len(todo), func(i, j int) { todo[i], todo[j] = todo[j], todo[i] })
	for _, l := range todo {
		if err := f.live(ctx, agents[rnd.IntN(devices)], l, rnd); err != nil {
			return fmt.Errorf("simulate: bring a session to %s: %w", l, err)
		}
	}
	for _, a := range agents {
		f.wg.Go(func() { f.keep(ctx, a) })
	}
	return nil
}

// Wait waits until the devices have ended with the context of Fill.
func (f *Fleet) Wait() { f.wg.Wait() }

// keep lets a device check in for as long as ctx lasts.
func (f *Fleet) keep(ctx context.Context, a *Agent) {
	wait := time.Duration(rand.IntN(10)) * time.Second
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		out, err := a.CheckIn(ctx)
		wait = 5 * time.Second
		if err == nil {
			// As if it had an event stream: an order is taken up within ten seconds.
			wait = min(time.Duration(out.NextMillis)*time.Millisecond, 10*time.Second)
		}
	}
}

// live brings one session to a point in its life, by the way a real one gets there.
func (f *Fleet) live(ctx context.Context, a *Agent, l Life, rnd *rand.Rand) error {
	id, link, err := f.Launch(ctx, 0)
	if err != nil || l == Launched {
		return err
	}
	if _, err := a.Redeem(ctx, link); err != nil {
		return err
	}
	if l == Added || l == UpgradeRequested && rnd.IntN(3) == 0 {
		if l == UpgradeRequested {
			a.Note(id, session.ObsUpgradeAsked)
		}
		return f.say(ctx, a)
	}
	if err := a.Start(id); err != nil {
		return err
	}
	if err := f.say(ctx, a); err != nil {
		return err
	}
	switch l {
	case Running:
		return nil
	case RenewalRequested:
		a.Note(id, session.ObsRenewalAsked)
		return f.say(ctx, a)
	case UpgradeRequested:
		a.Note(id, session.ObsUpgradeAsked)
		return f.say(ctx, a)
	case Evicted:
		reasons := []string{"", "seat needed for an exam", "licence audit", "left running over night"}
		if err := f.Act(ctx, id, session.Evict, reasons[rnd.IntN(len(reasons))]); err != nil {
			return err
		}
		return f.say(ctx, a)
	}
	a.Exit(id)
	if err := f.say(ctx, a); err != nil {
		return err
	}
	switch l {
	case Expired:
		return f.Act(ctx, id, session.Expire, "no longer needed")
	case AwaitingExpiry:
		// The same app, launched anew on the same device, takes its place.
		_, link, err := f.Launch(ctx, id)
		if err != nil {
			return err
		}
		if _, err := a.Redeem(ctx, link); err != nil {
			return err
		}
	case Removed:
		a.Remove(id)
	}
	return f.say(ctx, a)
}

func (f *Fleet) say(ctx context.Context, a *Agent) error {
	_, err := a.CheckIn(ctx)
	return err
}
