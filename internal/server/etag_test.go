package server_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// TestConcurrentEdits: two who have read the same record and change it: the second is
// refused, told so, and changes nothing.
func TestConcurrentEdits(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		r.agent("player")
		made := func(path string, body any) string {
			t.Helper()
			var out struct{ ID int64 }
			r.want(201, &out, "POST", path, r.token, body)
			return path + "/" + strconv.FormatInt(out.ID, 10)
		}
		app := made("/api/v1/apps", map[string]any{"name": "Editor"})
		method := made("/api/v1/delivery-methods", map[string]any{"app_id": 1, "name": "Editor 1", "packages": []any{map[string]any{"type": "command", "command": []string{"editor"}}}})
		group := made("/api/v1/groups", map[string]any{"name": "Students"})
		for _, tt := range []struct {
			path           string
			first, second  map[string]any
			field, changed string
		}{
			{app, map[string]any{"name": "Editor two"}, map[string]any{"name": "Editor three"}, `"name":"Editor two"`, "Editor three"},
			{method, map[string]any{"heartbeat_seconds": 60}, map[string]any{"name": "Other"}, `"heartbeat_seconds":60`, "Other"},
			{group, map[string]any{"name": "Staff"}, map[string]any{"name": "Others"}, `"name":"Staff"`, "Others"},
			{made("/api/v1/users", map[string]any{"username": "bo", "name": "Bo", "email": "bo@example.org"}), map[string]any{"name": "Bo C"}, map[string]any{"email": "c@example.org"}, `"name":"Bo C"`, "c@example.org"},
			{made("/api/v1/provisions", map[string]any{"name": "All", "user_ids": []int{}, "group_ids": []int{1}, "delivery_method_ids": []int{1}}), map[string]any{"enabled": false}, map[string]any{"name": "None"}, `"enabled":false`, "None"},
			{"/api/v1/devices/1", map[string]any{"name": "LAB-9"}, map[string]any{"ownership": "own"}, `"name":"LAB-9"`, `"own"`},
			{"/api/v1/settings", map[string]any{"history_days": 99}, map[string]any{"history_days": 98}, `"history_days":99`, "98"},
		} {
			tag := r.tag("GET", tt.path, "", nil, 200)
			if tag == "" || tag != r.tag("GET", tt.path, "", nil, 200) {
				t.Fatalf("%s: no steady ETag: %q", tt.path, tag)
			}
			next := r.tag("PATCH", tt.path, tag, tt.first, 200)
			if next == tag {
				t.Errorf("%s: the ETag of another version is the same", tt.path)
			}
			r.tag("PATCH", tt.path, tag, tt.second, 412)
			_, _, b := r.do("GET", tt.path, r.token, nil)
			if !strings.Contains(string(b), tt.field) || strings.Contains(string(b), tt.changed) {
				t.Errorf("%s: after the second change: %s", tt.path, b)
			}
			r.tag("PATCH", tt.path, `"other", `+next, tt.second, 200)
			r.tag("PATCH", tt.path, "*", tt.first, 200)
			r.tag("PATCH", tt.path, "", tt.second, 200)
		}
	})
}

// tag makes a call with If-Match and returns the answer's ETag.
func (r *rig) tag(method, path, match string, body any, want int) string {
	r.t.Helper()
	req := r.request(method, path, r.token, body)
	if match != "" {
		req.Header.Set("If-Match", match)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != want {
		r.t.Fatalf("%s %s, If-Match %s: %d, want %d", method, path, match, resp.StatusCode, want)
	}
	return resp.Header.Get("ETag")
}
