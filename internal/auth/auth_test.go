package auth

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestPassword(t *testing.T) {
	h := HashPassword("correct horse")
	if ok, err := CheckPassword(h, "correct horse"); !ok || err != nil {
		t.Errorf("%v %v", ok, err)
	}
	if ok, err := CheckPassword(h, "Correct horse"); ok || err != nil {
		t.Errorf("another password: %v %v", ok, err)
	}
	if HashPassword("correct horse") == h {
		t.Error("two hashes of one password are the same: there is no salt")
	}
	for _, bad := range []string{"", "x", "$argon2i$v=19$m=1,t=1,p=1$AA$AA", strings.Replace(h, fmt.Sprint("m=", argonMemory), "m=99999999", 1), strings.Replace(h, "t=1", "t=0", 1), strings.Replace(h, "v=19", "v=18", 1), h[:len(h)-44] + "$"} {
		if ok, err := CheckPassword(bad, "correct horse"); ok || !errors.Is(err, ErrBadHash) && bad != h[:len(h)-44]+"$" {
			t.Errorf("%q: %v %v", bad, ok, err)
		}
	}
}

func TestRouteWithoutAccess(t *testing.T) {
	r := NewRoutes()
	gate := func(a Access, h http.Handler) http.Handler { return h }
	r.Handle("GET /a", Public, gate, http.NotFoundHandler())
	defer func() {
		if recover() == nil {
			t.Error("a route without an access is let in")
		}
		if got := r.List(); len(got) != 1 || got[0] != "GET /a: public" {
			t.Errorf("%v", got)
		}
		w := httptest.NewRecorder()
		r.ServeHTTP(w, httptest.NewRequest("GET", "/b", nil))
		if w.Code != 404 {
			t.Error(w.Code)
		}
	}()
	r.Handle("GET /b", 0, gate, http.NotFoundHandler())
}
