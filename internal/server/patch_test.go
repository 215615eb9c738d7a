package server_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"leasehold/internal/wire"
)

// TestNullInPatch: where null stands for none it takes away what was there, as the
// description says; anywhere else it is refused at its field, and never passed over.
func TestNullInPatch(t *testing.T) {
	r := newRig(t)
	app, user := r.app("ann")
	r.agent(wire.Player)
	r.agent(wire.Host)
	var group, older, newer, provision ref
	pkg := []any{map[string]any{"type": "command", "command": []string{"true"}}}
	r.want(201, &group, "POST", "/api/v1/groups", r.token, map[string]any{"name": "G"})
	r.want(201, &newer, "POST", "/api/v1/delivery-methods", r.token, map[string]any{"app_id": app, "name": "new", "packages": pkg})
	r.want(201, &older, "POST", "/api/v1/delivery-methods", r.token, map[string]any{"app_id": app, "name": "old", "packages": pkg, "successor_id": newer.ID,
		"licence": map[string]any{"type": "floating", "seats": 3}})
	r.want(201, &provision, "POST", "/api/v1/provisions", r.token, map[string]any{"name": "P", "starts_at": "2026-01-01T00:00:00Z", "ends_at": "2027-01-01T00:00:00Z"})
	ids := map[string]string{
		"/apps/{id}": fmt.Sprint("/apps/", app), "/users/{id}": fmt.Sprint("/users/", user), "/groups/{id}": fmt.Sprint("/groups/", group.ID),
		"/delivery-methods/{id}": fmt.Sprint("/delivery-methods/", older.ID), "/provisions/{id}": fmt.Sprint("/provisions/", provision.ID),
		"/devices/{id}": "/devices/1", "/hosts/{id}": "/hosts/2", "/settings": "/settings",
	}
	var doc struct {
		Paths map[string]map[string]struct {
			RequestBody struct {
				Content map[string]struct {
					Schema struct {
						Ref string `json:"$ref"`
					}
				}
			}
		}
		Components struct {
			Schemas map[string]struct {
				Properties map[string]struct{ Type any }
			}
		}
	}
	r.want(200, &doc, "GET", "/api/v1/openapi.json", "", nil)
	cleared := 0
	for path, ops := range doc.Paths {
		op, ok := ops["patch"]
		if !ok {
			continue
		}
		at := "/api/v1" + ids[path]
		if ids[path] == "" {
			t.Errorf("PATCH %s is not tried", path)
			continue
		}
		name := strings.TrimPrefix(op.RequestBody.Content["application/json"].Schema.Ref, "#/components/schemas/")
		fields := doc.Components.Schemas[name].Properties
		if len(fields) == 0 {
			t.Fatalf("PATCH %s: no schema %q", path, name)
		}
		for field, schema := range fields {
			_, _, before := r.do("GET", at, r.token, nil)
			status, _, b := r.do("PATCH", at, r.token, map[string]any{field: nil})
			types, _ := schema.Type.([]any)
			if slices.Contains(types, any("null")) {
				cleared++
				var got map[string]any
				r.want(200, &got, "GET", at, r.token, nil)
				if status != 200 || got[field] != nil {
					t.Errorf("PATCH %s %s: null: %d %s, then %v", path, field, status, b, got[field])
				}
				continue
			}
			var d struct {
				Errors []struct{ Field, Message string }
			}
			if json.Unmarshal(b, &d); status != 422 || len(d.Errors) != 1 || d.Errors[0].Field != field || !strings.Contains(d.Errors[0].Message, "must not be null") {
				t.Errorf("PATCH %s %s: null: %d %s", path, field, status, b)
			}
			if _, _, after := r.do("GET", at, r.token, nil); string(before) != string(after) {
				t.Errorf("PATCH %s %s: null changed it:\n%s\n%s", path, field, before, after)
			}
		}
	}
	if cleared != 4 { // starts_at, ends_at, successor_id, stream
		t.Errorf("%d fields take null", cleared)
	}

	method := fmt.Sprint("/api/v1/delivery-methods/", older.ID)
	var got struct {
		Licence          map[string]any
		HeartbeatSeconds int   `json:"heartbeat_seconds"`
		WarningsSeconds  []int `json:"warnings_seconds"`
	}
	r.want(200, &got, "PATCH", method, r.token, `{"licence":{"type":"floating","seats":null},"warnings_seconds":[5,60]}`)
	if got.Licence["seats"] != nil || fmt.Sprint(got.WarningsSeconds) != "[60 5]" || got.HeartbeatSeconds != 300 {
		t.Errorf("%+v", got)
	}
	for body, field := range map[string]string{
		`{"heartbeat_seconds":0}`:                    "heartbeat_seconds",
		`{"heartbeat_seconds":99999999999999999999}`: "heartbeat_seconds",
		`{"warnings_seconds":[]}`:                    "warnings_seconds",
		`{"licence":{"type":"","seats":1}}`:          "licence.type",
	} {
		var d struct {
			Errors []struct{ Field, Message string }
		}
		r.want(422, &d, "PATCH", method, r.token, body)
		if len(d.Errors) != 1 || d.Errors[0].Field != field || !strings.Contains(d.Errors[0].Message, "must") && !strings.Contains(d.Errors[0].Message, "too large") {
			t.Errorf("%s: %+v", body, d)
		}
	}
}
