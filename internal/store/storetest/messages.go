package storetest

import (
	"fmt"
	"testing"
	"time"

	"leasehold/internal/session"
	"leasehold/internal/store"
)

// testMessages: what was said and what was shown is kept with the session, and goes with it.
func testMessages(t *testing.T, e *env) {
	f := e.fixture()
	s, other := e.launch(f, 0, true), e.launch(f, 0, true)
	if !e.grant(s.ID, 0, time.Minute) {
		t.Fatal("no lease")
	}
	olga := session.Actor{Role: session.Admin, Name: "olga"}
	said := e.clock.Now()
	for i := range 3 {
		e.change(s.ID, func(tx store.Tx, s *session.Session) {
			if err := s.Act(session.Tell, olga, fmt.Sprintf("“%d” über\nzwei Zeilen", i+1), tx.LeaseNow(), 0); err != nil {
				t.Error(err)
			}
		})
	}
	e.clock.Step(time.Second)
	shown := e.clock.Now()
	e.change(s.ID, func(tx store.Tx, s *session.Session) {
		s.Observe(session.Observation{Type: session.ObsTold, UpTo: 2, At: shown}, byAgent)
	})
	if s := e.get(s.ID); s.Said != 3 || s.Told != 2 {
		t.Errorf("stored and read: %+v", s)
	}
	e.view(func(tx store.Tx) error {
		want := []session.Message{}
		for i := range 3 {
			m := session.Message{N: uint32(i + 1), By: olga, Text: fmt.Sprintf("“%d” über\nzwei Zeilen", i+1), At: said}
			if i < 2 {
				m.ShownAt = shown
			}
			want = append(want, m)
		}
		same(t, "kept", must[[]session.Message](t)(tx.Messages(s.ID)), want)
		same(t, "of another", len(must[[]session.Message](t)(tx.Messages(other.ID))), 0)
		return nil
	})
	e.change(s.ID, func(tx store.Tx, s *session.Session) { s.Delete(tx.WallNow()) })
	e.update(func(tx store.Tx) error {
		if err := tx.ForgetSession(s.ID); err != nil {
			return err
		}
		same(t, "with its history", len(must[[]session.Message](t)(tx.Messages(s.ID))), 0)
		return nil
	})
}
