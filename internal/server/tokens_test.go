package server_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

type madeToken struct {
	ID        int64
	Token     string
	Name      string
	Scopes    []string
	ExpiresAt time.Time `json:"expires_at"`
}

// TestTokens: people make, list and delete their own tokens; each does what its scopes say,
// and none makes another one. The database has no token's text.
func TestTokens(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		app, _ := r.app("ann")
		ann := r.signIn("ann", password)
		var read, write madeToken
		r.want(201, &read, "POST", "/api/v1/tokens", ann, map[string]any{"name": "Report"})
		r.want(201, &write, "POST", "/api/v1/tokens", ann, map[string]any{"name": "Launcher", "scopes": []string{"write"}, "expires_at": time.Now().Add(time.Hour)})
		if read.Name != "Report" || fmt.Sprint(read.Scopes) != "[read]" || time.Until(read.ExpiresAt) < 89*24*time.Hour || time.Until(write.ExpiresAt) > time.Hour {
			t.Errorf("%+v, %+v", read, write)
		}
		launch := map[string]any{"app_id": app}
		var refused struct{ Detail string }
		r.want(403, &refused, "POST", "/api/v1/launches", read.Token, launch)
		if !strings.Contains(refused.Detail, "scope write") {
			t.Error(refused.Detail)
		}
		r.want(403, nil, "DELETE", fmt.Sprint("/api/v1/tokens/", read.ID), read.Token, nil)
		r.want(201, nil, "POST", "/api/v1/launches", write.Token, launch)
		for _, by := range []string{read.Token, write.Token} {
			r.want(403, &refused, "POST", "/api/v1/tokens", by, map[string]any{"name": "Child"})
			if !strings.Contains(refused.Detail, "cannot make another one") {
				t.Error(refused.Detail)
			}
		}
		var list struct {
			Tokens []struct {
				ID         int64
				Name       string
				LastUsedAt *time.Time `json:"last_used_at"`
			}
		}
		code, _, b := r.do("GET", "/api/v1/tokens", read.Token, nil)
		if code != 200 || strings.Contains(string(b), read.Token) || strings.Contains(string(b), write.Token) {
			t.Errorf("%d %s", code, b)
		}
		r.want(200, &list, "GET", "/api/v1/tokens", read.Token, nil)
		if len(list.Tokens) != 3 || list.Tokens[0].Name != "Launcher" || list.Tokens[0].LastUsedAt == nil || list.Tokens[2].Name != "" {
			t.Errorf("%+v", list.Tokens)
		}
		// Nobody else's, not even an administrator's to take.
		r.want(404, nil, "DELETE", fmt.Sprint("/api/v1/tokens/", read.ID), r.token, nil)
		r.want(204, nil, "DELETE", fmt.Sprint("/api/v1/tokens/", read.ID), write.Token, nil)
		r.want(401, nil, "GET", "/api/v1/tokens", read.Token, nil)
		r.want(401, nil, "GET", "/api/v1/tokens", "", nil)

		for field, body := range map[string]map[string]any{
			"name":       {"name": ""},
			"scopes":     {"name": "x", "scopes": []string{"admin"}},
			"expires_at": {"name": "x", "expires_at": time.Now().Add(400 * 24 * time.Hour)},
		} {
			var p struct{ Errors []struct{ Field string } }
			r.want(422, &p, "POST", "/api/v1/tokens", ann, body)
			if len(p.Errors) == 0 || !strings.HasPrefix(p.Errors[0].Field, field) {
				t.Errorf("%s: %+v", field, p)
			}
		}
		r.want(422, nil, "POST", "/api/v1/tokens", "", map[string]any{"name": "x"})
		r.want(401, nil, "POST", "/api/v1/tokens", "forged", map[string]any{"name": "x"})
		// By the password at once.
		r.want(201, nil, "POST", "/api/v1/tokens", "", map[string]any{"username": "ann", "password": password, "name": "y"})
		for range 48 {
			r.want(201, nil, "POST", "/api/v1/tokens", ann, map[string]any{"name": "many"})
		}
		r.want(429, &refused, "POST", "/api/v1/tokens", ann, map[string]any{"name": "one more"})
		if !strings.Contains(refused.Detail, "You have 50 API tokens") {
			t.Error(refused.Detail)
		}
	})
}
