package web

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"leasehold/internal/control"
	"leasehold/internal/invalid"
	problems "leasehold/internal/server/problem"
	"leasehold/internal/session"
	"leasehold/internal/store"
)

func broken() problem {
	return problem{
		Title: "This page could not be made",
		Text:  "It is the server’s fault, and it is in its log under the number below. Nothing is known to have changed; look before trying again.",
	}
}

// fail answers with the page for an error: what happened and what to do.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	var refused *session.RefusedError
	var denied *session.Refusal
	var bad invalid.Error
	var tooMany *control.TooManyError
	switch {
	case errors.As(err, &tooMany):
		problems.SetRetryAfter(w.Header(), tooMany.After)
		s.problem(w, r, http.StatusTooManyRequests, problem{Title: "Not now", Text: tooMany.What, Link: home(r), LinkName: "Back"})
	case errors.Is(err, context.Canceled):
		return // nobody waits for the answer
	case errors.Is(err, store.ErrNotFound):
		s.problem(w, r, http.StatusNotFound, problem{
			Title: "There is no such page",
			Text:  "What it was about may have been deleted, or the address is wrong.",
			Link:  home(r), LinkName: "Start again",
		})
	case errors.Is(err, control.ErrSignIn):
		// It ended between being let in and here.
		http.Redirect(w, r, "/sign-in", http.StatusSeeOther)
	case errors.Is(err, control.ErrDenied):
		s.problem(w, r, http.StatusForbidden, problem{Title: "You may not do this", Text: "An administrator can.", Link: "/", LinkName: "Your apps"})
	case errors.Is(err, store.ErrBadPageToken):
		s.problem(w, r, http.StatusBadRequest, problem{
			Title: "This page of the list is gone",
			Text:  "Its address belongs to another search or order.",
			Link:  r.URL.Path, LinkName: "First page",
		})
	case errors.As(err, &refused):
		s.problem(w, r, http.StatusConflict, problem{Title: "Nothing was changed", Text: title(refused.Why) + ".", Link: home(r), LinkName: "Back"})
	case errors.As(err, &denied):
		s.problem(w, r, http.StatusForbidden, problem{Title: "This cannot be launched", Text: denied.Message, Link: "/", LinkName: "Your apps"})
	case errors.As(err, &bad):
		s.problem(w, r, http.StatusBadRequest, problem{
			Title: "This address is not right",
			Text:  sentences(bad),
			Link:  r.URL.Path, LinkName: "Without what is wrong",
		})
	case errors.Is(err, control.ErrLastAdmin):
		s.problem(w, r, http.StatusConflict, problem{Title: "Nothing was changed", Text: title(err.Error()) + ".", Link: "/admin/users", LinkName: "Users"})
	case errors.Is(err, store.ErrInUse):
		s.problem(w, r, http.StatusConflict, problem{Title: "Nothing was changed", Text: "Something else still needs it.", Link: home(r), LinkName: "Back"})
	default:
		s.Log.Error("page failed", "request", requestID(r), "method", r.Method, "path", r.URL.Path, "err", err)
		s.problem(w, r, http.StatusInternalServerError, broken())
	}
}

// badForm says that a form, or the query of an address, could not be read.
func (s *Server) badForm(w http.ResponseWriter, r *http.Request, err error) {
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		s.problem(w, r, http.StatusRequestEntityTooLarge, problem{Title: "This form is too large", Text: "Nothing was changed. A form may have at most 1 MB."})
		return
	}
	s.problem(w, r, http.StatusBadRequest, problem{Title: "This could not be read", Text: "Nothing was changed. The address or the form is broken.", Link: home(r), LinkName: "Start again"})
}

// problem sends a problem's page.
func (s *Server) problem(w http.ResponseWriter, r *http.Request, code int, p problem) {
	p.RequestID = requestID(r)
	v := viewerOf(userOf(r))
	if err := s.write(w, r, code, page{Title: p.Title, Portal: !v.Admin, Viewer: v}, problemView(p)); err != nil {
		s.Log.Error("problem page", "request", p.RequestID, "err", err)
	}
}

// home is where somebody who is lost goes.
func home(r *http.Request) string {
	if v := viewerOf(userOf(r)); v.Admin {
		return "/admin/sessions"
	}
	return "/"
}

// notFound is every address of administration that is no page.
func notFound(*call) error { return store.ErrNotFound }

// elsewhere is every other address that is no page. Programs get no page to read.
func elsewhere(c *call) error {
	if c.r.Method != http.MethodGet || strings.HasPrefix(c.r.URL.Path, "/api/") || strings.HasPrefix(c.r.URL.Path, "/agent/") {
		http.NotFound(c.w, c.r)
		return nil
	}
	return store.ErrNotFound
}
