package server_test

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"testing"

	"leasehold/internal/wire"
)

// TestTextsThatNoDatabaseHolds: a NUL, which PostgreSQL has in no text, and a forged place in
// a list are somebody's input, not a fault of the server.
func TestTextsThatNoDatabaseHolds(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		r.app("ann")
		r.app("bob")
		host := r.agent(wire.Host)
		for _, path := range []string{"/apps?q=", "/users?q=", "/groups?q=", "/provisions?q=", "/delivery-methods?q=", "/devices?q=", "/hosts?q=", "/audit?action=", "/sessions?q=", "/sessions?username="} {
			code, _, b := r.do("GET", "/api/v1"+path+"%00", r.token, nil)
			if code != 422 && code != 200 {
				t.Errorf("%s: %d %s", path, code, b)
			}
		}
		code, _, b := r.do("POST", "/api/v1/tokens", "", map[string]any{"username": "a\x00b", "password": "x"})
		if code != 401 && code != 422 {
			t.Errorf("sign-in: %d %s", code, b)
		}
		for _, call := range []struct {
			field, method, path string
			body                any
		}{
			{"reason", "DELETE", "/api/v1/apps/1?reason=%00", nil},
			{"reason", "PATCH", "/api/v1/apps/1", map[string]any{"status": "suspended", "reason": "a\x00"}},
			{"description", "PATCH", "/api/v1/apps/1", map[string]any{"description": "a\x00"}},
			{"name", "POST", "/api/v1/groups", map[string]any{"name": "a\x00"}},
			{"pool", "PATCH", "/api/v1/hosts/1", map[string]any{"pool": "a\x00"}},
			{"name", "PATCH", "/api/v1/hosts/1", map[string]any{"name": "a\x00"}},
			{"text", "POST", "/api/v1/sessions/1/message", map[string]any{"text": "a\x00"}},
			{"reason", "POST", "/api/v1/sessions/1/evict", map[string]any{"reason": "a\x00"}},
			{"reason", "POST", "/api/v1/users/2/revoke-access", map[string]any{"app_id": 1, "reason": "a\x00"}},
			{"time_zone", "PATCH", "/api/v1/settings", map[string]any{"time_zone": "UTC\x00"}},
			{"tz", "GET", "/api/v1/sessions?tz=UTC%00", nil},
			{"page_token", "GET", "/api/v1/sessions?page_token=%00", nil},
		} {
			r.field(call.field, call.method, call.path, call.body)
		}
		if code, _, b := r.do("GET", wire.PathTunnel+"?ticket=%00", host, nil); code != 404 {
			t.Errorf("tunnel: %d %s", code, b)
		}
		for _, list := range []string{"/api/v1/apps", "/api/v1/users"} {
			var page struct {
				Next string `json:"next_page_token"`
			}
			r.want(200, &page, "GET", list+"?page_size=1", r.token, nil)
			raw, err := base64.RawURLEncoding.DecodeString(page.Next)
			if err != nil {
				t.Fatal(err)
			}
			var place map[string]any
			if err := json.Unmarshal(raw, &place); err != nil {
				t.Fatal(err)
			}
			place["k"] = "a\x00"
			j, _ := json.Marshal(place)
			r.field("page_token", "GET", list+"?page_size=1&page_token="+url.QueryEscape(base64.RawURLEncoding.EncodeToString(j)), nil)
		}
		for _, n := range []string{"-9223372036854775808", "9223372036854775807", "-1", "0"} {
			for _, path := range []string{"/api/v1/audit?page_token=", "/api/v1/batches/1/results?page_token="} {
				if code, _, b := r.do("GET", path+n, r.token, nil); code >= 500 {
					t.Errorf("%s%s: %d %s", path, n, code, b)
				}
			}
		}
	})
}
