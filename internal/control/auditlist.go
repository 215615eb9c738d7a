package control

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"leasehold/internal/store"
)

// ActionExportAudit is what the audit log calls an export of itself.
const ActionExportAudit = "audit.export"

// Audit lists the audit log, newest first. What this node has refused a moment ago is in it.
func (c *Control) Audit(ctx context.Context, q store.AuditQuery) (list []store.AuditEntry, next string, err error) {
	if err := c.flushRefused(ctx); err != nil {
		return nil, "", err
	}
	err = c.Store.View(ctx, func(tx store.Tx) error {
		list, next, err = tx.ListAudit(q)
		return err
	})
	return list, next, err
}

// ExportAudit hands every entry that a query selects to yield, newest first, in steps of at
// most [ExportStep] entries and at least one step; the query's page counts for nothing. Each
// step is a short read of its own. That it was exported is in the audit log before it returns
// nil. It returns ErrDenied to others than administrators.
func (c *Control) ExportAudit(ctx context.Context, who Who, q store.AuditQuery, format string, yield func([]store.AuditEntry) error) error {
	if !who.Admin {
		return ErrDenied
	}
	q.Page = store.Page{Size: ExportStep}
	n, err := 0, error(nil)
	for more := true; more && err == nil; {
		var list []store.AuditEntry
		if list, q.Page.Token, err = c.Audit(ctx, q); err == nil {
			n += len(list) // before they leave: some may have arrived when it fails
			err = yield(list)
		}
		more = q.Page.Token != ""
	}
	outcome := fmt.Sprintf("done: %d entries as %s", n, format)
	if err != nil {
		outcome = fmt.Sprintf("broken off: at most %d entries as %s", n, format)
	}
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), auditWait)
	defer cancel()
	noted := c.Store.Update(late, func(tx store.Tx) error {
		return tx.AddAudit(&store.AuditEntry{At: tx.WallNow(), Actor: who.Actor().String(), From: who.From, Action: ActionExportAudit,
			Target: "audit log", Name: selectionOfAudit(q), Outcome: outcome})
	})
	if err != nil {
		return errors.Join(err, noted)
	}
	return noted
}

func selectionOfAudit(q store.AuditQuery) string {
	var parts []string
	for _, x := range [][2]string{{"who", q.Who}, {"action", q.Action}, {"target", q.Target}} {
		if x[1] != "" {
			parts = append(parts, x[0]+": "+x[1])
		}
	}
	if !q.From.IsZero() {
		parts = append(parts, "from: "+q.From.UTC().Format(time.RFC3339))
	}
	if !q.To.IsZero() {
		parts = append(parts, "before: "+q.To.UTC().Format(time.RFC3339))
	}
	if len(parts) == 0 {
		return "All entries"
	}
	return strings.Join(parts, ", ")
}

// AuditEntry returns an entry of the audit log, or store.ErrNotFound.
func (c *Control) AuditEntry(ctx context.Context, id int64) (e *store.AuditEntry, err error) {
	err = c.Store.View(ctx, func(tx store.Tx) error {
		e, err = tx.AuditEntry(id)
		return err
	})
	return e, err
}
