package server_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"leasehold/internal/wire"
)

type batch struct {
	ID             int64
	State          string
	Total, Applied int
	Skipped        []struct {
		ID             int64
		Status, Reason string
	}
	SkippedCount int            `json:"skipped_count"`
	ByApp        map[string]int `json:"by_app"`
}

// added launches an app and has a device add it.
func (r *rig) added(agent, user string, app int64) int64 {
	r.t.Helper()
	var l launched
	r.want(201, &l, "POST", "/api/v1/launches", user, map[string]any{"app_id": app})
	r.want(200, nil, "POST", wire.PathRedeem, agent, wire.Redeem{V: 1, Ticket: l.ticket()})
	return l.Session.ID
}

// TestBatchAPI: a dry run says what would be done and does nothing; the run does exactly
// that, of a few rows at once and of many beside.
func TestBatchAPI(t *testing.T) {
	r := newRig(t)
	app, userID := r.app("ann")
	ann := r.signIn("ann", password)
	agent := r.agent(wire.Player)
	added := r.added(agent, ann, app)
	r.want(200, nil, "POST", wire.PathCheckIn, agent, map[string]any{"v": 1, "number": 1, "epoch": 1, "complete": true,
		"sessions": []any{map[string]any{"session": added, "state": "idle"}}})
	var waits launched
	r.want(201, &waits, "POST", "/api/v1/launches", ann, map[string]any{"app_id": app})
	status := func(id int64) (s struct{ Status string }) {
		r.want(200, &s, "GET", fmt.Sprintf("/api/v1/sessions/%d", id), r.token, nil)
		return s
	}

	var b batch
	r.want(200, &b, "POST", "/api/v1/sessions/batch", r.token, map[string]any{"action": "expire", "ids": []int64{added, waits.Session.ID, 999}, "dry_run": true})
	if b.Applied != 1 || len(b.Skipped) != 2 || b.SkippedCount != 2 || b.ByApp["App of ann"] != 1 || b.State != "preview" || status(added).Status != "added" {
		t.Fatalf("dry run: %+v; the session is %s", b, status(added).Status)
	}
	for _, s := range b.Skipped {
		if s.Reason == "" {
			t.Errorf("%d is skipped without a reason", s.ID)
		}
	}
	r.want(200, &b, "POST", fmt.Sprintf("/api/v1/batches/%d/run", b.ID), r.token, map[string]string{"reason": "End of term"})
	if b.State != "done" || b.Applied != 1 || status(added).Status != "expired" || status(waits.Session.ID).Status != "launched" {
		t.Fatalf("run: %+v", b)
	}
	var results struct {
		Results []struct {
			ID              int64
			Outcome, Reason string
		}
		Next string `json:"next_page_token"`
	}
	r.want(200, &results, "GET", fmt.Sprintf("/api/v1/batches/%d/results?page_size=2", b.ID), r.token, nil)
	if len(results.Results) != 2 || results.Results[0].Outcome != "applied" || results.Next == "" {
		t.Fatalf("results: %+v", results)
	}
	r.want(200, &results, "GET", fmt.Sprintf("/api/v1/batches/%d/results?page_size=2&page_token=%s", b.ID, results.Next), r.token, nil)
	if len(results.Results) != 1 || results.Results[0].ID != 999 || results.Next != "" {
		t.Fatalf("the rest: %+v", results)
	}

	for range 1001 {
		r.want(201, nil, "POST", "/api/v1/launches", ann, map[string]any{"app_id": app})
	}
	r.want(202, &b, "POST", "/api/v1/sessions/batch", r.token, map[string]any{"action": "evict", "filter": map[string]any{"status": []string{"launched"}, "user_id": userID}})
	if b.Total != 1002 {
		t.Fatalf("many: %+v", b)
	}

	for field, body := range map[string]any{
		"action":                map[string]any{"action": "close", "ids": []int64{1}},
		"ids":                   map[string]any{"action": "evict"},
		"filter.from":           map[string]any{"action": "evict", "filter": map[string]any{"from": "yesterday"}},
		"filter.colour":         map[string]any{"action": "evict", "filter": map[string]any{"colour": "red"}},
		"filter.status":         map[string]any{"action": "evict", "filter": map[string]any{"status": []string{"asleep"}}},
		"dry_run":               map[string]any{"action": "evict", "ids": []int64{1}, "dry_run": "perhaps"},
		"reason":                map[string]any{"action": "evict", "ids": []int64{1}, "reason": strings.Repeat("x", 501)},
		"filter.user_id":        map[string]any{"action": "evict", "filter": map[string]any{"user_id": -1}},
		"filter.silent_seconds": map[string]any{"action": "evict", "filter": map[string]any{"silent_seconds": -1}},
	} {
		r.field(field, "POST", "/api/v1/sessions/batch", body)
	}
	r.want(403, nil, "POST", "/api/v1/sessions/batch", ann, map[string]any{"action": "evict", "ids": []int64{1}})
	r.want(404, nil, "GET", "/api/v1/batches/999", r.token, nil)
}

// field expects a call to be refused because of one field.
func (r *rig) field(field, method, path string, body any) {
	r.t.Helper()
	code, _, b := r.do(method, path, r.token, body)
	var p struct{ Errors []struct{ Field string } }
	if err := json.Unmarshal(b, &p); err != nil || code != 422 || len(p.Errors) == 0 || p.Errors[0].Field != field {
		r.t.Errorf("%s %s: %d %s, want the field %s", method, path, code, b, field)
	}
}

// TestHousekeepingAPI: settings, a dry run, a run, and what the API tells of a session's
// future.
func TestHousekeepingAPI(t *testing.T) {
	r := newRig(t)
	app, userID := r.app("ann")
	ann := r.signIn("ann", password)
	id := r.added(r.agent(wire.Player), ann, app)
	var set struct {
		Hour int `json:"housekeeping_hour"`
		Days int `json:"stopped_days"`
	}
	r.want(200, &set, "PATCH", "/api/v1/settings", r.token, map[string]any{"housekeeping_hour": 4})
	if set.Hour != 4 || set.Days != 30 {
		t.Errorf("settings %+v", set)
	}
	for field, v := range map[string]any{"housekeeping_hour": 24, "time_zone": "Atlantis", "stopped_days": 0, "force_seconds": -1, "colour": 1} {
		r.field(field, "PATCH", "/api/v1/settings", map[string]any{field: v})
	}
	var h struct {
		DryRun  bool           `json:"dry_run"`
		Deleted int            `json:"deleted"`
		Expired map[string]int `json:"expired"`
	}
	r.want(200, &h, "POST", "/api/v1/housekeeping/run", r.token, map[string]any{"dry_run": true})
	if !h.DryRun || h.Deleted != 0 || h.Expired == nil {
		t.Errorf("dry run %+v", h)
	}
	r.want(200, &h, "POST", "/api/v1/housekeeping/run", r.token, nil)
	if h.DryRun {
		t.Errorf("run %+v", h)
	}
	r.want(403, nil, "POST", "/api/v1/housekeeping/run", ann, nil)
	var log struct{ Audit []struct{ Action string } }
	r.want(200, &log, "GET", "/api/v1/audit?action=housekeeping.run", r.token, nil)
	if len(log.Audit) != 1 {
		t.Errorf("audit %+v", log)
	}
	var next struct{ Outlook []struct{ What, Who string } }
	r.want(200, &next, "GET", fmt.Sprintf("/api/v1/sessions/%d/outlook", id), r.token, nil)
	if len(next.Outlook) < 2 || next.Outlook[0].What == "" || next.Outlook[0].Who == "" {
		t.Errorf("outlook %+v", next)
	}
	var use struct {
		Taken   int
		Holders []any
		Denials []any
	}
	r.want(200, &use, "GET", "/api/v1/delivery-methods/1/use", r.token, nil)
	if use.Taken != 0 || use.Holders == nil || use.Denials == nil {
		t.Errorf("use %+v", use)
	}
	var revoked struct {
		DryRun     bool  `json:"dry_run"`
		Provisions []any `json:"provisions"`
		Sessions   []struct{ Action string }
	}
	path := fmt.Sprintf("/api/v1/users/%d/revoke-access", userID)
	r.want(200, &revoked, "POST", path, r.token, map[string]any{"app_id": app, "dry_run": true})
	if !revoked.DryRun || len(revoked.Provisions) != 1 || len(revoked.Sessions) != 1 || revoked.Sessions[0].Action != "expire" {
		t.Errorf("preview %+v", revoked)
	}
	r.want(201, nil, "POST", "/api/v1/launches", ann, map[string]any{"app_id": app})
	r.want(200, &revoked, "POST", path, r.token, map[string]any{"app_id": app, "reason": "left"})
	r.want(403, nil, "POST", "/api/v1/launches", ann, map[string]any{"app_id": app})
	r.field("app_id", "POST", path, map[string]any{"app_id": 999})
	for field, v := range map[string]any{"networks.0": []string{"10.0.0.0/99"}, "device_ownership": "mine"} {
		name, _, _ := strings.Cut(field, ".")
		r.field(field, "PATCH", "/api/v1/provisions/1", map[string]any{name: v})
	}
}
