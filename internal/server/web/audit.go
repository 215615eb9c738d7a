package web

import (
	"strings"

	"leasehold/internal/store"
)

// auditPage is every change that an administrator, or the server, made, newest first.
func auditPage(c *call) error {
	q := c.listQuery("/admin/audit")
	list, next, err := c.Control.Audit(c.r.Context(), "", q.page())
	if err != nil {
		return err
	}
	l := listing{
		Title: "Audit", Pager: q.pager(next),
		Empty:   "Nothing yet. Every change that an administrator makes stands here.",
		Columns: []column{{Key: "time", Name: "When"}, {Key: "m", Name: "Action"}, {Key: "m", Name: "Who"}, {Key: "text", Name: "What"}, {Key: "text", Name: "Reason"}, {Key: "s", Name: "Outcome"}, {Key: "m", Name: "From"}},
	}
	for _, e := range list {
		l.Rows = append(l.Rows, record{ID: itoa(e.ID), Cells: []cell{
			{View: at(e.At)}, {Text: strings.ReplaceAll(e.Action, ".", " ")}, {Text: e.Actor}, {View: targetView(e.Name, e.Target, targetPath(e))},
			{Text: e.Reason, Muted: true}, {Text: e.Outcome, Muted: true}, {Text: e.From, Muted: true}}})
	}
	return c.show(page{Title: "Audit", Nav: "audit"}, listingView(l))
}

// targetPath is the page of what an entry is about, "" if it has none.
func targetPath(e store.AuditEntry) string {
	i := strings.LastIndexByte(e.Target, ' ')
	if i < 0 || strings.HasSuffix(e.Action, ".delete") {
		return ""
	}
	lists := map[string]string{
		"session": sessionsPath, "app": appsPath, "delivery method": methodsPath, "provision": provisionsPath,
		"user": usersPath, "group": groupsPath, "player": devicesPath, "batch": batchesPath,
	}
	if list := lists[e.Target[:i]]; list != "" {
		return list + "/" + e.Target[i+1:]
	}
	return ""
}
