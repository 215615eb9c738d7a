package server_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"leasehold/internal/session"
	"leasehold/internal/store"
)

// TestActionsHaveRoutes: in whatever status a session is, each action that the API lists for
// it has a route, which takes it; each other one is refused as not applying; and a batch, and
// the API's own description, know the same actions.
func TestActionsHaveRoutes(t *testing.T) {
	r := newRig(t)
	app, _ := r.app("ann")
	var l launched
	r.want(201, &l, "POST", "/api/v1/launches", r.signIn("ann", password), map[string]any{"app_id": app})
	make := func(kind session.Kind, status session.Status, state session.State) (id int64) {
		t.Helper()
		if err := r.s.Store.Update(t.Context(), func(tx store.Tx) error {
			s, err := tx.Session(l.Session.ID)
			if err != nil {
				return err
			}
			s = store.Clone(s)
			s.ID, s.Kind, s.Status, s.Observed = 0, kind, status, state
			if status.Ended() {
				s.EndedAt = tx.WallNow()
			}
			err = tx.CreateSession(s)
			id = s.ID
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return id
	}
	listed := map[session.Action]int{}
	for _, kind := range []session.Kind{session.Device, session.Stream} {
		for _, status := range session.Statuses(kind) {
			for _, state := range []session.State{session.IsRunning, session.IsIdle, session.IsAbsent} {
				var shown struct{ Actions []session.Action }
				r.want(200, &shown, "GET", fmt.Sprintf("/api/v1/sessions/%d", make(kind, status, state)), r.token, nil)
				for _, a := range append(slices.Clone(session.Actions), shown.Actions...) {
					id := make(kind, status, state) // as an action changes it
					applies := slices.Contains(shown.Actions, a)
					var b batch
					r.want(200, &b, "POST", "/api/v1/sessions/batch", r.token, map[string]any{"action": a, "ids": []int64{id}, "dry_run": true})
					code, _, body := r.do("POST", fmt.Sprintf("/api/v1/sessions/%d/%s", id, a), r.token, map[string]any{"reason": "why"})
					if want := map[bool]int{true: 200, false: 409}[applies]; code != want || (b.Applied == 1) != applies {
						t.Errorf("%s of a %s that is %s, %s: %d, want %d, and a batch applies it to %d: %s", a, kind, status, state, code, want, b.Applied, body)
					}
					if applies {
						listed[a]++
					}
				}
			}
		}
	}
	for _, a := range session.Actions {
		if listed[a] == 0 {
			t.Errorf("%s is never listed", a)
		}
	}
	var cancelled struct {
		Status string
		Reason string `json:"status_reason"`
	}
	r.want(200, &cancelled, "POST", fmt.Sprintf("/api/v1/sessions/%d/cancel", make(session.Stream, session.Starting, session.IsAbsent)), r.token, map[string]any{"reason": "Not today"})
	if cancelled.Status != string(session.Killed) || !strings.Contains(cancelled.Reason, "Not today") {
		t.Errorf("cancelled: %+v", cancelled)
	}
	var doc map[string]any
	r.want(200, &doc, "GET", "/api/v1/openapi.json", "", nil)
	text, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range append([]session.Action{session.Tell}, session.Actions...) {
		if !strings.Contains(string(text), `"/sessions/{id}/`+string(a)+`"`) {
			t.Errorf("the description has no %s", a)
		}
	}
	r.field("action", "POST", "/api/v1/sessions/batch", map[string]any{"action": "dance", "ids": []int64{1}})
}
