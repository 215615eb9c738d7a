package server_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"leasehold/internal/control"
	"leasehold/internal/directory"
	"leasehold/internal/wire"
)

// A principal is somebody who calls routes, by a credential or by a browser's cookie.
type principal struct {
	name   string
	bearer string
	client *http.Client // with cookies, if it has any
	kind   string       // nobody, user, admin, agent
}

// browser signs a user in with a browser.
func (r *rig) browser(username string) *http.Client {
	r.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		r.t.Fatal(err)
	}
	c := &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := c.PostForm(r.url+"/sign-in", url.Values{"username": {username}, "password": {password}})
	if err != nil {
		r.t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusSeeOther {
		r.t.Fatalf("%s signs in: %d", username, resp.StatusCode)
	}
	return c
}

// due is what access a route must declare, said a second time.
func due(method, path string) string {
	switch path {
	case "/sign-in", "/sign-out", "/setup", "/theme", "/", "/healthz", "/readyz", "/metrics", "/.well-known/jwks.json",
		wire.PathEnrol, "/api/v1/openapi.json", "/api/v1/", "/assets/{file}", "/assets/favicon.svg":
		return "public"
	case "/api/v1/tokens":
		if method == "POST" {
			return "public" // it takes a user name and a password
		}
		return "signed in"
	case "/api/v1/launches", "/api/v1/tokens/{id}":
		return "signed in"
	}
	switch {
	case strings.HasPrefix(path, "/agent/"):
		return "agent"
	case strings.HasPrefix(path, "/admin"), strings.HasPrefix(path, "/api/"):
		return "admin"
	}
	return "signed in"
}

// TestGuard walks every route of the process as everybody: nobody, forged credentials,
// a user, another user, a suspended one, an administrator, a player, a host, a removed
// device. Whoever a route is not for is refused, and does not see what is another user's.
func TestGuard(t *testing.T) {
	r := newRig(t)
	app, annID := r.app("ann")
	r.app("bob")
	_, carlID := r.app("carl")
	ann, bob, carl := r.signIn("ann", password), r.signIn("bob", password), r.signIn("carl", password)
	annBrowser, bobBrowser, carlBrowser, rootBrowser := r.browser("ann"), r.browser("bob"), r.browser("carl"), r.browser("root")
	r.want(200, nil, "PATCH", fmt.Sprint("/api/v1/users/", carlID), r.token, map[string]any{"status": "suspended"})
	player, host, gone := r.agent(wire.Player), r.agent(wire.Host), r.agent(wire.Player)
	var devices struct{ Devices []ref }
	r.want(200, &devices, "GET", "/api/v1/devices", r.token, nil)
	last := int64(0)
	for _, d := range devices.Devices {
		last = max(last, d.ID)
	}
	r.want(204, nil, "DELETE", fmt.Sprint("/api/v1/devices/", last), r.token, nil)
	var l launched
	r.want(201, &l, "POST", "/api/v1/launches", ann, map[string]any{"app_id": app})
	r.want(200, nil, "POST", wire.PathRedeem, player, wire.Redeem{V: 1, Ticket: l.ticket()})
	var own struct{ Tokens []ref }
	r.want(200, &own, "GET", "/api/v1/tokens", ann, nil)
	signIns, err := r.s.Control.SignIns(t.Context(), control.WhoIs(&directory.User{ID: annID, Username: "ann"}, "test"))
	if err != nil || len(signIns) == 0 {
		t.Fatalf("ann's sign-ins: %d, %v", len(signIns), err)
	}
	all := []principal{
		{"nobody", "", nil, "nobody"}, {"a forged token", "1.forged", nil, "nobody"},
		{"a suspended user's token", carl, nil, "nobody"}, {"a suspended user's browser", "", carlBrowser, "nobody"},
		{"a removed device", gone, nil, "nobody"},
		{"ann's token", ann, nil, "user"}, {"ann's browser", "", annBrowser, "user"},
		{"bob's token", bob, nil, "user"}, {"bob's browser", "", bobBrowser, "user"},
		{"root's token", r.token, nil, "admin"}, {"root's browser", "", rootBrowser, "admin"},
		{"a player", player, nil, "agent"}, {"a host", host, nil, "agent"},
	}
	for i := range all {
		if all[i].client == nil {
			all[i].client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		}
	}
	// ids are ann's own things, by the route they are named in.
	ids := func(path string) string {
		switch {
		case strings.Contains(path, "/sessions/") || strings.Contains(path, "/streams/"):
			return fmt.Sprint(l.Session.ID)
		case strings.Contains(path, "/tokens/"):
			return fmt.Sprint(own.Tokens[0].ID)
		case strings.Contains(path, "/signins/"):
			return fmt.Sprint(signIns[0].ID)
		case strings.Contains(path, "/launch/"):
			return fmt.Sprint(app)
		}
		return "1"
	}
	list := r.s.Routes.List()
	if len(list) < 100 {
		t.Fatalf("only %d routes", len(list))
	}
	allowed := map[string]string{"signed in": "user admin", "admin": "admin", "agent": "agent"}
	tried := 0
	for _, line := range list {
		pattern, access, _ := strings.Cut(line, ": ")
		method, path, ok := strings.Cut(pattern, " ")
		if !ok {
			method, path = "GET", pattern
		}
		if want := due(method, path); access != want {
			t.Errorf("%s: its access is %s, want %s", pattern, access, want)
		}
		if access == "public" {
			continue
		}
		path = strings.NewReplacer("{id}", ids(path), "{action}", "evict", "{change}", "delete", "{kind}", "apps", "{file}", "1", "{$}", "").Replace(path)
		owned := access == "signed in" && strings.Contains(pattern, "{id}")
		for _, p := range all {
			may := strings.Contains(allowed[access], p.kind)
			// A face takes its own kind of credential: pages a cookie, the others a header.
			page := !strings.HasPrefix(path, "/api/") && !strings.HasPrefix(path, "/agent/")
			if page != (p.bearer == "") && p.kind != "nobody" {
				may = false
			}
			if may && method != "GET" {
				if !owned || !strings.HasPrefix(p.name, "bob") {
					continue // it would do it
				}
			}
			if may && strings.HasSuffix(path, "events") {
				continue // it would never end
			}
			tried++
			req, err := http.NewRequest(method, r.url+path, strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			if method != "GET" {
				req.Header.Set("Content-Type", "application/json")
				if page {
					req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				}
			}
			if p.bearer != "" {
				req.Header.Set("Authorization", "Bearer "+p.bearer)
			}
			resp, err := p.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			b, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
			resp.Body.Close()
			signIn := resp.StatusCode == 303 && strings.HasPrefix(resp.Header.Get("Location"), "/sign-in")
			refused := resp.StatusCode == 401 || resp.StatusCode == 403 || signIn
			switch {
			case !may && !refused:
				t.Errorf("%s: %s gets %d", line, p.name, resp.StatusCode)
			case may && refused && !owned:
				t.Errorf("%s: %s is refused: %d %s", line, p.name, resp.StatusCode, b)
			case may && owned && strings.HasPrefix(p.name, "bob") && resp.StatusCode < 400 && !strings.Contains(path, "/launch/"):
				t.Errorf("%s: bob gets %d of what is ann's: %s", line, resp.StatusCode, b)
			}
			if !strings.HasPrefix(p.name, "ann") && !strings.HasPrefix(p.name, "root") && p.kind != "agent" && strings.Contains(string(b), "App of ann") {
				t.Errorf("%s: %s sees ann's app: %s", line, p.name, b)
			}
		}
	}
	t.Logf("%d calls of %d routes", tried, len(list))
	// What is ann's is as it was.
	var s struct{ Status string }
	r.want(200, &s, "GET", fmt.Sprint("/api/v1/sessions/", l.Session.ID), r.token, nil)
	if s.Status != "launched" {
		t.Errorf("ann's session is %s", s.Status)
	}
	r.want(200, nil, "GET", "/api/v1/tokens", ann, nil)
}
