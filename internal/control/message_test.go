package control_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"leasehold/internal/catalog"
	"leasehold/internal/control"
	"leasehold/internal/invalid"
	"leasehold/internal/servertest"
	"leasehold/internal/session"
	"leasehold/internal/store"
)

// TestMessageToAStream: it waits on the viewer's page until that has shown it, nobody but
// the session's user sees it, and the host hears nothing of it.
func TestMessageToAStream(t *testing.T) {
	each(t, func(t *testing.T, s *stepped) {
		app := s.streamed("App", servertest.Terms{}, catalog.StreamSettings{ReconnectSeconds: 60})
		h := s.host("one", 4)
		l, err := s.Control.Launch(t.Context(), s.User, app, 0)
		if err != nil {
			t.Fatal(err)
		}
		id := l.Session.ID
		var bad invalid.Error
		for _, text := range []string{"", "  ", strings.Repeat("x", 501), "a\x00b"} {
			if _, err := s.Control.Act(t.Context(), s.Admin, id, session.Tell, text); !errors.As(err, &bad) || bad[0].Name != "text" {
				t.Errorf("%q: %v", text, err)
			}
		}
		var refused *session.RefusedError
		if _, err := s.Control.Act(t.Context(), s.Admin, id, session.Tell, "hello"); !errors.As(err, &refused) {
			t.Errorf("to one that is starting: %v", err)
		}
		h.up(id)
		for _, text := range []string{"first", " second "} {
			s.Act(id, session.Tell, text)
		}
		waiting := func(want ...string) {
			t.Helper()
			v, err := s.Control.Stream(t.Context(), s.User, id)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, m := range v.Messages {
				got = append(got, m.Text)
			}
			if strings.Join(got, "|") != strings.Join(want, "|") {
				t.Errorf("to be shown: %q, want %q", got, want)
			}
		}
		waiting("first", "second")
		if err := s.Control.Shown(t.Context(), s.Admin, id, 2); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("by another: %v", err)
		}
		for _, n := range []uint32{1, 1, 0} {
			if err := s.Control.Shown(t.Context(), s.User, id, n); err != nil {
				t.Fatal(err)
			}
			waiting("second")
		}
		h.say()
		for _, d := range h.got.Directives {
			t.Errorf("the host is told to %s", d.Type)
		}
		// It ends with what was not shown.
		s.Act(id, session.Kill, "")
		waiting()
		d, err := s.Control.Session(t.Context(), id)
		if err != nil || len(d.Messages) != 2 || d.Messages[0].ShownAt.IsZero() || !d.Messages[1].ShownAt.IsZero() || d.Messages[1].By.Name != s.Admin.Username {
			t.Errorf("%v, kept: %+v", err, d.Messages)
		}
		audit, _, err := s.Control.Audit(t.Context(), store.AuditQuery{Action: "session.message", Page: store.Page{Size: 10}})
		if err != nil || len(audit) != 2 || audit[0].Reason != "second" {
			t.Errorf("%v, audited: %+v", err, audit)
		}
	})
}

// TestMessageToMany: a batch shows its text to everybody whose app is open, and to nobody
// without a text.
func TestMessageToMany(t *testing.T) {
	each(t, func(t *testing.T, s *stepped) {
		app := s.streamed("App", servertest.Terms{}, catalog.StreamSettings{ReconnectSeconds: 60})
		h := s.host("one", 8)
		var ids []int64
		for range 3 {
			l, err := s.Control.Launch(t.Context(), s.User, app, 0)
			if err != nil {
				t.Fatal(err)
			}
			h.up(l.Session.ID)
			ids = append(ids, l.Session.ID)
			s.step(time.Second)
		}
		s.Act(ids[0], session.Kill, "")
		b, err := s.Control.Preview(t.Context(), s.Admin, control.BatchRequest{Action: session.Tell, IDs: ids})
		if err != nil || b.WillAffect() != 2 {
			t.Fatalf("%v, %+v", err, b)
		}
		var bad invalid.Error
		if _, err := s.Control.RunBatch(t.Context(), s.Admin, b.ID, " "); !errors.As(err, &bad) || bad[0].Name != "text" {
			t.Errorf("without a text: %v", err)
		}
		b, err = s.Control.RunBatch(t.Context(), s.Admin, b.ID, "The exam begins.")
		if err != nil || b.Applied != 2 || b.Skipped != 1 {
			t.Fatalf("%v, %+v", err, b)
		}
		for i, id := range ids {
			d, err := s.Control.Session(t.Context(), id)
			if err != nil || (len(d.Messages) == 1) != (i > 0) {
				t.Errorf("%v, session %d of three: %+v", err, i, d.Messages)
			}
		}
	})
}
