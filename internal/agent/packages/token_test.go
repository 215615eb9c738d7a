package packages

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

// The large public registries give even those who are nobody a token first. It serves for
// the rest of a download, too.
func TestAnonymousToken(t *testing.T) {
	ours(t)
	h := newHub(t)
	p := mustPush(t, h.host+"/tools/app:1", folder(t, 200_000), Build{})
	var mu sync.Mutex
	var scopes []string
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case r.URL.Path == "/token":
			scopes = append(scopes, r.URL.Query().Get("scope"))
			if r.Header.Get("Authorization") != "" {
				t.Error("credentials out of nowhere")
			}
			fmt.Fprint(w, `{"token":"for-nobody"}`)
		case r.Header.Get("Authorization") != "Bearer for-nobody":
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token",service="hub"`, r.Host))
			w.WriteHeader(http.StatusUnauthorized)
		default:
			http.Redirect(w, r, "http://"+h.host+r.URL.Path, http.StatusTemporaryRedirect) // to where the bytes are
		}
	}))
	defer front.Close()
	q := *p
	q.Reference = strings.Replace(p.Reference, h.host, strings.TrimPrefix(front.URL, "http://"), 1)
	dir := t.TempDir()
	h.change(func(h *hub) { h.cut = 50_000 })
	if err := New(dir, nil).Add(t.Context(), &q, nil); err == nil || Final(err) {
		t.Fatalf("cut short: %v", err)
	}
	h.change(func(*hub) {})
	s := New(dir, nil)
	if err := s.Add(t.Context(), &q, nil); err != nil {
		t.Fatal(err)
	}
	if _, blobs := h.asked(); len(blobs) != 1 || !strings.Contains(blobs[0], "bytes=50000-") {
		t.Errorf("asked for %q", blobs)
	}
	if want := []string{"repository:tools/app:pull", "repository:tools/app:pull"}; !slices.Equal(scopes, want) {
		t.Errorf("tokens for %q, want one for each attempt", scopes)
	}
	if err := s.Remove(&q, none); err != nil {
		t.Error(err)
	}
	empty(t, dir)
}
