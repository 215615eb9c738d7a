package web

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"leasehold/internal/calendar"
	"leasehold/internal/control"
	"leasehold/internal/directory"
	"leasehold/internal/invalid"
	"leasehold/internal/store"
)

const tokensPath = "/account/tokens"

// A tokenForm is the page of one's own API tokens, with the form that makes one.
type tokenForm struct {
	Tokens []*store.Token
	Made   string // the text of the one that was made just now
	Name   string
	Days   string
	Scope  directory.Scope
	Errors map[string]string
	Error  string
}

func tokensPage(c *call) error {
	return c.tokenForm(http.StatusOK, tokenForm{Days: strconv.Itoa(int(control.NamedTokenLife / (24 * time.Hour))), Scope: directory.ScopeRead, Made: c.takeSecret("token")})
}

func (c *call) tokenForm(code int, f tokenForm) (err error) {
	if f.Tokens, err = c.Control.Tokens(c.r.Context(), c.who()); err != nil {
		return err
	}
	now := time.Now()
	return c.showAs(code, page{Title: "API tokens", Portal: true, Now: now}, tokensView(f, now))
}

// newToken makes one of the person's own tokens and leads to the page, which shows its text.
func newToken(c *call) error {
	get := func(name string) string { return strings.TrimSpace(c.r.PostFormValue(name)) }
	f := tokenForm{Name: get("name"), Days: get("days"), Scope: directory.Scope(get("scopes"))}
	terms := control.TokenTerms{Name: f.Name, Scopes: directory.Scopes{f.Scope}}
	var e invalid.Error
	if days, err := strconv.Atoi(f.Days); err != nil || days < 1 || days > 366 {
		e.Add("days", "must be a whole number, from 1 to 366")
	} else {
		terms.ExpiresAt = time.Now().Add(calendar.Days(days) - time.Minute) // the database's clock may be a little behind
	}
	err := e.Err()
	if err == nil {
		var text string
		if text, _, err = c.Control.NewNamedToken(c.r.Context(), c.who(), terms); err == nil {
			if err := c.putSecret("token", text); err != nil {
				return err
			}
			return c.redirect(tokensPath)
		}
	}
	errs, err := wrong(err)
	if err != nil {
		return err
	}
	f.Errors, f.Error = errs, rest(errs, "name", "days")
	return c.tokenForm(http.StatusUnprocessableEntity, f)
}

// deleteToken deletes one of the person's own tokens.
func deleteToken(c *call) error {
	if err := c.Control.DeleteToken(c.r.Context(), c.who(), c.id()); err != nil {
		return err
	}
	c.setFlash(toast{Text: "The token is deleted."})
	return c.redirect(tokensPath)
}

// tokenName is what a token is called, and tokenScope what it may do.
func tokenName(t *store.Token) string {
	if t.Name == "" {
		return "Signed in by a program"
	}
	return t.Name
}

func tokenScope(t *store.Token) string {
	if t.Scopes.Allow(http.MethodPost) {
		return "reads and writes"
	}
	return "reads"
}
