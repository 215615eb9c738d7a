//go:build unix

package player_test

import (
	"errors"
	"testing"
	"time"

	"leasehold/internal/agent"
	"leasehold/internal/agent/player"
	"leasehold/internal/control"
	"leasehold/internal/servertest"
	"leasehold/internal/wire"
)

// A command has the state folder for a moment while no player runs. A player that starts
// just then waits for it; one that finds another player there says so.
func TestOpenWithin(t *testing.T) {
	s := servertest.New(t, control.Config{})
	s.Serve(nil)
	dir := t.TempDir()
	if _, err := agent.Enrol(t.Context(), dir, s.URL, s.EnrolmentKey(), "LAB-1", "test", wire.Player); err != nil {
		t.Fatal(err)
	}
	cfg := player.Config{Dir: dir, Guard: func(string) []string { return nil }}
	first, err := player.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := player.OpenWithin(t.Context(), cfg, 100*time.Millisecond); !errors.Is(err, agent.ErrLocked) {
		t.Fatalf("a second player: %v", err)
	}
	time.AfterFunc(200*time.Millisecond, func() { first.Close() })
	second, err := player.OpenWithin(t.Context(), cfg, 20*time.Second)
	if err != nil {
		t.Fatalf("once the first has gone: %v", err)
	}
	second.Close()
}
