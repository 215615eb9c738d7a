package control

import (
	"context"
	"fmt"
	"strings"
	"time"

	"leasehold/internal/export"
	"leasehold/internal/invalid"
	"leasehold/internal/session"
	"leasehold/internal/store"
)

// ActionExport is what the audit log calls an export.
const ActionExport = "session.export"

// ExportStep is how many sessions an export reads at once.
const ExportStep = 500

// auditWait bounds how long the entry of an export may take whose caller has gone.
const auditWait = 10 * time.Second

// Export hands every session that matches to yield, in steps of at most [ExportStep] rows
// and at least one step, however many there are. The query's sort and page count for
// nothing: rows go by their start if a period is asked for, and by number else. Streams
// that are deleted and whose history is kept are always among them.
//
// Each step is a short read of its own, after the key of the row before, so sessions that
// change meanwhile are exported as they are when their turn comes, and none is skipped or
// repeated. It ends when ctx is done or yield returns an error. What was exported, all of
// it or not, stands in the audit log before Export returns nil.
//
// It returns ErrDenied to others than administrators and an [invalid.Error] that names the
// parameter which is not right, before the first step.
func (c *Control) Export(ctx context.Context, who Who, q store.SessionQuery, o export.Options, yield func([]export.Row) error) error {
	if !who.Admin {
		return ErrDenied
	}
	if q.Kind == session.Stream {
		q.History = true
	}
	// Either never changes in a row, so that a walk along it meets each once. Along the
	// start it reads no row outside the period.
	q.Sort, q.PageSize, q.PageToken = "id", ExportStep, ""
	if !q.From.IsZero() || !q.To.IsZero() {
		q.Sort = "started_at"
	}
	var e invalid.Error
	checkQuery(&e, q)
	if err := e.Err(); err != nil {
		return err
	}
	if err := o.Validate(); err != nil {
		return err
	}
	n, err := c.export(ctx, q, yield)
	outcome := fmt.Sprintf("done: %d sessions as %s", n, o.Format)
	if err != nil {
		outcome = fmt.Sprintf("broken off: at most %d sessions as %s", n, o.Format)
	}
	// Whoever breaks it off has the rows all the same.
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), auditWait)
	defer cancel()
	noted := c.Store.Update(late, func(tx store.Tx) error {
		return tx.AddAudit(&store.AuditEntry{At: tx.WallNow(), Actor: who.Actor().String(), From: who.From,
			Action: ActionExport, Target: "sessions", Name: selection(q), Outcome: outcome})
	})
	if err != nil {
		if noted != nil {
			c.Log.Error("audit of an export", "who", who.Username, "rows", n, "err", noted)
		}
		return err
	}
	return noted
}

// export walks the sessions and counts those that were handed over.
func (c *Control) export(ctx context.Context, q store.SessionQuery, yield func([]export.Row) error) (n int, err error) {
	rows := make([]export.Row, 0, ExportStep)
	for {
		if err := ctx.Err(); err != nil {
			return n, err
		}
		var page store.SessionPage
		var now time.Time
		err := c.Store.View(ctx, func(tx store.Tx) (err error) {
			now = tx.WallNow()
			page, err = tx.ListSessions(q)
			return err
		})
		if err != nil {
			return n, err
		}
		rows = rows[:0]
		for i := range page.Rows {
			rows = append(rows, exportRow(&page.Rows[i], now))
		}
		n += len(rows) // before they leave: some may have arrived when it fails
		if err := yield(rows); err != nil {
			return n, err
		}
		if page.Next == "" {
			return n, nil
		}
		q.PageToken = page.Next
	}
}

func exportRow(r *store.SessionRow, now time.Time) export.Row {
	return export.Row{
		ID: r.ID, Name: r.UserName, Username: r.Username, Email: r.UserEmail, App: r.AppName,
		StartedAt: r.StartedAt, Duration: r.Duration(now), Status: r.Status, Kind: r.Kind, Reason: r.Reason,
		DeliveryMethod: r.DeliveryMethodName, Provision: r.ProvisionName, Agent: r.AgentName,
		FirstRunAt: r.FirstRunAt, LastActivityAt: r.LastActivityAt, EndedAt: r.EndedAt, DeletedAt: r.DeletedAt,
	}
}

// selection says in words which sessions a query selects.
func selection(q store.SessionQuery) string {
	var parts []string
	add := func(name string, value any, is bool) {
		if is {
			parts = append(parts, fmt.Sprintf("%s: %v", name, value))
		}
	}
	at := func(name string, t time.Time) { add(name, t.UTC().Format(time.RFC3339), !t.IsZero()) }
	add("kind", q.Kind, q.Kind != "")
	at("started from", q.From)
	at("started before", q.To)
	for _, s := range q.Statuses {
		add("status", s, true)
	}
	add("search", q.Q, q.Q != "")
	add("user name", q.Username, q.Username != "")
	add("email", q.Email, q.Email != "")
	for _, x := range []struct {
		name string
		id   int64
	}{{"app", q.AppID}, {"user", q.UserID}, {"provision", q.ProvisionID}, {"delivery method", q.DeliveryMethodID}, {"device or host", q.AgentID}} {
		add(x.name, x.id, x.id != 0)
	}
	at("silent since", q.SilentSince)
	if q.History {
		parts = append(parts, "deleted ones too")
	}
	if len(parts) == 0 {
		return "All listed sessions"
	}
	return strings.Join(parts, ", ")
}
