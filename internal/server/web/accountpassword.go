package web

import (
	"errors"
	"net/http"

	"leasehold/internal/control"
	problems "leasehold/internal/server/problem"
)

const passwordPath = "/account/password"

// A passwordForm is the page on which people change their own password.
type passwordForm struct {
	Username string
	Must     bool // before anything else
	None     bool // there is no password here
	Errors   map[string]string
	Error    string
}

func passwordPage(c *call) error { return c.passwordForm(http.StatusOK, passwordForm{}) }

func (c *call) passwordForm(code int, f passwordForm) error {
	u := userOf(c.r)
	f.Username, f.Must, f.None = u.Username, u.MustChangePassword, u.PasswordHash == ""
	return c.showAs(code, page{Title: "Password", Portal: true}, passwordView(f))
}

// changePassword changes the person's own password.
func changePassword(c *call) error {
	err := c.Control.ChangePassword(c.r.Context(), c.who(), signInOf(c.r), c.r.PostFormValue("current_password"), c.r.PostFormValue("new_password"))
	var tooMany *control.TooManyError
	switch {
	case err == nil:
		c.setFlash(toast{Text: "The password is changed. You are signed out everywhere else."})
		return c.redirect("/")
	case errors.As(err, &tooMany):
		problems.SetRetryAfter(c.w.Header(), tooMany.After)
		return c.passwordForm(http.StatusTooManyRequests, passwordForm{Error: tooMany.What})
	case errors.Is(err, control.ErrNoPassword):
		return c.passwordForm(http.StatusConflict, passwordForm{})
	}
	errs, err := wrong(err)
	if err != nil {
		return err
	}
	return c.passwordForm(http.StatusUnprocessableEntity, passwordForm{Errors: errs, Error: rest(errs, "current_password", "new_password")})
}
