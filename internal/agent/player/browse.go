package player

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"time"

	"leasehold/internal/agent"
	"leasehold/internal/agent/player/page"
)

// pageAddress returns an address that opens the player's page, once. The page is served
// from the first time on that somebody wants it.
func (p *Player) pageAddress() (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ending {
		return "", agent.ErrStopping
	}
	if p.page == nil {
		s, err := page.Listen(page.Config{State: p.state, Do: p.act, Log: p.log})
		if err != nil {
			return "", err
		}
		p.page = s
		p.pages.Go(s.Serve)
	}
	return p.page.Address(), nil
}

func (p *Player) state() page.State {
	l := p.List()
	return page.State{Device: l.Device, Server: l.Server, Link: *l.Link, Sessions: l.Sessions, Now: time.Now()}
}

func (p *Player) closePage() {
	p.mu.Lock()
	p.ending = true
	s := p.page
	p.mu.Unlock()
	if s != nil {
		if err := s.Close(); err != nil {
			p.log.Debug("the player's page", "err", err)
		}
	}
	p.pages.Wait()
}

// PageAddress returns an address that opens the page of the player that runs on a state
// folder, once and for a few minutes.
func PageAddress(ctx context.Context, dir string) (string, error) {
	r, err := ask(ctx, dir, request{Op: "page"})
	if err != nil {
		return "", err
	}
	return r.Page, nil
}

// ErrNoBrowser: there is no desktop to open a page on.
var ErrNoBrowser = errors.New("there is no desktop to open a browser on")

// Browse opens an address in the user's browser. The error is ErrNoBrowser where there is
// none.
func Browse(ctx context.Context, address string) error {
	if !desktop() {
		return ErrNoBrowser
	}
	name, args := "xdg-open", []string{address}
	switch runtime.GOOS {
	case "windows":
		name, args = "rundll32.exe", []string{"url.dll,FileProtocolHandler", address}
	case "darwin":
		name = "open"
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoBrowser, err)
	}
	cmd := exec.Command(path, args...) // not ended with ctx: some desktops run the browser in it
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("player: open a browser: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			return fmt.Errorf("player: open a browser: %w", err)
		}
	case <-time.After(browserWithin):
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// browserWithin is how long a browser is given to fail.
const browserWithin = 3 * time.Second
