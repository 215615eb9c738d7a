package web

import (
	"context"
	"errors"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"leasehold/internal/control"
	"leasehold/internal/directory"
)

// stream opens an event stream and returns a channel that is closed when it ends.
func (b *browser) stream(path string) <-chan struct{} {
	b.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	b.t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, "GET", b.http.URL+path, nil)
	b.must(err)
	resp, err := (&http.Client{Jar: b.client.Jar}).Do(req)
	b.must(err)
	if ct := resp.Header.Get("Content-Type"); resp.StatusCode != 200 || ct != "text/event-stream" {
		b.t.Fatalf("%s: %d %s", path, resp.StatusCode, ct)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer resp.Body.Close()
		if _, err := io.Copy(io.Discard, resp.Body); err != nil && !errors.Is(err, context.Canceled) {
			b.t.Log(err)
		}
	}()
	return ended
}

func endsSoon(t *testing.T, what string, ended <-chan struct{}) {
	t.Helper()
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Errorf("%s: the event stream goes on", what)
	}
}

// TestOpenStreamsEnd: pages that are open stop to be told anything at the moment in which
// their person may not see it any more, whatever the reason.
func TestOpenStreamsEnd(t *testing.T) {
	s := newSite(t)
	second := &directory.User{Username: "second", Name: "Second", Role: directory.RoleAdmin}
	s.must(s.c.CreateUser(t.Context(), s.root, second, password))
	change := func(password string, what func(*directory.User)) {
		_, err := s.c.UpdateUser(t.Context(), s.root, second.ID, password, control.Ending{}, func(u *directory.User) error { what(u); return nil })
		s.must(err)
	}
	own := func(u *directory.User) { u.MustChangePassword = false }
	for _, x := range []struct {
		name string
		do   func(b *browser)
	}{
		{"sign-out", func(b *browser) { b.post("/sign-out", nil) }},
		{"a new password", func(*browser) { change(password, func(*directory.User) {}); change("", own) }},
		{"suspension", func(*browser) { change("", func(u *directory.User) { u.Status = directory.Suspended }) }},
		{"demotion", func(*browser) {
			change("", func(u *directory.User) { u.Status = directory.Active })
			b := s.as("second")
			ended := b.stream("/admin/sessions/events")
			change("", func(u *directory.User) { u.Role = directory.RoleUser })
			endsSoon(t, "demotion, of a second one", ended)
		}},
	} {
		if x.name == "demotion" {
			x.do(nil)
			continue
		}
		b := s.as("second")
		ended := b.stream("/admin/sessions/events")
		x.do(b)
		endsSoon(t, x.name, ended)
		if a := b.get("/admin/sessions"); !strings.HasPrefix(a.path, "/sign-in") {
			t.Errorf("%s: then sees %s", x.name, a.path)
		}
	}
}

// TestSignInsPage lists one's own sign-ins and ends them.
func TestSignInsPage(t *testing.T) {
	s := newSite(t)
	here, there, third := s.as("ann"), s.as("ann"), s.as("ann")
	s.as("olga").get(signInsPath).is(200).has("1 browser").lacks("End all others")
	a := here.get(signInsPath).is(200).has("Your sign-ins", "3 browsers", "this browser", "End all others", "127.0.0.1")
	// The first button that says End is of another one.
	m := regexp.MustCompile(`action="(/account/signins/[0-9]+/end)"[^>]*>[^<]*<input[^>]*>[^<]*<button[^>]*>End</button>`).FindStringSubmatch(a.body)
	if m == nil {
		t.Fatalf("no button: %s", a.main())
	}
	ended := there.stream("/events")
	s.as("olga").post(m[1], nil).is(404)
	here.post(m[1], nil).is(200).has("The sign-in is ended.", "2 browsers")
	here.post(signInsPath+"/end-others", nil).is(200).has("All other sign-ins are ended.", "1 browser").lacks("End all others")
	endsSoon(t, "ended by another browser", ended)
	for _, b := range []*browser{there, third} {
		if a := b.get("/portal"); !strings.HasPrefix(a.path, "/sign-in") {
			t.Errorf("it sees %s", a.path)
		}
	}
	here.get("/").is(200)
}

func TestBrowserName(t *testing.T) {
	for agent, want := range map[string]string{
		"": "Unknown browser", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0": "Firefox on Linux",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0 Safari/537.36 Edg/142.0": "Edge on Windows",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Version/18.0 Safari/604.1":                 "Safari on iPhone",
		"<script>": "Unknown browser", "curl/8": "curl",
	} {
		if got := browserName(agent); got != want {
			t.Errorf("%q: %q, want %q", agent, got, want)
		}
	}
}

// TestSignInsLook: the page in a browser.
func TestSignInsLook(t *testing.T) {
	s := newSite(t)
	w := s.window()
	s.as("olga")
	for _, width := range []int64{1440, 390} {
		w.Look(width, "light")
		w.Open(signInsPath)
		w.Judge("sign-ins")
	}
}
