package server_test

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// TestTokensTooOften: guessing at the API is answered with 429 and when to go on.
func TestTokensTooOften(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		guess := map[string]string{"username": "root", "password": "wrong"}
		for range 5 {
			r.want(401, nil, "POST", "/api/v1/tokens", "", guess)
		}
		resp, err := http.DefaultClient.Do(r.request("POST", "/api/v1/tokens", "", guess))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); resp.StatusCode != 429 || err != nil || n < 1 || !strings.Contains(string(b), "Too many wrong passwords") {
			t.Errorf("%d, Retry-After %q: %s", resp.StatusCode, resp.Header.Get("Retry-After"), b)
		}
		r.want(422, nil, "POST", "/api/v1/tokens", "", map[string]string{"username": strings.Repeat("a", 500_000), "password": "x"})
		if r.log.Len() > 100_000 {
			t.Errorf("the log has %d bytes", r.log.Len())
		}
	})
}
