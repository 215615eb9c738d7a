package agent_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"leasehold/internal/agent"
	"leasehold/internal/session"
)

// heard collects the messages that a user was shown.
type heard struct {
	mu    sync.Mutex
	texts []string
}

func (h *heard) notify(n agent.Notice) {
	if n.From != "" {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.texts = append(h.texts, n.From+": "+n.Text)
	}
}

func (h *heard) want(t *testing.T, want ...string) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if !slices.Equal(h.texts, want) {
		t.Errorf("the user was shown %q, want %q", h.texts, want)
	}
}

func (w *world) shown(id int64) (n int) {
	w.t.Helper()
	d, err := w.Control.Session(context.Background(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, m := range d.Messages {
		if !m.ShownAt.IsZero() {
			n++
		}
	}
	return n
}

// A message is shown once, whatever becomes of the messages between agent and server, and
// not at all once the app has ended.
func TestMessage(t *testing.T) {
	inWorld(t, floating, func(w *world) {
		var user heard
		w.notify = user.notify
		w.end()
		w.start()
		by := w.Admin.Username
		id := w.launch()
		w.pass(10 * time.Second)
		w.net.set(func() { w.net.loseAnswers, w.net.twice = 2, true })
		w.Act(id, session.Tell, "The licence server\nstops at five.")
		w.pass(3 * time.Minute)
		w.Act(id, session.Tell, "And starts at six.")
		w.pass(time.Second)
		first := []string{by + ": The licence server\nstops at five.", by + ": And starts at six."}
		user.want(t, first...)
		if n := w.shown(id); n != 2 {
			t.Errorf("%d are reported", n)
		}
		if s := w.want(id, session.Running); s.Order != nil {
			t.Errorf("order %+v", s.Order)
		}

		if m := w.info(id).Message; m == nil || m.Text != "And starts at six." {
			t.Errorf("the player's page has %+v", m)
		}

		// Neither a new start of the agent nor a lost journal shows it again.
		w.end()
		w.start()
		w.pass(time.Minute)
		user.want(t, first...)

		// Offline it waits, and is dropped if the app ends before.
		w.net.set(func() { w.net.down = true })
		w.Act(id, session.Tell, "Too late.")
		w.run(id, 1).Exit(0)
		w.pass(time.Second)
		if m := w.info(id).Message; m != nil {
			t.Errorf("after the run the player's page has %+v", m)
		}
		w.net.set(func() { w.net.down = false })
		w.pass(2 * time.Minute)
		var refused *session.RefusedError
		if _, err := w.Control.Act(context.Background(), w.Admin, id, session.Tell, "x"); !errors.As(err, &refused) {
			t.Errorf("to a stopped app: %v", err)
		}
		if err := w.agent.Start(id); err != nil {
			t.Fatal(err)
		}
		w.pass(2 * time.Minute)
		w.want(id, session.Running)
		user.want(t, first...)
		if n := w.shown(id); n != 2 {
			t.Errorf("%d are reported", n)
		}
	})
}

// An agent killed between showing a message and noting it shows it again: better twice
// than never.
func TestMessageAndCrash(t *testing.T) {
	inWorld(t, floating, func(w *world) {
		var user heard
		w.notify = user.notify
		w.end()
		w.start()
		id := w.launch()
		w.pass(10 * time.Second)
		killed := errors.New("killed")
		user.mu.Lock()
		w.hook = func(string) error {
			user.mu.Lock()
			defer user.mu.Unlock()
			if len(user.texts) == 1 {
				return killed
			}
			return nil
		}
		user.mu.Unlock()
		w.end()
		w.start()
		w.Act(id, session.Tell, "Save now.")
		w.pass(5 * time.Second)
		w.hook = nil
		w.end()
		if n := w.shown(id); n != 0 {
			t.Errorf("%d are reported", n)
		}
		w.start()
		w.pass(time.Minute)
		text := w.Admin.Username + ": Save now."
		user.want(t, text, text)
		if n := w.shown(id); n != 1 {
			t.Errorf("%d are reported", n)
		}
	})
}
