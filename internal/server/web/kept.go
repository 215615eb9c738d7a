package web

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"leasehold/internal/directory"
)

// A form that is sent after its sign-in has ended is not lost. The answer is the page to sign
// in, which has the form's values in a hidden field: whoever is not signed in has no place on
// the server to keep them. After signing in they are kept in the browser session, and the form
// is shown with them. It is never sent by itself: what it changes may have changed meanwhile.

const (
	// byField is the hidden field in which a form says whose it is.
	byField = "by"
	// keptField is the field of the page to sign in that holds a form.
	keptField = "kept"
	// keyKept is the browser session's key of a form that its page is still to show.
	keyKept = "kept"
	// maxKept is the largest form that is kept, in bytes of JSON.
	maxKept = 64 << 10
)

// kept is a form that was sent when nobody was signed in.
type kept struct {
	By     string     // user name of whoever was
	Page   string     // address of the page that shows it
	Path   string     // where it was sent
	Values url.Values // without passwords
}

// formPages finds the page of a form by where it is sent. A form that is sent to a list makes
// a record.
var (
	recordForm = regexp.MustCompile(`^/admin/[a-z-]+/[0-9]+(/[a-z0-9-]+)?$`)
	launchPath = regexp.MustCompile(`^/launch/[0-9]+$`)
)

func formPage(path string) string {
	for _, k := range kinds() {
		if path == k.path && k.create != nil {
			return path + "/new"
		}
	}
	if path == settingsPath || path == accountPath || recordForm.MatchString(path) || launchPath.MatchString(path) {
		return path
	}
	return ""
}

// signInAgain answers a form that was sent when nobody was signed in.
func (s *Server) signInAgain(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		s.badForm(w, r, err)
		return
	}
	f := signInForm{Return: safeReturn(r.PostForm.Get("return"), ""), Notice: "You were signed out, and nothing was done."}
	k := kept{By: r.PostForm.Get(byField), Page: formPage(r.URL.Path), Path: r.URL.Path, Values: url.Values{}}
	for name, values := range r.PostForm {
		if !strings.Contains(name, "password") && name != byField {
			k.Values[name] = values
		}
	}
	b, err := json.Marshal(k)
	if err == nil && k.By != "" && k.Page != "" && len(b) <= maxKept {
		f.Kept, f.Username = string(b), k.By
		f.Notice = "You were signed out, and nothing was saved. Sign in to go on with what you typed; passwords must be typed again."
	}
	if err := s.write(w, r, http.StatusUnauthorized, page{Title: "Sign in"}, signInView(f)); err != nil {
		s.fail(w, r, err)
	}
}

// keep puts the form that the page to sign in held into the browser session of its own user,
// and returns the address of its page; "" if there is none.
func (c *call) keep(u *directory.User) string {
	text := c.r.PostFormValue(keptField)
	var k kept
	if len(text) > maxKept || json.Unmarshal([]byte(text), &k) != nil {
		return ""
	}
	k.Page = formPage(k.Path)
	if k.Page == "" {
		return ""
	}
	if k.By != u.Username {
		c.setFlash(toast{Text: "What was typed here before is another person’s and is not shown.", Bad: true})
		return ""
	}
	c.sessions.Put(c.r.Context(), keyKept, text)
	c.setFlash(toast{Text: "Nothing was saved yet. What you typed is here."})
	return k.Page
}

// takeKept makes the call one that sends the form which is kept for this page, but only to
// show it (see finding); false if none is.
func (c *call) takeKept() bool {
	ctx := c.r.Context()
	if c.r.Method != http.MethodGet || !c.sessions.Exists(ctx, keyKept) {
		return false
	}
	var k kept
	if err := json.Unmarshal([]byte(c.sessions.GetString(ctx, keyKept)), &k); err != nil || formPage(k.Path) != c.r.URL.Path {
		return false
	}
	c.sessions.Remove(ctx, keyKept)
	if k.Values == nil {
		k.Values = url.Values{}
	}
	k.Values.Set("do", "kept")
	r := c.r.Clone(ctx)
	r.Method, r.PostForm, r.Form = http.MethodPost, k.Values, k.Values
	c.r = r
	return true
}
