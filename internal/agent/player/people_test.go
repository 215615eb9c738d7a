//go:build unix

package player_test

import (
	"errors"
	"testing"

	"leasehold/internal/agent/player"
	"leasehold/internal/control"
	"leasehold/internal/directory"
	"leasehold/internal/session"
	"leasehold/internal/wire"
)

// accepted accepts whoever made a link.
func accepted(wire.Person, string) (bool, error) { return true, nil }

// A link that somebody else made, opened once, does not let its maker push launches to the
// device: its user is asked first, and can forget people.
func TestStrangersAreAskedAbout(t *testing.T) {
	t.Parallel()
	s, app, _ := organisation(t)
	d := enrol(t, s)
	d.start()
	ctx := t.Context()
	launch(t, s, d, app.ID)

	mallory := &directory.User{Username: "mallory", Name: "Mal Ory", Role: directory.RoleUser, Status: directory.Active}
	if err := s.Control.CreateUser(ctx, s.Admin, mallory, "a good password"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Control.UpdateProvision(ctx, s.Admin, 1, control.Ending{}, func(p *directory.Provision) error {
		p.UserIDs = append(p.UserIDs, mallory.ID)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	who := control.WhoIs(mallory, "test")
	device := s.Session(1).AgentID
	push := func() error {
		_, err := s.Control.Launch(ctx, who, app.ID, device)
		return err
	}
	l, err := s.Control.Launch(ctx, who, app.ID, 0)
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	open := func(answer bool) (*player.Launched, error) {
		return player.LaunchLink(ctx, d.dir, l.Link, func(p wire.Person, name string) (bool, error) {
			asked++
			if p.Username != "mallory" || p.Name != "Mal Ory" || name != app.Name {
				t.Errorf("asked about %+v and %q", p, name)
			}
			return answer, nil
		})
	}
	if _, err := open(false); !errors.Is(err, player.ErrNotAccepted) || asked != 1 {
		t.Fatalf("refused: %v, asked %d times", err, asked)
	}
	if got := s.Session(l.Session.ID); got.AgentID != 0 || got.Status != session.Launched {
		t.Errorf("refused, and the session is %s on device %d", got.Status, got.AgentID)
	}
	if push() == nil {
		t.Error("a refused person pushes launches")
	}
	if got, err := open(true); err != nil || asked != 2 || !got.New {
		t.Fatalf("accepted: %+v, %v, asked %d times", got, err, asked)
	}
	if err := push(); err != nil {
		t.Errorf("an accepted person's launch: %v", err)
	}
	// Known people are not asked about again.
	if l, err = s.Control.Launch(ctx, who, app.ID, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := open(false); err != nil || asked != 2 {
		t.Errorf("known: %v, asked %d times", err, asked)
	}
	if list, err := player.People(ctx, d.dir); err != nil || len(list) != 2 || list[1].Username != "mallory" {
		t.Errorf("people %+v, %v", list, err)
	}
	if err := player.ForgetPerson(ctx, d.dir, "MALLORY"); err != nil {
		t.Fatal(err)
	}
	if push() == nil {
		t.Error("a forgotten person pushes launches")
	}
	if err := player.ForgetPerson(ctx, d.dir, "mallory"); !errors.Is(err, player.ErrNobody) {
		t.Errorf("forgotten twice: %v", err)
	}
	if l, err = s.Control.Launch(ctx, who, app.ID, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := open(false); !errors.Is(err, player.ErrNotAccepted) || asked != 3 {
		t.Errorf("forgotten: %v, asked %d times", err, asked)
	}
}
