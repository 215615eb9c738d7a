package server_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"leasehold/internal/wire"
)

// TestAgentEventStreams: an agent, of which one copy is enough to keep a server's connections
// busy, has a few event streams open at the most.
func TestAgentEventStreams(t *testing.T) {
	r := newRig(t)
	cred := r.agent(wire.Player)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for i := range 9 {
		resp, err := http.DefaultClient.Do(r.request("GET", wire.PathEvents, cred, nil).WithContext(ctx))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		want := 200
		if i == 8 {
			want = 429
		}
		if resp.StatusCode != want {
			t.Errorf("stream %d: %d, want %d", i+1, resp.StatusCode, want)
		}
	}
}

// TestLimitsOverTheAPI: the limits are settings, and a refusal says what to do.
func TestLimitsOverTheAPI(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		app, _ := r.app("ann")
		ann := r.signIn("ann", password)
		r.want(200, nil, "PATCH", "/api/v1/settings", r.token, map[string]any{"user_launches_per_minute": 1})
		r.want(201, nil, "POST", "/api/v1/launches", ann, map[string]any{"app_id": app})
		var p struct{ Detail string }
		resp, err := http.DefaultClient.Do(r.request("POST", "/api/v1/launches", ann, map[string]any{"app_id": app}))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 429 || resp.Header.Get("Retry-After") == "" {
			t.Errorf("%d, Retry-After %q", resp.StatusCode, resp.Header.Get("Retry-After"))
		}
		r.want(422, &p, "PATCH", "/api/v1/settings", r.token, map[string]any{"user_viewers": 0})
	})
}

// TestRemovedAgent: the event stream of an agent ends when its credential is taken away.
func TestRemovedAgent(t *testing.T) {
	r := newRig(t)
	cred := r.agent(wire.Player)
	resp, err := http.DefaultClient.Do(r.request("GET", wire.PathEvents, cred, nil))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer resp.Body.Close()
		_, _ = io.Copy(io.Discard, resp.Body)
	}()
	r.want(204, nil, "DELETE", "/api/v1/devices/"+strings.Split(cred, ".")[0], r.token, nil)
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Error("its event stream goes on")
	}
}
