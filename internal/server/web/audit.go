package web

import (
	"fmt"
	"net/url"
	"strings"

	"leasehold/internal/control"
	"leasehold/internal/export"
	"leasehold/internal/invalid"
	"leasehold/internal/server/download"
	"leasehold/internal/store"
)

const auditPath = "/admin/audit"

// An auditQuery is the audit page's state. It stands in the URL and nowhere else, under the
// names that the API uses.
type auditQuery struct {
	Who, Action, Target, From, To string
	Errors                        map[string]string
}

// parts are the filters, with their names in the URL and on the page.
func (q *auditQuery) parts() []struct {
	key, name string
	value     *string
} {
	return []struct {
		key, name string
		value     *string
	}{{"who", "who", &q.Who}, {"action", "action", &q.Action}, {"target", "what", &q.Target}, {"from", "from", &q.From}, {"to", "to", &q.To}}
}

func (q auditQuery) values() url.Values {
	v := url.Values{}
	for _, p := range q.parts() {
		if *p.value != "" {
			v.Set(p.key, *p.value)
		}
	}
	return v
}

// at is the list's page under a token.
func (q auditQuery) at(token string) string {
	v := q.values()
	if token != "" {
		v.Set("page_token", token)
	}
	return withQuery(auditPath, v)
}

// file is the address of the export of what the filter selects.
func (q auditQuery) file(f export.Format) string {
	v := q.values()
	v.Set("format", string(f))
	return withQuery(auditPath+"/export", v)
}

// chips are the filters that are set, each with the list without it.
func (q auditQuery) chips() (cs []chip) {
	for i, p := range q.parts() {
		if *p.value != "" {
			off := q
			*off.parts()[i].value = ""
			cs = append(cs, chip{p.name, *p.value, off.at("")})
		}
	}
	return cs
}

// auditQuery reads the state from the URL. Dates that are none are an [invalid.Error].
func (c *call) auditQuery() (q auditQuery, sq store.AuditQuery, err error) {
	v := c.r.URL.Query()
	for _, p := range q.parts() {
		*p.value = strings.TrimSpace(v.Get(p.key))
	}
	set, err := c.Control.Settings(c.r.Context())
	if err != nil {
		return q, sq, err
	}
	var e invalid.Error
	sq = store.AuditQuery{Who: q.Who, Action: q.Action, Target: q.Target}
	sq.From, sq.To = e.Period(q.From, q.To, set.Location())
	if len(e) > 0 {
		q.Errors = fieldErrors(e)
	}
	return q, sq, e.Err()
}

// auditPage is what people, agents and the server did and were refused, newest first.
func auditPage(c *call) error {
	q, sq, err := c.auditQuery()
	if err != nil && q.Errors == nil {
		return err
	}
	token := c.r.URL.Query().Get("page_token")
	sq.Page = store.Page{Size: listPageSize, Token: token}
	l := listing{Title: "Audit", Top: auditFilterView(q), Chips: q.chips(), Clear: auditPath, Extra: auditExports(q), Pager: pager{Forward: true},
		Empty:   "No entries yet. Every change, every sign-in and every refusal is recorded here.",
		Columns: []column{{Key: "m", Name: "Action"}, {Key: "time", Name: "When"}, {Key: "m", Name: "Who"}, {Key: "text", Name: "What"}, {Key: "text", Name: "Changed"}, {Key: "m", Name: "Outcome"}, {Key: "m", Name: "From"}},
	}
	if len(l.Chips) > 0 {
		l.Empty = "No entry matches the filter."
	}
	var list []store.AuditEntry
	if err == nil {
		var next string
		if list, next, err = c.Control.Audit(c.r.Context(), sq); err != nil {
			return err
		}
		if token != "" {
			l.Pager.First = q.at("")
		}
		if next != "" {
			l.Pager.Next = q.at(next)
		}
	}
	for _, e := range list {
		l.Rows = append(l.Rows, record{ID: itoa(e.ID), Path: auditPath + "/" + itoa(e.ID), Cells: []cell{
			{Text: actionText(e.Action)}, {View: at(e.At)}, {Text: e.Actor}, {View: targetView(e.Name, e.Target, targetPath(e))},
			{Text: changedText(e), Muted: true}, {Text: outcomeText(e), Muted: true}, {Text: e.From, Muted: true}}})
	}
	return c.show(page{Title: "Audit", Nav: "audit"}, listingView(l))
}

func actionText(action string) string { return strings.ReplaceAll(action, ".", " ") }

func outcomeText(e store.AuditEntry) string {
	if e.Count > 1 {
		return fmt.Sprintf("%s, %d times", e.Outcome, e.Count)
	}
	return e.Outcome
}

// changedText says in a line why something was done, or which fields it changed.
func changedText(e store.AuditEntry) string {
	if e.Reason != "" {
		return e.Reason
	}
	const most = 3
	var names []string
	for i, x := range e.Changes {
		if i == most {
			names = append(names, fmt.Sprintf("%d more", len(e.Changes)-most))
			break
		}
		names = append(names, fieldText(x.Field))
	}
	return strings.Join(names, ", ")
}

// fieldText is a field of the audit log as the pages call it.
func fieldText(name string) string {
	if l := labels[name]; l != "" {
		return l
	}
	return strings.ReplaceAll(name, "_", " ")
}

// auditEntryPage shows an entry with all that it changed.
func auditEntryPage(c *call) error {
	e, err := c.Control.AuditEntry(c.r.Context(), c.id())
	if err != nil {
		return err
	}
	facts := []fact{{Name: "When", View: at(e.At)}, {Name: "Who", Text: e.Actor}, {Name: "What", View: targetView(e.Name, e.Target, targetPath(*e))}, {Name: "Outcome", Text: outcomeText(*e)}}
	for _, f := range []fact{{Name: "Reason", Text: e.Reason}, {Name: "From", Text: e.From}, {Name: "Request", Text: e.RequestID}} {
		if f.Text != "" {
			facts = append(facts, f)
		}
	}
	return c.show(page{Title: "Audit entry " + itoa(e.ID), Nav: "audit"}, auditEntryView(e, facts))
}

// auditExport sends what the filter selects as a file.
func auditExport(c *call) error {
	_, sq, err := c.auditQuery()
	if err != nil {
		return err
	}
	set, err := c.Control.Settings(c.r.Context())
	if err != nil {
		return err
	}
	inner, closed, err := c.Control.Open(c.r.Context(), control.Download, c.who().UserID, control.By{SignIn: signInOf(c.r)})
	if err != nil {
		return err
	}
	defer closed()
	o := export.Options{Format: export.Format(c.r.URL.Query().Get("format")), Zone: set.Location()}
	return download.Audit(c.w, c.r.WithContext(inner), c.Control, c.Log, c.who(), sq, o)
}

// targetPath is the page of what an entry is about, "" if it has none.
func targetPath(e store.AuditEntry) string {
	i := strings.LastIndexByte(e.Target, ' ')
	if i < 0 || strings.HasSuffix(e.Action, ".delete") {
		return ""
	}
	lists := map[string]string{
		"session": sessionsPath, "app": appsPath, "delivery method": methodsPath, "provision": provisionsPath,
		"user": usersPath, "group": groupsPath, "player": devicesPath, "batch": batchesPath, "enrolment key": keysPath,
	}
	if list := lists[e.Target[:i]]; list != "" {
		return list + "/" + e.Target[i+1:]
	}
	return ""
}
