package server_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"leasehold/internal/pgtest"
	"leasehold/internal/store"
	"leasehold/internal/store/clocktest"
	"leasehold/internal/store/postgres"
	"leasehold/internal/store/storetest"
	"leasehold/internal/wire"
)

// everywhere runs a test on either database, and on PostgreSQL in a locale in which I is not
// a capital i.
func everywhere(t *testing.T, do func(t *testing.T, r *rig)) {
	each(t, do)
	t.Run("postgres in Turkish", func(t *testing.T) {
		do(t, newRigOn(t, clocktest.Ready(t, func(boot func() time.Duration) (store.Store, error) {
			return postgres.Open(context.Background(), pgtest.Locale(t, "LOCALE_PROVIDER icu ICU_LOCALE 'tr-TR'"), postgres.WithBoot(boot))
		})))
	})
}

// TestOneName: either spelling of a name signs in and finds what has it, and is taken.
func TestOneName(t *testing.T) {
	everywhere(t, func(t *testing.T, r *rig) {
		for i, pair := range storetest.OneName[:6] { // hashing passwords takes its time
			for _, p := range [][2]string{pair, {pair[1], pair[0]}} {
				one, other := p[0], p[1]
				// Beside each other they could not be; each has its turn.
				var u, a, g ref
				r.want(201, &u, "POST", "/api/v1/users", r.token, map[string]any{"username": one, "name": one, "email": fmt.Sprintf("%s@%d.example.org", one, i), "password": password})
				r.want(201, &a, "POST", "/api/v1/apps", r.token, map[string]any{"name": one})
				r.want(201, &g, "POST", "/api/v1/groups", r.token, map[string]any{"name": one, "user_ids": []int64{u.ID}})
				r.field("username", "POST", "/api/v1/users", map[string]any{"username": other, "name": "x"})
				r.field("name", "POST", "/api/v1/apps", map[string]any{"name": other})
				r.field("name", "POST", "/api/v1/groups", map[string]any{"name": other})
				r.signIn(other, password)
				if i == 0 {
					r.signInByPage(t, other)
				}
				for list, want := range map[string]ref{"users": u, "apps": a, "groups": g} {
					out := map[string]any{}
					r.want(200, &out, "GET", "/api/v1/"+list+"?q="+url.QueryEscape(other), r.token, nil)
					if found, _ := out[list].([]any); len(found) != 1 || found[0].(map[string]any)["id"] != float64(want.ID) {
						t.Errorf("%s %q by %q: %v", list, one, other, out)
					}
				}
				// Its own name in another spelling is free to it.
				r.want(200, nil, "PATCH", fmt.Sprintf("/api/v1/users/%d", u.ID), r.token, map[string]any{"username": other})
				r.want(200, nil, "PATCH", fmt.Sprintf("/api/v1/apps/%d", a.ID), r.token, map[string]any{"name": other})
				for path, id := range map[string]int64{"users": u.ID, "apps": a.ID, "groups": g.ID} {
					if code, _, b := r.do("DELETE", fmt.Sprintf("/api/v1/%s/%d", path, id), r.token, nil); code >= 300 {
						t.Fatalf("%s: %d %s", path, code, b)
					}
				}
			}
		}
	})
}

// signInByPage signs in on the page.
func (r *rig) signInByPage(t *testing.T, name string) {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := c.PostForm(r.url+"/sign-in", url.Values{"username": {name}, "password": {password}})
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusSeeOther {
		t.Errorf("%q does not sign in on the page: %s", name, resp.Status)
	}
}

// hidden are characters that nobody sees, or that turn the text around them.
const hidden = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c\u200b\u200c\u200d\u2060\ufeff\u00ad\u034f\u3164\ufe0f\u2028\x7f\u0085\n\t"

// TestHiddenCharacters: names have none, and the field is named.
func TestHiddenCharacters(t *testing.T) {
	r := newRig(t)
	app, userID := r.app("ann")
	var g, p ref
	r.want(201, &g, "POST", "/api/v1/groups", r.token, map[string]any{"name": "G"})
	r.want(201, &p, "POST", "/api/v1/provisions", r.token, map[string]any{"name": "P"})
	r.agent(wire.Host)
	var key struct{ Key string }
	r.want(201, &key, "POST", "/api/v1/enrolment-keys", r.token, map[string]any{"kind": wire.Player})
	packages := []any{map[string]any{"type": "command", "command": []string{"true"}}}
	r.field("name", "POST", "/api/v1/provisions", map[string]any{"name": " "})
	r.field("name", "POST", "/api/v1/delivery-methods", map[string]any{"app_id": app, "name": "", "packages": []any{}})
	for _, c := range hidden {
		bad := "a" + string(c) + "b"
		for _, call := range []struct {
			field, method, path string
			body                map[string]any
		}{
			{"username", "POST", "/api/v1/users", map[string]any{"username": bad, "name": "x"}},
			{"name", "POST", "/api/v1/users", map[string]any{"username": "x", "name": bad}},
			{"email", "POST", "/api/v1/users", map[string]any{"username": "x", "name": "x", "email": bad + "@example.org"}},
			{"username", "PATCH", fmt.Sprintf("/api/v1/users/%d", userID), map[string]any{"username": bad}},
			{"name", "PATCH", fmt.Sprintf("/api/v1/users/%d", userID), map[string]any{"name": bad}},
			{"name", "POST", "/api/v1/groups", map[string]any{"name": bad}},
			{"name", "PATCH", fmt.Sprintf("/api/v1/groups/%d", g.ID), map[string]any{"name": bad}},
			{"name", "POST", "/api/v1/apps", map[string]any{"name": bad}},
			{"name", "PATCH", fmt.Sprintf("/api/v1/apps/%d", app), map[string]any{"name": bad}},
			{"name", "POST", "/api/v1/delivery-methods", map[string]any{"app_id": app, "name": bad, "packages": packages}},
			{"name", "PATCH", "/api/v1/delivery-methods/1", map[string]any{"name": bad}},
			{"name", "POST", "/api/v1/provisions", map[string]any{"name": bad}},
			{"name", "PATCH", fmt.Sprintf("/api/v1/provisions/%d", p.ID), map[string]any{"name": bad}},
			{"name", "PATCH", "/api/v1/hosts/1", map[string]any{"name": bad}},
			{"pool", "PATCH", "/api/v1/hosts/1", map[string]any{"pool": bad}},
			{"name", "POST", wire.PathEnrol, map[string]any{"v": 1, "key": key.Key, "kind": "player", "name": bad, "os": "linux", "arch": "amd64"}},
		} {
			r.field(call.field, call.method, call.path, call.body)
		}
	}
}

// TestNamesOfEveryScript: what people are called may be a name, in letters, marks and signs.
func TestNamesOfEveryScript(t *testing.T) {
	everywhere(t, func(t *testing.T, r *rig) {
		for _, name := range []string{"Zoë", "李小龙", "นิดหน่อย", "हिन्दी", "محمد", "דָּוִד", "Ὀδυσσεύς", "Þórr", "김철수", "e\u0301lan"} {
			var u struct {
				ID       int64
				Username string
			}
			r.want(201, &u, "POST", "/api/v1/users", r.token, map[string]any{"username": name, "name": name + " " + name + " 🙂", "password": password})
			r.signIn(strings.ToUpper(name), password)
		}
	})
}

// TestNamesFromBefore: a row whose name would be refused today can still be changed.
func TestNamesFromBefore(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		app, userID := r.app("ann")
		err := r.s.Control.Store.Update(t.Context(), func(tx store.Tx) error {
			u, err := tx.User(userID)
			if err != nil {
				return err
			}
			u.Name, u.Email = "An\u200dn", "an\u200dn@example.org"
			if err := tx.SaveUser(u); err != nil {
				return err
			}
			a, err := tx.App(app)
			if err != nil {
				return err
			}
			a.Name = "A\npp"
			return tx.SaveApp(a)
		})
		if err != nil {
			t.Fatal(err)
		}
		r.want(200, nil, "PATCH", fmt.Sprintf("/api/v1/users/%d", userID), r.token, map[string]any{"status": "suspended"})
		r.want(200, nil, "PATCH", fmt.Sprintf("/api/v1/apps/%d", app), r.token, map[string]any{"status": "suspended"})
		r.field("name", "PATCH", fmt.Sprintf("/api/v1/users/%d", userID), map[string]any{"name": "An\u200dna"})
	})
}
