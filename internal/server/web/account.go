package web

import (
	"errors"
	"net/http"
	"strings"

	"leasehold/internal/invalid"
)

const accountPath = "/account"

// An accountForm is what people may set of their own account, as they typed it.
type accountForm struct {
	Facts []fact
	Zone  string
	Error string
}

// accountPage is what the signed-in person's account says of them, and their own settings.
func accountPage(c *call) error {
	f := accountForm{Zone: userOf(c.r).TimeZone}
	if c.takeKept() {
		f.Zone = typedZone(c)
	}
	return c.accountForm(http.StatusOK, f)
}

func typedZone(c *call) string { return strings.TrimSpace(c.r.PostFormValue("time_zone")) }

func (c *call) accountForm(code int, f accountForm) error {
	u := userOf(c.r)
	f.Facts = []fact{{Name: "User name", Text: u.Username}, {Name: "Name", Text: u.Name}}
	if u.Email != "" {
		f.Facts = append(f.Facts, fact{Name: "Email", Text: u.Email})
	}
	f.Facts = append(f.Facts, fact{Name: "Role", Text: string(u.Role)})
	return c.showAs(code, page{Title: "Your account", Portal: true}, accountView(f))
}

// saveAccount stores the person's own settings.
func saveAccount(c *call) error {
	f := accountForm{Zone: typedZone(c)}
	err := c.Control.SetTimeZone(c.r.Context(), c.who(), f.Zone)
	var bad invalid.Error
	switch {
	case errors.As(err, &bad):
		errs := fieldErrors(bad)
		f.Error = errs["time_zone"]
		return c.accountForm(http.StatusUnprocessableEntity, f)
	case err != nil:
		return err
	}
	c.setFlash(toast{Text: "Your settings are saved."})
	return c.redirect(accountPath)
}
