package player

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"leasehold/internal/agent"
	"leasehold/internal/agent/localsocket"
	"leasehold/internal/fold"
	"leasehold/internal/wire"
)

// socketFile is where a running player takes the user's commands.
const socketFile = "player.sock"

// ErrNoPlayer: no player runs on this state folder.
var ErrNoPlayer = errors.New("the player is not running; start it with: leasehold player run")

// answerWithin bounds a command; a launch asks the server meanwhile.
const answerWithin = redeemWithin + 5*time.Second

// request is a command to the running player.
type request struct {
	Op      string `json:"op"` // launch, list, page, start, return, remove, upgrade, later
	Link    string `json:"link,omitempty"`
	Accept  bool   `json:"accept,omitempty"` // whoever made the link, though new to this device
	Session int64  `json:"session,omitempty"`
}

type response struct {
	Error    string    `json:"error,omitempty"`
	Launched *Launched `json:"launched,omitempty"`
	List     *List     `json:"list,omitempty"`
	Page     string    `json:"page,omitempty"` // address that opens the page, once
}

// List is what is on this device.
type List struct {
	Device  string `json:"device"`
	Server  string `json:"server"`
	Running bool   `json:"running"` // a player runs; else the rest is as it was last written
	// Link is how the player gets on with its server; null when none runs.
	Link     *agent.Link  `json:"link"`
	Sessions []agent.Info `json:"sessions"`
}

func listen(dir string) (net.Listener, error) {
	// We hold the folder's lock, so a socket that is there is left from a crash.
	if err := os.Remove(filepath.Join(dir, socketFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return localsocket.Listen(dir, socketFile)
}

// serve answers commands until the listener is closed.
func (p *Player) serve(ctx context.Context, l net.Listener) {
	var open sync.WaitGroup
	defer open.Wait()
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		open.Go(func() {
			defer conn.Close()
			defer context.AfterFunc(ctx, func() { conn.Close() })()
			conn.SetDeadline(time.Now().Add(answerWithin))
			var q request
			if err := json.NewDecoder(conn).Decode(&q); err != nil {
				return
			}
			resp, err := p.command(ctx, q)
			if err != nil {
				resp.Error = err.Error()
			}
			if err := json.NewEncoder(conn).Encode(resp); err != nil {
				p.log.Debug("answer to a command", "op", q.Op, "err", err)
			}
		})
	}
}

func (p *Player) command(ctx context.Context, q request) (response, error) {
	var err error
	switch q.Op {
	case "launch":
		l, err := p.Launch(ctx, q.Link, q.Accept)
		return response{Launched: l}, err
	case "list":
		return response{List: p.List()}, nil
	case "page":
		address, err := p.pageAddress()
		return response{Page: address}, err
	default:
		if err = p.act(ctx, q.Op, q.Session); err != nil {
			err = fmt.Errorf("session %d: %w", q.Session, err)
		}
	}
	return response{}, err
}

// act does what the user wants of a session.
func (p *Player) act(_ context.Context, op string, session int64) error {
	switch op {
	case "start":
		return p.agent.Start(session)
	case "return":
		return p.agent.Return(session)
	case "remove":
		return p.agent.Remove(session)
	case "upgrade":
		return p.agent.Upgrade(session)
	case "later":
		return p.agent.PutOff(session)
	}
	return fmt.Errorf("this player does not know the command %q", op)
}

// List lists what is on this device.
func (p *Player) List() *List {
	id := p.agent.Identity()
	sessions, link := p.agent.List()
	return &List{Device: id.Name, Server: id.Server, Running: true, Link: &link, Sessions: sessions}
}

// ask sends a command to the player that runs on a state folder. The error is ErrNoPlayer
// if none does.
func ask(ctx context.Context, dir string, q request) (*response, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	conn, err := localsocket.Dial(ctx, dir, socketFile)
	if err != nil {
		if _, err := agent.ReadIdentity(dir); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("%w --state %s", ErrNoPlayer, dir)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if err := json.NewEncoder(conn).Encode(q); err != nil {
		return nil, fmt.Errorf("player: %w", err)
	}
	var r response
	if err := json.NewDecoder(conn).Decode(&r); err != nil {
		return nil, fmt.Errorf("player: the running player hung up: %w", err)
	}
	if r.Error != "" {
		return nil, errors.New(r.Error)
	}
	return &r, nil
}

// LaunchLink has the player of a state folder launch a link. If none runs, the link is
// redeemed here and its app is added when a player runs. If whoever made the link has not
// used this device before, accept is asked; ErrNotAccepted is returned if it says no.
func LaunchLink(ctx context.Context, dir, link string, accept func(who wire.Person, app string) (bool, error)) (*Launched, error) {
	l, err := launchLink(ctx, dir, link, false)
	if err != nil || l.Stranger == nil {
		return l, err
	}
	yes, err := accept(*l.Stranger, l.App)
	if err != nil {
		return nil, err
	}
	if !yes {
		return nil, ErrNotAccepted
	}
	return launchLink(ctx, dir, link, true)
}

// ErrNotAccepted: whoever made a link was not accepted on this device.
var ErrNotAccepted = errors.New("nothing was done: whoever made the link was not accepted on this device")

func launchLink(ctx context.Context, dir, link string, accept bool) (*Launched, error) {
	var p *Player
	for patience := time.Now().Add(10 * time.Second); ; {
		r, err := ask(ctx, dir, request{Op: "launch", Link: link, Accept: accept})
		if err == nil {
			return r.Launched, nil
		}
		if !errors.Is(err, ErrNoPlayer) {
			return nil, err
		}
		p, err = Open(Config{Dir: dir, Guard: func(string) []string { return nil }})
		if err == nil {
			break
		}
		// A player that is just starting has the folder before it answers.
		if !errors.Is(err, agent.ErrLocked) || time.Now().After(patience) {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	defer p.Close()
	l, err := p.Launch(ctx, link, accept)
	if l != nil {
		l.Waits = true
	}
	return l, err
}

// ListSessions lists what is on the device of a state folder.
func ListSessions(ctx context.Context, dir string) (*List, error) {
	r, err := ask(ctx, dir, request{Op: "list"})
	if err == nil {
		return r.List, nil
	}
	if !errors.Is(err, ErrNoPlayer) {
		return nil, err
	}
	id, err := agent.ReadIdentity(dir)
	if err != nil {
		return nil, err
	}
	l := &List{Device: id.Name, Server: id.Server}
	l.Sessions, err = agent.Peek(dir)
	return l, err
}

// client speaks to the server of a state folder, whether a player runs there or not.
func client(dir string) (*agent.Client, error) {
	id, err := agent.ReadIdentity(dir)
	if err != nil {
		return nil, err
	}
	return agent.NewClient(id.Server, id.Credential)
}

// People lists who uses the device of a state folder, and may send launches to it.
func People(ctx context.Context, dir string) ([]wire.Person, error) {
	c, err := client(dir)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	list, err := c.People(ctx)
	if err != nil {
		return nil, err
	}
	return list.People, nil
}

// ErrNobody: nobody of that user name uses the device.
var ErrNobody = errors.New("does not use this device; see: leasehold player people")

// ForgetPerson has the server send no more launches of a person to the device. Their apps on
// it stay until they are removed. The error is ErrNobody for one who does not use it.
func ForgetPerson(ctx context.Context, dir, username string) error {
	c, err := client(dir)
	if err != nil {
		return err
	}
	defer c.Close()
	list, err := c.People(ctx)
	if err != nil {
		return err
	}
	for _, p := range list.People {
		if fold.Fold(p.Username) == fold.Fold(username) {
			_, err := c.Forget(ctx, p.ID)
			return err
		}
	}
	return fmt.Errorf("%q %w", username, ErrNobody)
}

// StartSession has the running player start a session's app.
func StartSession(ctx context.Context, dir string, session int64) error {
	_, err := ask(ctx, dir, request{Op: "start", Session: session})
	return err
}

// ReturnLease has the running player give a session's lease back.
func ReturnLease(ctx context.Context, dir string, session int64) error {
	_, err := ask(ctx, dir, request{Op: "return", Session: session})
	return err
}

// RemoveSession has the running player remove a session's app from the device.
func RemoveSession(ctx context.Context, dir string, session int64) error {
	_, err := ask(ctx, dir, request{Op: "remove", Session: session})
	return err
}

// UpgradeSession has the running player bring a session's app to the newer version that was
// put off or could not be added.
func UpgradeSession(ctx context.Context, dir string, session int64) error {
	_, err := ask(ctx, dir, request{Op: "upgrade", Session: session})
	return err
}

// PutOffUpgrade has the running player leave a session's app at its version for a day.
func PutOffUpgrade(ctx context.Context, dir string, session int64) error {
	_, err := ask(ctx, dir, request{Op: "later", Session: session})
	return err
}
