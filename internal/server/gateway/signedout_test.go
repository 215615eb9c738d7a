package gateway

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"leasehold/internal/wslink"
)

// TestSignedOut: a browser whose request is ended by whoever let it in is told so at once,
// while it waits for its host and while it shows the stream.
func TestSignedOut(t *testing.T) {
	for name, host := range map[string]func(*node, string){"joined": echo, "waiting": func(*node, string) {}} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, Config{}, host)
			ctx, signOut := context.WithCancel(t.Context())
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				n.errs <- n.View(w, r.WithContext(ctx), 1)
			}))
			defer srv.Close()
			c, _, err := websocket.Dial(t.Context(), "ws"+strings.TrimPrefix(srv.URL, "http"), &websocket.DialOptions{Subprotocols: []string{"binary"}})
			if err != nil {
				t.Fatal(err)
			}
			if name == "joined" {
				n.said(c, "x")
			}
			signOut()
			if code, reason := n.told(c); code != wslink.Refused || reason != "You were signed out." {
				t.Errorf("told %d %q", code, reason)
			}
			if err := <-n.errs; err != nil {
				t.Error(err)
			}
		})
	}
}

// TestRefuse: a browser that is let in no further is told why.
func TestRefuse(t *testing.T) {
	n := newNode(t, Config{}, nil)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := n.Refuse(w, r, "Too many."); err != nil {
			t.Error(err)
		}
	}))
	defer srv.Close()
	c, _, err := websocket.Dial(t.Context(), "ws"+strings.TrimPrefix(srv.URL, "http"), &websocket.DialOptions{Subprotocols: []string{"binary"}})
	if err != nil {
		t.Fatal(err)
	}
	if code, reason := n.told(c); code != wslink.Refused || reason != "Too many." {
		t.Errorf("told %d %q", code, reason)
	}
}
