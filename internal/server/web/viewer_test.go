package web

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"leasehold/internal/auth"
	"leasehold/internal/control"
	"leasehold/internal/session"
	"leasehold/internal/store"
)

// said is one stream of ann's, of which the test says how it stands.
type said struct {
	control.StreamView
	ann    int64
	viewed int
}

func (s *said) Stream(_ context.Context, who control.Who, id int64) (*control.StreamView, error) {
	if who.UserID != s.ann || id != s.ID {
		return nil, store.ErrNotFound
	}
	v := s.StreamView
	return &v, nil
}

func (s *said) EndStream(ctx context.Context, who control.Who, id int64) error {
	if _, err := s.Stream(ctx, who, id); err != nil {
		return err
	}
	s.Status, s.Reason = session.Disconnected, "ended by its user"
	return nil
}

func (s *said) Shown(ctx context.Context, who control.Who, id int64, n uint32) error {
	if _, err := s.Stream(ctx, who, id); err != nil {
		return err
	}
	s.Messages = slices.DeleteFunc(s.Messages, func(m session.Message) bool { return m.N <= n })
	return nil
}

func (s *said) View(w http.ResponseWriter, _ *http.Request, _ int64) error {
	s.viewed++
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *said) Refuse(w http.ResponseWriter, _ *http.Request, reason string) error {
	http.Error(w, reason, http.StatusTooManyRequests)
	return nil
}

func TestViewerPage(t *testing.T) {
	s := newSite(t)
	streams := &said{ann: s.ann.ID, StreamView: control.StreamView{ID: 7, AppID: 3, AppName: "MATLAB <2026>", Clipboard: true}}
	web, err := New(Config{Control: s.c, Streams: streams, Socket: streams})
	s.must(err)
	t.Cleanup(web.Close)
	routes := auth.NewRoutes()
	web.Register(routes)
	s.web, s.http = web, httptest.NewServer(routes)
	t.Cleanup(s.http.Close)
	ann := s.as("ann")

	for _, c := range []struct {
		status             session.Status
		reason             string
		phase, title, text string
		socket             int
	}{
		{session.Starting, "", viewStarting, "Starting MATLAB <2026>…", "Its host is setting up a display.", 409},
		{session.Connected, "", viewLive, "Connecting to MATLAB <2026>…", "", 204},
		{session.Unknown, "", viewLive, "Connecting to MATLAB <2026>…", "has not been heard from", 204},
		{session.Disconnected, "nobody used it for 1 hour", viewEnded, "MATLAB <2026> has ended", "Nobody used it for 1 hour.", 409},
		{session.Disconnected, session.ReasonLapsed, viewEnded, "MATLAB <2026> has ended", "Its host was cut off for too long, and has closed it.", 409},
		{session.Killed, "Exam is over.", viewEnded, "An administrator ended MATLAB <2026>", "Exam is over.", 409},
		{session.Failed, "", viewEnded, "MATLAB <2026> did not start", "did not say why", 409},
	} {
		streams.Status, streams.Reason = c.status, c.reason
		st := stateOf(&streams.StreamView, time.Now())
		if st.Phase != c.phase || st.Title != c.title || !strings.Contains(st.Text, c.text) || st.EndsAt != nil || st.IdleAt != nil {
			t.Errorf("%s: %+v", c.status, st)
		}
		ann.get("/streams/7").is(200).has(`data-phase="`+c.phase+`"`, `action="/launch/3"`).lacks("<2026>")
		ann.get("/streams/7/state").is(200).has(`"phase":"` + c.phase + `"`)
		ann.get("/streams/7/socket").is(c.socket)
	}
	streams.Status, streams.Reason = session.Connected, ""
	// Ending it says how long it would wait, as it does wherever that is said.
	for _, x := range []struct {
		waits            time.Duration
		dialog, answered string
	}{{5 * time.Minute, "the app waits 5 minutes for you", `"waits":"5 minutes"`}, {0, "the app does not wait for you", `"waits":""`}} {
		streams.Waits = x.waits
		ann.get("/streams/7").is(200).has(x.dialog)
		ann.get("/streams/7/state").is(200).has(x.answered)
	}
	for _, of := range []string{"", "/state", "/socket", "/events"} {
		ann.get("/streams/8" + of).is(404)
		s.as("olga").get("/streams/7" + of).is(404)
	}
	// What administrators have to say, until the page has shown it.
	streams.Messages = []session.Message{{N: 1, By: session.Actor{Role: session.Admin, Name: "olga"}, Text: "Save </script>"}, {N: 2, Text: "now"}}
	ann.get("/streams/7/state").is(200).has(`"messages":[{"n":1,"from":"olga","text":"Save `, `"n":2`)
	ann.get("/streams/7").is(200).lacks("Save </script>")
	s.as("olga").post("/streams/7/shown", vals("n", "1")).is(404)
	for _, n := range []string{"", "x", "-1", "5000000000"} {
		ann.post("/streams/7/shown", vals("n", n), "HX-Request", "true").is(400)
	}
	ann.post("/streams/7/shown", vals("n", "1"), "HX-Request", "true").is(204)
	ann.get("/streams/7/state").is(200).has(`"messages":[{"n":2`)
	if streams.viewed != 2 {
		t.Errorf("%d sockets were opened", streams.viewed)
	}
	// Without a script, and for nobody but its user.
	s.as("olga").post("/streams/7/end", nil).is(404)
	ann.post("/streams/7/end", nil).is(200).has("Ended by its user.", "Launch again")

	// The script of somebody who is signed out gets no page to sign in.
	for of, want := range map[string]int{"": 303, "/state": 401, "/socket": 401} {
		w := httptest.NewRecorder()
		routes.ServeHTTP(w, httptest.NewRequest("GET", "/streams/7"+of, nil))
		if w.Code != want {
			t.Errorf("%s, signed out: %d, want %d", of, w.Code, want)
		}
	}
	// A host from a request gets into the policy only if it is one.
	r := httptest.NewRequest("GET", "/streams/7", nil)
	for host, in := range map[string]bool{"leasehold.example.org:8443": true, "[::1]:80": true, "x; script-src *": false} {
		r.Host = host
		p := viewerPolicy(r)
		if strings.Contains(p, host) != in || !strings.HasPrefix(p, contentPolicy) || strings.Contains(p, "unsafe") {
			t.Errorf("%s: %s", host, p)
		}
	}
}
