package web

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"leasehold/internal/control"
	"leasehold/internal/store"
	"leasehold/internal/wire"
)

// newKey makes an enrolment key by the form and returns its text.
func (b *browser) newKey(pairs ...string) string {
	b.t.Helper()
	form := vals("uses", "1", "days", "30", "ownership", "organisation")
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	a := b.post(keysPath, form).is(200).has("shown this once", `data-copy="#new-key"`)
	if a.path != keysPath {
		b.t.Errorf("the answer is at %s", a.path)
	}
	if cc := a.head.Get("Cache-Control"); cc != "no-store" {
		b.t.Errorf("the page with the key may be kept: %q", cc)
	}
	_, key, _ := strings.Cut(a.body, "--key ")
	key, _, _ = strings.Cut(key, " ")
	return key
}

func (s *site) enrol(kind wire.AgentKind, key, name, from string) (int64, error) {
	e, err := s.c.Enrol(s.t.Context(), &wire.Enrol{V: wire.Version, Key: key, Kind: kind, Name: name, OS: "linux", Arch: "amd64", Version: "1"}, from)
	if err != nil {
		return 0, err
	}
	return e.AgentID, nil
}

// TestEnrolmentKeys makes a key, sees it once, however often the page is loaded, lists and
// revokes it. Nothing in the database tells it.
func TestEnrolmentKeys(t *testing.T) {
	s := newSite(t)
	olga := s.as("olga")
	olga.get("/admin/devices").has(`href="/admin/enrolment-keys/new?kind=player"`)
	olga.get("/admin/hosts").has(`href="/admin/enrolment-keys/new?kind=host"`)
	olga.get(keysPath).is(200).has("No enrolment keys yet")
	olga.get(keysPath + "/new?kind=host").is(200).has(`<option value="host" selected>`)
	key := olga.newKey("kind", "player", "networks", "192.0.2.0/24\n2001:db8::/32", "uses", "2")
	olga.get(keysPath).lacks(key).has("192.0.2.0/24, 2001:db8::/32", "olga", "active")
	keys, _, err := s.c.EnrolmentKeys(t.Context(), store.Page{})
	s.must(err)
	if len(keys) != 1 {
		t.Fatalf("%d keys", len(keys))
	}
	for _, from := range []string{"198.51.100.1", "", "2001:db9::1"} {
		if _, err := s.enrol(wire.Player, key, "LAB-1", from); err == nil {
			t.Errorf("it is good from %q", from)
		}
	}
	for range 2 {
		_, err = s.enrol(wire.Player, key, "LAB-1", "192.0.2.7")
		s.must(err)
	}
	if _, err := s.enrol(wire.Player, key, "LAB-1", "192.0.2.7"); err == nil {
		t.Error("a third machine enrolled with a key for two")
	}
	olga.get(keysPath+"/1").has("used up", "devices")

	other := olga.newKey("kind", "player")
	olga.get(keysPath + "/2/revoke").is(200).has("Revoke enrolment key 2")
	olga.post(keysPath+"/2/revoke", nil).is(200).has("The key is revoked.", "revoked")
	if _, err := s.enrol(wire.Player, other, "LAB-2", "192.0.2.7"); err == nil {
		t.Error("a revoked key is good")
	}
	olga.get(keysPath + "/99").is(404)
	a := olga.post(keysPath, vals("kind", "player", "uses", "0", "days", "400", "networks", "10.0.0.0/99")).is(422)
	a.has(`id="uses-error"`, `id="days-error"`, `id="networks-error"`)
	olga.post(keysPath, vals("kind", "toaster", "uses", "1", "days", "1")).is(422).has(`id="kind-error"`)
}

// TestSecretIsSealed: what a page is to show once is not in the database meanwhile.
func TestSecretIsSealed(t *testing.T) {
	s := newSite(t)
	olga := s.as("olga")
	// The answer of the form alone, without the page that it leads to.
	olga.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	olga.post(keysPath, vals("kind", "host", "uses", "1", "days", "1", "pool", "gpu")).is(303)
	kept := olga.session()
	if !strings.Contains(kept, keySealed) {
		t.Errorf("nothing is kept: %q", kept)
	}
	olga.client.CheckRedirect = nil
	a := olga.get(keysPath).has("leasehold host enroll")
	_, key, _ := strings.Cut(a.body, "--key ")
	key, _, _ = strings.Cut(key, " ")
	if len(key) < 40 {
		t.Fatalf("key %q", key)
	}
	if strings.Contains(kept, key) {
		t.Error("the database has the key's text")
	}
}

// session is the browser session's data as the database has it.
func (b *browser) session() string {
	b.t.Helper()
	u, err := url.Parse(b.http.URL)
	b.must(err)
	for _, ck := range b.client.Jar.Cookies(u) {
		if ck.Name == b.web.sessions.Cookie.Name {
			sum := sha256.Sum256([]byte(ck.Value))
			data, ok, err := b.c.WebSession(b.t.Context(), base64.RawURLEncoding.EncodeToString(sum[:]))
			b.must(err)
			if !ok {
				b.t.Fatal("there is no browser session")
			}
			return string(data)
		}
	}
	return ""
}

// TestHostApproval: a host that enrols with a key which does not say otherwise waits, in the
// key's pool, until an administrator approves it.
func TestHostApproval(t *testing.T) {
	s := newSite(t)
	olga := s.as("olga")
	host, err := s.enrol(wire.Host, olga.newKey("kind", "host", "pool", "gpu"), "HOST-9", "")
	s.must(err)
	path := "/admin/hosts/" + num(host)
	olga.get("/admin/hosts").has("not approved", "gpu")
	olga.get(path+"/approve").is(200).has("Approve HOST-9", "sees all that they type")
	olga.post(path+"/approve", nil).is(200).has("The host is approved.").lacks("not approved")
	olga.post(path+"/withdraw", nil).is(200).has("not approved")
	host, err = s.enrol(wire.Host, olga.newKey("kind", "host", "approved", "true"), "HOST-10", "")
	s.must(err)
	a, err := s.c.Agent(t.Context(), host)
	s.must(err)
	if !a.Approved {
		t.Error("the key's approval is not the host's")
	}
	_, err = s.c.UpdateAgent(t.Context(), s.root, s.device("LAB-1"), control.Ending{}, func(a *store.Agent) error { a.Approved = false; return nil })
	if err == nil {
		t.Error("a device's approval is withdrawn")
	}
}

// TestKeysLook: the pages of keys and hosts in a browser, the button that copies, and that
// loading the page again makes no second key.
func TestKeysLook(t *testing.T) {
	s := newSite(t)
	w := s.window()
	for range 2 {
		_, err := s.enrol(wire.Host, s.as("olga").newKey("kind", "host", "pool", "gpu", "networks", "192.0.2.0/24\n2001:db8::/32"), "HOST-9", "192.0.2.1")
		s.must(err)
	}
	w.Look(1440, "light")
	w.Open(keysPath + "/new?kind=host")
	w.Run(`document.querySelector('form.form').submit()`)
	w.Wait(`location.pathname === '/admin/enrolment-keys' && document.querySelector('#new-key')`)
	for _, width := range []int64{1440, 390} {
		w.Look(width, "light")
		w.Judge("a new key")
	}
	w.Run(`window.copied = ''; navigator.clipboard.writeText = async (text) => { copied = text }`)
	w.Run(`document.querySelector('[data-copy="#new-key"]').click()`)
	w.Wait(`document.querySelector('[data-copy="#new-key"]').innerText === 'Copied'`)
	if got := w.Text(`copied`); !strings.HasPrefix(got, "leasehold host enroll --server ") {
		t.Errorf("copied %q", got)
	}
	w.Run(`location.reload()`)
	w.Wait(`document.readyState === 'complete' && !document.querySelector('#new-key')`)
	if keys, _, err := s.c.EnrolmentKeys(t.Context(), store.Page{}); err != nil || len(keys) != 3 {
		t.Errorf("%d keys, %v", len(keys), err)
	}
	for _, width := range []int64{1440, 390, 720} {
		w.Look(width, "light")
		for name, path := range map[string]string{"keys": keysPath, "form of a key": keysPath + "/new", "one key": keysPath + "/1", "hosts": "/admin/hosts", "a host": "/admin/hosts/1"} {
			w.Open(path)
			w.Judge(name)
		}
	}
}
