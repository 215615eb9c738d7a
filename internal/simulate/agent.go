// Package simulate plays agents against a real server, over the real wire: thousands of
// them, seeded, each a device with apps that are pretended. It measures how the server
// bears them, and at the end compares what every agent knows to be true with the rows
// that the server shows. It fills the demo's list too.
//
// A simulated agent keeps to the rules of leases by the same [lease.Holder] as a real one,
// but keeps nothing on disk and runs no process.
package simulate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"sync"
	"time"

	"leasehold/internal/lease"
	"leasehold/internal/server/problem"
	"leasehold/internal/session"
	"leasehold/internal/wire"
)

// Agent is one simulated device.
type Agent struct {
	ID   int64
	Name string

	server string
	client *http.Client
	cred   string
	keys   lease.Keys
	set    string // the keys as the server last sent them

	mu      sync.Mutex
	number  uint64
	token   string
	granted uint64
	epoch   uint64
	seq     uint64 // of the last entry noted
	journal []wire.Observation
	apps    map[int64]*App
	// CloseAfter is how long an app takes to close once it was told to; 0 closes it
	// before the next check-in.
	CloseAfter time.Duration
	// Clock is its boot-time clock, for tests that step the server's; nil is the process's.
	Clock func() time.Duration
}

// App is one session on a simulated device.
type App struct {
	lease.Holder
	What    wire.App
	Added   bool
	Newer   *wire.App // the version that was asked for; its package is there at once
	moved   bool      // the server has granted it
	closeAt time.Time
	refused bool
}

var start = time.Now()

// instant is the agent's lease clock.
func (a *Agent) instant() lease.Instant {
	if a.Clock != nil {
		return int64(a.Clock())
	}
	return int64(time.Since(start))
}

// Enrol makes a simulated device with an enrolment key.
func Enrol(ctx context.Context, client *http.Client, server, key, name string) (*Agent, error) {
	a := &Agent{Name: name, server: server, client: client, epoch: 1, apps: map[int64]*App{}}
	var out wire.Enrolled
	err := a.post(ctx, wire.PathEnrol, wire.Enrol{V: wire.Version, Key: key, Kind: wire.Player, Name: name, OS: runtime.GOOS, Arch: runtime.GOARCH, Version: "simulated"}, &out)
	if err != nil {
		return nil, err
	}
	a.ID, a.cred = out.AgentID, out.Credential
	return a, json.Unmarshal(out.Keys, &a.keys)
}

func (a *Agent) post(ctx context.Context, path string, in, out any) error {
	b, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, "POST", a.server+path, bytes.NewReader(b))
	if err != nil {
		return err
	}
	if a.cred != "" {
		req.Header.Set("Authorization", "Bearer "+a.cred)
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		var d problem.Details
		b, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
		if json.Unmarshal(b, &d) == nil && d.Detail != "" {
			return &d
		}
		return fmt.Errorf("%s: %s", path, resp.Status)
	}
	return json.NewDecoder(io.LimitReader(resp.Body, wire.MaxBody)).Decode(out)
}

// Redeem redeems a launch link: its app is added and, unless hold is set, noted as added.
func (a *Agent) Redeem(ctx context.Context, link string) (int64, error) {
	u, err := url.Parse(link)
	if err != nil {
		return 0, err
	}
	var out wire.Redeemed
	if err := a.post(ctx, wire.PathRedeem, wire.Redeem{V: wire.Version, Ticket: u.Query().Get("ticket")}, &out); err != nil {
		return 0, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.add(&out.Directive)
	return out.Directive.Session, nil
}

func (a *Agent) add(d *wire.Directive) {
	if a.apps[d.Session] != nil || d.App == nil {
		return
	}
	a.apps[d.Session] = &App{Holder: lease.Holder{Session: d.Session, Kind: d.App.Licence}, What: *d.App, Added: true}
	a.note(d.Session, wire.Observation{Type: session.ObsAdded})
}

// note journals an observation of now.
func (a *Agent) note(id int64, o wire.Observation) {
	a.seq++
	o.Seq, o.Session, o.At = a.seq, id, time.Now().UTC()
	a.journal = append(a.journal, o)
}

// Note journals an observation about a session, as it stands.
func (a *Agent) Note(id int64, t session.ObservationType) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.note(id, wire.Observation{Type: t, Run: a.apps[id].Run})
}

// Start starts a session's app.
func (a *Agent) Start(id int64) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	app := a.apps[id]
	if app == nil {
		return errors.New("simulate: no such session on this device")
	}
	run, err := app.Start()
	if err != nil {
		return err
	}
	app.closeAt, app.refused = time.Time{}, false
	a.note(id, wire.Observation{Type: session.ObsStarted, Run: run, Mark: app.Mark, Method: app.What.DeliveryMethod})
	return nil
}

// Exit lets a session's app exit.
func (a *Agent) Exit(id int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.exit(id)
}

func (a *Agent) exit(id int64) {
	if app := a.apps[id]; app != nil && app.Running {
		app.Exit()
		a.note(id, wire.Observation{Type: session.ObsExited, Run: app.Run})
		a.swap(id, app)
	}
}

// offer asks for a newer version that the server offers, or drops the one it withdraws.
func (a *Agent) offer(app *App, d *wire.Directive) {
	switch {
	case app.moved:
	case d.App == nil:
		app.Newer = nil
	case d.App.DeliveryMethod != app.What.DeliveryMethod && (app.Newer == nil || app.Newer.DeliveryMethod != d.App.DeliveryMethod):
		app.Newer = d.App
		a.note(d.Session, wire.Observation{Type: session.ObsUpgradeAsked, Method: d.App.DeliveryMethod})
	}
}

// swap puts a newer version that was granted in the old one's place, once that does not
// run. A fixed lease is the old one's seat, and goes back.
func (a *Agent) swap(id int64, app *App) {
	if app.Newer == nil || !app.moved || app.Running {
		return
	}
	if app.Kind == lease.Fixed || app.Newer.Licence == lease.Fixed {
		a.note(id, wire.Observation{Type: session.ObsReturned, UpTo: app.GiveUp(a.number)})
	}
	app.What, app.Kind, app.Newer, app.moved = *app.Newer, app.Newer.Licence, nil, false
}

// Remove removes a session's app from the device.
func (a *Agent) Remove(id int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.remove(id)
}

func (a *Agent) remove(id int64) {
	a.exit(id)
	if app := a.apps[id]; app != nil {
		a.note(id, wire.Observation{Type: session.ObsRemoved, UpTo: app.GiveUp(a.number)})
		delete(a.apps, id)
	}
}

// Running lists the sessions whose apps run, as the agent knows.
func (a *Agent) Running() []int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []int64
	for id, app := range a.apps {
		if app.Running {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out
}

// Truth is what the agent knows of its sessions.
func (a *Agent) Truth() map[int64]session.State {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := map[int64]session.State{}
	for id, app := range a.apps {
		out[id] = session.IsIdle
		if app.Running {
			out[id] = session.IsRunning
		}
	}
	return out
}

// tick ends what has to end by now: an app whose lease is over, or that was told to close.
func (a *Agent) tick(now time.Time) {
	for id, app := range a.apps {
		over := app.Lease != nil && a.instant() >= app.Lease.End
		told := !app.closeAt.IsZero() && !now.Before(app.closeAt)
		if app.Running && (over || told) {
			a.exit(id)
		}
		app.Lapse(a.instant())
	}
}

// request builds a check-in of what is so now.
func (a *Agent) request() *wire.CheckIn {
	a.tick(time.Now())
	a.number++
	m := &wire.CheckIn{V: wire.Version, Number: a.number, Token: a.token, Granted: a.granted, Epoch: a.epoch, Complete: true}
	m.Observations = a.journal
	if len(m.Observations) > wire.MaxObservations {
		m.Observations, m.More = m.Observations[:wire.MaxObservations], true
	}
	for id, app := range a.apps {
		st := wire.SessionState{Session: id, State: session.IsIdle, Run: app.Run, Mark: app.Mark, Stored: app.Stored, Ended: app.Ended(), Seen: app.Seen, Method: app.What.DeliveryMethod}
		if app.Running {
			st.State, st.Guard, st.RunMethod = session.IsRunning, true, app.What.DeliveryMethod
			st.Holds = app.Covered(a.instant())
		} else {
			st.Holds = app.Kind == lease.Fixed && app.Lease != nil
		}
		if st.Holds {
			st.LeftMillis = app.LeftMillis(a.instant())
		}
		if app.Newer != nil {
			st.Upgrade, st.Ready = app.Newer.DeliveryMethod, true
		}
		m.Sessions = append(m.Sessions, st)
	}
	return m
}

// CheckIn sends a check-in and applies its answer.
func (a *Agent) CheckIn(ctx context.Context) (*wire.Answer, error) {
	a.mu.Lock()
	m := a.request()
	sent := a.instant()
	a.mu.Unlock()
	var out wire.Answer
	if err := a.post(ctx, wire.PathCheckIn, m, &out); err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return &out, a.apply(&out, sent)
}

func (a *Agent) apply(out *wire.Answer, sent lease.Instant) error {
	if out.Number != a.number {
		return nil
	}
	a.number = max(a.number, out.JumpTo)
	if len(out.Keys) > 0 && string(out.Keys) != a.set {
		var keys lease.Keys
		if err := json.Unmarshal(out.Keys, &keys); err != nil {
			return err
		}
		a.keys, a.set = keys, string(out.Keys)
	}
	if out.NextEpoch != 0 {
		a.epoch, a.seq, a.journal = out.NextEpoch, 0, nil
	} else if out.Ack.Epoch == a.epoch {
		for len(a.journal) > 0 && a.journal[0].Seq <= out.Ack.Seq {
			a.journal = a.journal[1:]
		}
	}
	if out.Token != "" {
		a.token, a.granted = out.Token, out.Number
	}
	for i := range out.Directives {
		d := &out.Directives[i]
		switch app := a.apps[d.Session]; {
		case d.Type == wire.DirAdd:
			a.add(d)
		case app == nil:
		case d.Type == wire.DirRemove:
			a.remove(d.Session)
		case d.Type == wire.DirOffer:
			a.offer(app, d)
		case d.Type == wire.DirUpgrade:
			if d.App != nil && d.App.DeliveryMethod != app.What.DeliveryMethod {
				app.Newer, app.moved = d.App, true
				a.swap(d.Session, app)
			}
		case d.Type == wire.DirRevoke:
			news, end := app.Revoke(d.UpTo)
			if news {
				a.note(d.Session, wire.Observation{Type: session.ObsRevoked, UpTo: d.UpTo})
			}
			if end && app.closeAt.IsZero() {
				if len(app.What.WarningsSeconds) > 0 {
					a.note(d.Session, wire.Observation{Type: session.ObsWarned, Run: app.Run, Seconds: app.What.WarningsSeconds[0]})
				}
				app.closeAt = time.Now().Add(a.CloseAfter)
			}
		}
	}
	for _, r := range out.Refusals {
		if app := a.apps[r.Session]; app != nil && app.Running && app.closeAt.IsZero() {
			app.closeAt, app.refused = time.Now().Add(a.CloseAfter), true
		}
	}
	for _, l := range out.Leases {
		c, err := a.keys.Verify(l.Token, a.ID)
		if err != nil {
			return err
		}
		app := a.apps[c.Session]
		if app == nil {
			continue
		}
		err = app.Accept(c.Generation, c.Run, sent+c.LengthSeconds*int64(time.Second), a.instant(), out.Number)
		if err != nil && !errors.Is(err, lease.ErrOtherRun) && !errors.Is(err, lease.ErrRevoked) {
			return err
		}
	}
	return nil
}

// Copy is what a copy of the agent's state folder on another machine would do: it shows
// the same credential and token.
func (a *Agent) Copy() *Agent {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := &Agent{ID: a.ID, Name: a.Name, server: a.server, client: a.client, cred: a.cred, keys: a.keys,
		number: a.number, token: a.token, granted: a.granted, epoch: a.epoch, seq: a.seq,
		journal: slices.Clone(a.journal), apps: map[int64]*App{}, CloseAfter: a.CloseAfter}
	for id, app := range a.apps {
		x := *app
		if x.Lease != nil {
			l := *x.Lease
			x.Lease = &l
		}
		c.apps[id] = &x
	}
	return c
}
