package web

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"leasehold/internal/calendar"
	"leasehold/internal/control"
	"leasehold/internal/export"
	"leasehold/internal/invalid"
	"leasehold/internal/server/download"
	"leasehold/internal/session"
)

// An exportAsk is the dialog that asks for the period of an export, and the form without
// the script. It is the same for either kind of session.
type exportAsk struct {
	Kind     session.Kind
	Path     string // where the form goes
	Hidden   [][2]string
	Back     string
	From, To string // dates
	Format   string
	BOM      bool
	Zone     string   // of the dates and of all times in the file
	Narrowed []string // what the list's filter selects, but for the period
	History  bool     // deleted ones too
	Errors   map[string]string
}

// exportDialog asks for the period, for the list that the query is of.
func (c *call) exportDialog(code int, q sessionQuery, v url.Values, bad map[string]string) error {
	set, err := c.Control.Settings(c.r.Context())
	if err != nil {
		return err
	}
	zone := set.Location()
	ask := exportAsk{
		Kind: q.Kind, Path: q.base() + "/export/begin", Back: safeReturn(v.Get("return"), q.path()), Hidden: q.hidden("from", "to"),
		Format: cmp.Or(v.Get("format"), string(export.CSV)), BOM: v.Get("bom") == "true", Zone: set.TimeZone, History: q.History, Errors: bad,
	}
	ask.Hidden = append(ask.Hidden, [2]string{"return", ask.Back})
	day := func(text string, t time.Time) string {
		if d, err := calendar.ParseDate(text); err == nil {
			return d.String()
		}
		return calendar.DateOf(t, zone).String()
	}
	switch {
	case bad != nil:
		ask.From, ask.To = q.FromText, q.ToText
	case q.FromText == "" && q.ToText == "":
		today := calendar.DateOf(time.Now(), zone)
		ask.From, ask.To = today.FirstOfMonth().String(), today.String()
	default:
		if !q.From.IsZero() {
			ask.From = day(q.FromText, q.From)
		}
		if !q.To.IsZero() {
			ask.To = day(q.ToText, q.To.Add(-time.Microsecond)) // the period ends before it
		}
	}
	rest := q.with(func(q *sessionQuery) { q.FromText, q.ToText, q.History = "", "", false })
	chips, err := c.sessionChips(rest)
	if err != nil {
		return err
	}
	if q.Q != "" {
		ask.Narrowed = append(ask.Narrowed, "search: "+q.Q)
	}
	for _, x := range chips {
		ask.Narrowed = append(ask.Narrowed, x.Name+": "+x.Value)
	}
	return c.showAs(code, page{Title: "Select range", Nav: navOf(q.Kind)}, exportView(ask))
}

// exportPage asks for the period of an export of what the list selects.
func exportPage(c *call) error {
	v := c.r.URL.Query()
	q, err := c.sessionQuery(v)
	if err != nil {
		return err
	}
	return c.exportDialog(http.StatusOK, q, v, nil)
}

// exportQuery is what a request for a file asks for. A period that is none is returned with
// the query as far as it could be read.
func (c *call) exportQuery(v url.Values) (q sessionQuery, o export.Options, err error) {
	if q, err = c.sessionQuery(v); err != nil {
		return q, o, err
	}
	set, err := c.Control.Settings(c.r.Context())
	if err != nil {
		return q, o, err
	}
	o = export.Options{Format: export.Format(cmp.Or(v.Get("format"), string(export.CSV))), Zone: set.Location()}
	// The form's box stays ticked where it does not apply.
	o.BOM = v.Get("bom") == "true" && o.Format == export.CSV
	return q, o, o.Validate()
}

// beginExport says that an export has begun and leads to its file: the script starts the
// download, or else the page that it goes back to does.
func beginExport(c *call) error {
	v := c.r.URL.Query()
	q, o, err := c.exportQuery(v)
	if bad := (invalid.Error)(nil); errors.As(err, &bad) {
		errs := fieldErrors(bad)
		if errs["from"]+errs["to"] == "" {
			return err
		}
		return c.exportDialog(http.StatusUnprocessableEntity, q, v, errs)
	}
	if err != nil {
		return err
	}
	f := q.filter()
	f.Set("format", string(o.Format))
	if o.BOM {
		f.Set("bom", "true")
	}
	t := toast{Text: begun(q), File: withQuery(q.base()+"/export/file", f), Name: "Download it again"}
	if c.live() {
		return c.fragment(toldView(t))
	}
	c.setFlash(t)
	return c.redirect(safeReturn(v.Get("return"), q.base()))
}

// begun confirms an export with its period in words.
func begun(q sessionQuery) string {
	day := func(s string) string {
		if d, err := calendar.ParseDate(s); err == nil {
			return d.Format("2 January 2006")
		}
		return s
	}
	s := "The export has begun: "
	switch from, to := day(q.FromText), day(q.ToText); {
	case from == "" && to == "":
		return s + "sessions of any day."
	case to == "":
		return s + "sessions that started on " + from + " or later."
	case from == "":
		return s + "sessions that started on " + to + " or earlier."
	case from == to:
		return s + "sessions that started on " + from + "."
	default:
		return s + "sessions that started from " + from + " to " + to + "."
	}
}

// exportFile is the file.
func exportFile(c *call) error {
	q, o, err := c.exportQuery(c.r.URL.Query())
	if err != nil {
		return err
	}
	closed, err := c.open(control.Download)
	if err != nil {
		return err
	}
	defer closed()
	return download.Sessions(c.w, c.r, c.Control, c.Log, c.who(), q.SessionQuery, o)
}

// applies says which of the list's sessions are exported.
func (e exportAsk) applies() string {
	s := "Every session that started in the period"
	if len(e.Narrowed) > 0 {
		s += " and that the list selects, by " + strings.Join(e.Narrowed, ", ")
	}
	s += ", not only those on the page."
	switch {
	case e.Kind == session.Stream:
		return s + " Prior ones are in it as long as their history is kept."
	case e.History:
		return s + " Deleted ones are in it too."
	}
	return s + " To have deleted ones in it too, switch on History in the list first."
}
