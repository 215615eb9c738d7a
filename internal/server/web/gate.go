package web

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"leasehold/internal/auth"
	"leasehold/internal/control"
	"leasehold/internal/directory"
	"leasehold/internal/server/recovery"
)

// maxForm is the largest form that is read, in bytes.
const maxForm = 1 << 20

// contentPolicy lets pages load from this origin alone, and nothing inline.
const contentPolicy = "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// Keys of the browser session.
const (
	keySignIn = "sign-in" // int64: the sign-in, see control.SignedIn
	keyFlash  = "flash"   // string: a toast for the next page, in JSON
	keyLinks  = "link:"   // + session id: a launch link, until it is redeemed

	keySealed = "sealed:" // + kind: a secret that the next page shows, see putSecret
)

type contextKey int

const (
	userKey contextKey = iota
	signInKey
	requestIDKey
)

// gate lets in whom the access names, says no to others in words, and gives every page
// the same protection.
func (s *Server) gate(a auth.Access, h http.Handler) http.Handler {
	h = s.admit(a, h)
	h = s.sessions.LoadAndSave(h)
	h = s.guardForms(h)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := w.Header().Get("X-Request-Id") // the outer server's, if it gives one
		if id == "" {
			id = rand.Text()[:12]
			w.Header().Set("X-Request-Id", id)
		}
		r = r.WithContext(context.WithValue(r.Context(), requestIDKey, id))
		hd := w.Header()
		hd.Set("Content-Security-Policy", contentPolicy)
		hd.Set("X-Content-Type-Options", "nosniff")
		hd.Set("Referrer-Policy", "same-origin")
		hd.Set("Cross-Origin-Opener-Policy", "same-origin")
		hd.Set("Cache-Control", "no-store") // the next person at this machine pages back to nothing
		hd.Add("Vary", "HX-Request")
		recovery.Serve(h, recovery.NewWriter(w), r, s.Log, func(w http.ResponseWriter, r *http.Request) {
			s.problem(w, r, http.StatusInternalServerError, broken())
		})
	})
}

// guardForms refuses forms that another site posts, and forms that are too large.
func (s *Server) guardForms(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := s.origins.Check(r); err != nil {
			s.problem(w, r, http.StatusForbidden, problem{
				Title: "This form came from another site",
				Text:  "Nothing was changed. Open the page here and send the form from it.",
			})
			return
		}
		if r.Body != nil {
			r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		}
		h.ServeHTTP(w, r)
	})
}

// admit finds out who is signed in and lets them in or not.
func (s *Server) admit(a auth.Access, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u, err := s.signedIn(r)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		if u != nil {
			control.RequestOf(r.Context()).Actor = control.WhoIs(u, "").Actor().String()
			ctx := context.WithValue(r.Context(), userKey, u)
			r = r.WithContext(context.WithValue(ctx, signInKey, s.sessions.GetInt64(ctx, keySignIn)))
		}
		switch {
		case a == auth.Public:
		case u == nil:
			back := "/"
			if r.Method == http.MethodGet {
				back = r.URL.RequestURI()
			}
			if isForScript(r.URL.Path) {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			if r.Method == http.MethodPost && r.Header.Get("HX-Request") != "true" {
				// The script keeps its form itself, where it is.
				s.signInAgain(w, r)
				return
			}
			target := "/sign-in"
			if back != "/" {
				target += "?return=" + url.QueryEscape(back)
			}
			http.Redirect(w, r, target, http.StatusSeeOther)
			return
		case u.MustChangePassword && !mayWait(r.URL.Path):
			// Whatever they came for waits until the password is theirs alone.
			if isForScript(r.URL.Path) {
				w.WriteHeader(http.StatusForbidden)
				return
			}
			http.Redirect(w, r, passwordPath, http.StatusSeeOther)
			return
		case a == auth.AdminOnly && u.Role != directory.RoleAdmin:
			s.problem(w, r, http.StatusForbidden, problem{
				Title: "Only administrators see this page",
				Text:  "You are signed in as " + u.Username + ", who is not one. An administrator can change that, or you can sign in with another account.",
				Link:  "/", LinkName: "Your apps",
			})
			return
		}
		h.ServeHTTP(w, r)
	})
}

// mayWait reports whether a page can be used before a password is changed that must be.
func mayWait(path string) bool {
	return path == passwordPath || path == "/sign-out" || path == "/theme"
}

// isForScript reports whether a page's script asks for an address, and could make nothing of
// the page to sign in.
func isForScript(path string) bool {
	for _, end := range []string{"/events", "/state", "/socket"} {
		if strings.HasSuffix(path, end) {
			return true
		}
	}
	return false
}

// signedIn returns the active user of the request's browser session, nil if there is none.
func (s *Server) signedIn(r *http.Request) (*directory.User, error) {
	ctx := r.Context()
	id := s.sessions.GetInt64(ctx, keySignIn)
	if id == 0 {
		return nil, nil
	}
	u, err := s.Control.SignedIn(ctx, id, byPerson(r))
	if errors.Is(err, control.ErrSignIn) {
		return nil, s.sessions.Destroy(ctx)
	}
	return u, err
}

// refreshHeader is set by the page's script where it asks for what a page shows by itself.
const refreshHeader = "Leasehold-Refresh"

// byPerson reports whether a person has asked, and not a page that is left open.
func byPerson(r *http.Request) bool {
	return r.Header.Get(refreshHeader) == "" && !isForScript(r.URL.Path)
}

// signInOf is the number of the sign-in that a request was let in by.
func signInOf(r *http.Request) int64 {
	id, _ := r.Context().Value(signInKey).(int64)
	return id
}

func userOf(r *http.Request) *directory.User {
	u, _ := r.Context().Value(userKey).(*directory.User)
	return u
}

func requestID(r *http.Request) string {
	id, _ := r.Context().Value(requestIDKey).(string)
	return id
}

// safeReturn is a path on this site to go back to: never another site, whatever the
// form says.
func safeReturn(path, otherwise string) string {
	u, err := url.Parse(path)
	if err != nil || path == "" || u.IsAbs() || u.Host != "" || !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || strings.ContainsAny(path, "\\\r\n") {
		return otherwise
	}
	return path
}
