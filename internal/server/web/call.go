package web

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"

	"leasehold/internal/control"
	"leasehold/internal/directory"
)

// A call is one request for a page.
type call struct {
	*Server
	w http.ResponseWriter
	r *http.Request
}

// A handler answers a call, or returns why it cannot; the error becomes a page.
type handler func(*call) error

func (s *Server) handle(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// A form that cannot be read whole must not be taken for an empty one.
		if err := r.ParseForm(); err != nil {
			s.badForm(w, r, err)
			return
		}
		if err := h(&call{s, w, r}); err != nil {
			s.fail(w, r, err)
		}
	})
}

// who is the signed-in person as the use cases know callers.
func (c *call) who() control.Who {
	if u := userOf(c.r); u != nil {
		return control.WhoIs(u, c.ClientIP(c.r))
	}
	return control.Who{From: c.ClientIP(c.r)}
}

func viewerOf(u *directory.User) viewer {
	if u == nil {
		return viewer{}
	}
	v := viewer{Name: u.Name, Username: u.Username, Admin: u.Role == directory.RoleAdmin, Zone: u.TimeZone}
	if v.Name == "" {
		v.Name = u.Username
	}
	return v
}

// id is the number in the path, 0 if it is none.
func (c *call) id() int64 {
	n, err := strconv.ParseInt(c.r.PathValue("id"), 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// live reports whether the page's script asks, for a part of the page.
func (c *call) live() bool { return c.r.Header.Get("HX-Request") == "true" }

// show renders a page.
func (c *call) show(p page, body templ.Component) error {
	return c.showAs(http.StatusOK, p, body)
}

func (c *call) showAs(code int, p page, body templ.Component) error {
	p.Viewer = viewerOf(userOf(c.r))
	if !c.live() {
		p.Flash = c.flash()
		if p.Flash != nil && p.Flash.File != "" {
			// Without the script this begins the download, and the page stays.
			c.w.Header().Set("Refresh", "0; url="+p.Flash.File)
		}
	}
	return c.write(c.w, c.r, code, p, body)
}

// write renders a page whole before it sends any of it, so that a failure becomes an
// error page and not half of one.
func (s *Server) write(w http.ResponseWriter, r *http.Request, code int, p page, body templ.Component) error {
	p.assets, p.Theme, p.Path = s.assets, theme(r), r.URL.RequestURI()
	if p.Now.IsZero() {
		p.Now = time.Now()
	}
	var buf bytes.Buffer
	if err := layout(p).Render(templ.WithChildren(withFocus(r.Context()), body), &buf); err != nil {
		return err
	}
	send(w, r, code, buf.Bytes())
	return nil
}

// fragment sends a piece of HTML alone.
func (c *call) fragment(body templ.Component) error {
	var buf bytes.Buffer
	if err := body.Render(c.r.Context(), &buf); err != nil {
		return err
	}
	send(c.w, c.r, http.StatusOK, buf.Bytes())
	return nil
}

// send writes a page. That nobody is there any more to read it is no error.
func send(w http.ResponseWriter, r *http.Request, code int, html []byte) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Add("Vary", "Accept-Encoding")
	if len(html) < 1400 || !acceptsGzip(r) {
		w.WriteHeader(code)
		w.Write(html)
		return
	}
	h.Set("Content-Encoding", "gzip")
	w.WriteHeader(code)
	gz, _ := gzip.NewWriterLevel(w, gzip.BestSpeed) // it is a level
	gz.Write(html)
	gz.Close()
}

// done finishes a change: the script gets the toast, a plain form is sent back with it.
func (c *call) done(back string, t toast) error {
	if c.live() {
		return c.fragment(toastView(t))
	}
	c.setFlash(t)
	http.Redirect(c.w, c.r, back, http.StatusSeeOther)
	return nil
}

func (c *call) setFlash(t toast) {
	data, err := json.Marshal(t)
	if err != nil {
		return // strings and a bool always marshal
	}
	c.sessions.Put(c.r.Context(), keyFlash, string(data))
}

// flash takes the toast that the last change left.
func (c *call) flash() *toast {
	if !c.sessions.Exists(c.r.Context(), keyFlash) {
		return nil
	}
	var t toast
	if json.Unmarshal([]byte(c.sessions.PopString(c.r.Context(), keyFlash)), &t) != nil {
		return nil
	}
	return &t
}

func (c *call) redirect(to string) error {
	http.Redirect(c.w, c.r, to, http.StatusSeeOther)
	return nil
}

// themeCookie is set by the script too, so it is readable there.
const themeCookie = "leasehold_theme"

func theme(r *http.Request) string {
	if ck, err := r.Cookie(themeCookie); err == nil && (ck.Value == "light" || ck.Value == "dark") {
		return ck.Value
	}
	return ""
}

// setTheme is the theme menu without the script.
func setTheme(c *call) error {
	ck := &http.Cookie{Name: themeCookie, Value: c.r.FormValue("theme"), Path: "/", MaxAge: 365 * 86400, SameSite: http.SameSiteLaxMode, Secure: c.Secure}
	if ck.Value != "light" && ck.Value != "dark" {
		ck.Value, ck.MaxAge = "", -1
	}
	http.SetCookie(c.w, ck)
	return c.redirect(safeReturn(c.r.FormValue("return"), "/"))
}

// finding reports whether a form was sent only to search in one of its pickers.
func (c *call) finding() bool { return c.r.PostFormValue("do") != "" }

// ending is what the form says of the sessions that a change leaves without entitlement.
func (c *call) ending() control.Ending {
	return control.Ending{Now: c.r.PostFormValue("end_running") == "true", Reason: strings.TrimSpace(c.r.PostFormValue("reason"))}
}
