package web

import (
	"errors"
	"net/http"

	"leasehold/internal/control"
	"leasehold/internal/directory"
	"leasehold/internal/invalid"
	problems "leasehold/internal/server/problem"
	"leasehold/internal/store"
)

func signInPage(c *call) error {
	back := safeReturn(c.r.URL.Query().Get("return"), "")
	if userOf(c.r) != nil {
		return c.redirect(safeReturn(back, "/"))
	}
	return c.show(page{Title: "Sign in"}, signInView(signInForm{Return: back}))
}

func signIn(c *call) error {
	f := signInForm{Username: c.r.FormValue("username"), Return: safeReturn(c.r.FormValue("return"), ""), Kept: c.r.PostFormValue(keptField)}
	u, err := c.Control.SignIn(c.r.Context(), control.Credentials{Username: f.Username, Password: c.r.FormValue("password"), From: c.ClientIP(c.r), Browser: c.browser()})
	var tooMany *control.TooManyError
	switch {
	case errors.Is(err, control.ErrSignIn):
		f.Error = "The user name or the password is not right."
		return c.showAs(http.StatusUnauthorized, page{Title: "Sign in"}, signInView(f))
	case errors.As(err, &tooMany):
		f.Error = tooMany.What
		problems.SetRetryAfter(c.w.Header(), tooMany.After)
		return c.showAs(http.StatusTooManyRequests, page{Title: "Sign in"}, signInView(f))
	case err != nil:
		return err
	}
	if err := c.remember(u); err != nil {
		return err
	}
	if err := c.enter(u); err != nil {
		return err
	}
	if page := c.keep(u); page != "" {
		return c.redirect(page)
	}
	return c.redirect(safeReturn(f.Return, "/"))
}

// browserCookie is what a browser shows at a sign-in to say that it has signed in before.
const browserCookie = "leasehold_browser"

func (s *Server) browserCookieName() string {
	if s.Secure {
		return "__Host-" + browserCookie
	}
	return browserCookie
}

// browser is the secret of a browser that has signed in before, "" of any other.
func (c *call) browser() string {
	ck, err := c.r.Cookie(c.browserCookieName())
	if err != nil || len(ck.Value) > 100 {
		return ""
	}
	return ck.Value
}

// remember has the browser say at its next sign-in that the user has signed in with it, so
// that others who guess beside it cannot slow it down.
func (c *call) remember(u *directory.User) error {
	secret, err := c.Control.RememberBrowser(c.r.Context(), u.ID, c.browser())
	if err != nil {
		return err
	}
	http.SetCookie(c.w, &http.Cookie{Name: c.browserCookieName(), Value: secret, Path: "/", MaxAge: int(control.BrowserLife.Seconds()), HttpOnly: true, Secure: c.Secure, SameSite: http.SameSiteLaxMode})
	return nil
}

// enter begins a browser session under a new token, so that one planted before
// sign-in is worth nothing after it.
func (c *call) enter(u *directory.User) error {
	ctx := c.r.Context()
	if err := c.sessions.RenewToken(ctx); err != nil {
		return err
	}
	x, err := c.Control.BeginSignIn(ctx, u, c.ClientIP(c.r), c.r.UserAgent())
	if err != nil {
		return err
	}
	c.sessions.SetDeadline(ctx, x.ExpiresAt)
	c.sessions.Put(ctx, keySignIn, x.ID)
	return nil
}

func signOut(c *call) error {
	if u := userOf(c.r); u != nil {
		// It may have been ended elsewhere, a moment ago.
		if err := c.Control.EndSignIn(c.r.Context(), c.who(), signInOf(c.r)); err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	if err := c.sessions.Destroy(c.r.Context()); err != nil {
		return err
	}
	// What pages keep in the browser is the person's who signs out.
	c.w.Header().Set("Clear-Site-Data", `"storage"`)
	return c.redirect("/sign-in")
}

func setupPage(c *call) error {
	token := c.r.URL.Query().Get("token")
	ok, err := c.Control.NeedsSetup(c.r.Context(), token)
	if err != nil {
		return err
	}
	if !ok {
		return c.setupOver()
	}
	return c.show(page{Title: "Set up"}, setupView(setupForm{Token: token}))
}

// setupOver says that the link is used up, or was never one.
func (c *call) setupOver() error {
	c.problem(c.w, c.r, http.StatusForbidden, problem{
		Title: "This set-up link is not good any more",
		Text:  "It works once, until there is an administrator. If there is none, start the server again: it prints a new link.",
		Link:  "/sign-in", LinkName: "Sign in",
	})
	return nil
}

func setup(c *call) error {
	f := setupForm{Token: c.r.FormValue("token"), Username: c.r.FormValue("username"), Name: c.r.FormValue("name")}
	if f.Name == "" {
		f.Name = f.Username
	}
	u, err := c.Control.Setup(c.r.Context(), f.Token, f.Username, f.Name, c.r.FormValue("password"), c.ClientIP(c.r))
	var bad invalid.Error
	switch {
	case errors.Is(err, control.ErrDenied):
		return c.setupOver()
	case errors.As(err, &bad):
		f.Errors = fieldErrors(bad)
		return c.showAs(http.StatusUnprocessableEntity, page{Title: "Set up"}, setupView(f))
	case err != nil:
		return err
	}
	if err := c.enter(u); err != nil {
		return err
	}
	c.setFlash(toast{Text: "You are the first administrator."})
	return c.redirect("/admin/sessions")
}
