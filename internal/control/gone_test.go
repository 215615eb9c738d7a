package control_test

import (
	"net/url"
	"testing"
	"time"

	"leasehold/internal/catalog"
	"leasehold/internal/control"
	"leasehold/internal/servertest"
	"leasehold/internal/session"
	"leasehold/internal/wire"
)

// An agent that is still adding an app whose session is gone is told to remove it: else it
// would list the session, and try, for ever.
func TestGoneWhileAdding(t *testing.T) {
	s := servertest.New(t, control.Config{})
	app, _ := s.App("App", servertest.Terms{Packages: []catalog.Package{{Type: catalog.Command, Command: []string{"app"}}}})
	ctx := t.Context()
	e, err := s.Control.Enrol(ctx, &wire.Enrol{V: 1, Key: s.EnrolmentKey(), Kind: wire.Player, Name: "LAB-1", OS: "linux", Arch: "amd64"}, "")
	if err != nil {
		t.Fatal(err)
	}
	l := s.Launch(app.ID)
	u, err := url.Parse(l.Link)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Control.Redeem(ctx, e.AgentID, &wire.Redeem{V: 1, Ticket: u.Query().Get("ticket")}, ""); err != nil {
		t.Fatal(err)
	}
	id := l.Session.ID
	d := servertest.Direct{Control: s.Control, Agent: e.AgentID}
	if _, err := d.CheckIn(ctx, &wire.CheckIn{V: 1, Number: 1, Epoch: 1, Complete: true, Observations: []wire.Observation{
		{Seq: 1, Session: id, Type: session.ObsAdded, At: time.Now()},
		{Seq: 2, Session: id, Type: session.ObsRemoved, At: time.Now()},
	}}); err != nil {
		t.Fatal(err)
	}
	a, err := d.CheckIn(ctx, &wire.CheckIn{V: 1, Number: 2, Epoch: 1, Complete: true, Sessions: []wire.SessionState{{Session: id, State: session.IsAbsent}}})
	if err != nil {
		t.Fatal(err)
	}
	if len(a.Directives) != 1 || a.Directives[0].Type != wire.DirRemove || a.Directives[0].Session != id {
		t.Errorf("directives %+v", a.Directives)
	}
}
