package control

import (
	"context"
	"slices"
	"strings"
	"time"

	"leasehold/internal/calendar"
	"leasehold/internal/catalog"
	"leasehold/internal/directory"
	"leasehold/internal/invalid"
	"leasehold/internal/session"
	"leasehold/internal/store"
)

// ExactTotal is how far a total is counted; beyond it a list says "more than".
const ExactTotal = 10_000

// DefaultPageSize and MaxPageSize bound a page of a list.
const (
	DefaultPageSize = 50
	MaxPageSize     = 500
)

// List is one page of sessions with the total of what matches.
type List struct {
	store.SessionPage
	Total int
	Exact bool // Total is all; else there are more
	Now   time.Time
}

// ListSessions returns one page of the sessions that match.
// It returns an [invalid.Error] that names the parameter which is not right.
func (c *Control) ListSessions(ctx context.Context, q store.SessionQuery) (*List, error) {
	if q.PageSize == 0 {
		q.PageSize = DefaultPageSize
	}
	if q.Sort == "" {
		q.Sort = "-id"
	}
	var e invalid.Error
	checkQuery(&e, q)
	if err := e.Err(); err != nil {
		return nil, err
	}
	out := &List{}
	err := c.Store.View(ctx, func(tx store.Tx) (err error) {
		out.Now = tx.WallNow()
		if out.SessionPage, err = tx.ListSessions(q); err != nil {
			return err
		}
		out.Total, out.Exact, err = tx.CountSessions(q, ExactTotal)
		return err
	})
	return out, err
}

// checkQuery names each parameter of a query that is not right.
func checkQuery(e *invalid.Error, q store.SessionQuery) {
	e.Range("page_size", q.PageSize, 1, MaxPageSize)
	for _, s := range q.Statuses {
		if !s.Valid() {
			e.Add("status", "%q is not a status", s)
		}
	}
	if q.Kind != "" {
		e.OneOf("kind", string(q.Kind), string(session.Device), string(session.Stream))
	}
	if !slices.Contains(store.SortKeys, strings.TrimPrefix(string(q.Sort), "-")) {
		e.Add("sort", "must be one of %s, with - before it for the other direction", strings.Join(store.SortKeys, ", "))
	}
	for _, t := range []struct{ name, v string }{{"q", q.Q}, {"username", q.Username}, {"email", q.Email}} {
		e.Text(t.name, t.v, 0, 200)
	}
	e.Text("page_token", q.PageToken, 0, 2000)
}

// Detail is everything about one session.
type Detail struct {
	Row         store.SessionRow
	Transitions []session.Transition
	Messages    []session.Message // to its user, oldest first
	Denials     []store.Denial
	Method      *catalog.DeliveryMethod
	Outlook     []session.Next // what happens next, when, and who decides it
	Now         time.Time
}

// Session returns one session, deleted ones too, or store.ErrNotFound.
func (c *Control) Session(ctx context.Context, id int64) (*Detail, error) {
	d := &Detail{}
	err := c.Store.View(ctx, func(tx store.Tx) error {
		*d = Detail{Now: tx.WallNow()}
		rows, err := tx.SessionRows([]int64{id})
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			return store.ErrNotFound
		}
		d.Row = rows[0]
		if d.Transitions, err = tx.Transitions(id); err != nil {
			return err
		}
		if d.Row.Said > 0 {
			if d.Messages, err = tx.Messages(id); err != nil {
				return err
			}
		}
		if d.Denials, err = tx.Denials(id, 50); err != nil {
			return err
		}
		if d.Method, err = orNil(tx.DeliveryMethod(d.Row.DeliveryMethodID)); err != nil {
			return err
		}
		d.Outlook, err = c.outlook(tx, &d.Row)
		return err
	})
	if err != nil {
		return nil, err
	}
	return d, nil
}

// outlook is what happens to a session next.
func (c *Control) outlook(tx store.Tx, r *store.SessionRow) ([]session.Next, error) {
	v, err := c.view(tx)
	if err != nil {
		return nil, err
	}
	set, err := v.settings()
	if err != nil {
		return nil, err
	}
	last, err := tx.DutyMark(dutyHousekeeping)
	if err != nil {
		return nil, err
	}
	next := set.nextHousekeeping(tx.WallNow(), last)
	p := session.Prospects{
		Now: tx.LeaseNow(), LastSeen: r.Seen.At, Periods: set.Periods(),
		Housekeeping: func(t time.Time) time.Time { return set.runFrom(t, next) },
		Day:          func(t time.Time) time.Time { return set.today(t).Start(set.Location()) },
		History:      calendar.Days(set.HistoryDays),
	}
	dm, err := v.method(r.LeaseDeliveryMethod())
	if err != nil {
		return nil, err
	}
	if dm != nil {
		p.Terms = dm.Terms(set.force())
		if st := dm.Stream; st != nil {
			p.Silent = p.Now.Shown(r.Seen.Lease.Add(session.SilentAfter))
			p.Reconnect, p.Longest = time.Duration(st.ReconnectSeconds)*time.Second, time.Duration(st.MaxSeconds)*time.Second
		}
		if next, err := v.method(dm.SuccessorID); err != nil {
			return nil, err
		} else if next != nil {
			p.Successor = next.Name
		}
	}
	if r.ProvisionID != 0 {
		pr, err := orNil(tx.Provision(r.ProvisionID))
		if err != nil {
			return nil, err
		}
		if pr != nil {
			p.EntitledTo = pr.EndsAt
		}
	}
	if p.NotRenewed, err = v.notRenewed(r.Session); err != nil {
		return nil, err
	}
	return r.Outlook(p), nil
}

// notRenewed is why the session's agent gets no lease for it any more, as things stand; ""
// if it does, as far as is known without it: not from which network it will ask.
func (v view) notRenewed(s *session.Session) (string, error) {
	var where directory.Where
	if s.AgentID != 0 {
		a, err := orNil(v.tx.Agent(s.AgentID))
		switch {
		case err != nil:
			return "", err
		case a == nil || !a.DeletedAt.IsZero():
			return session.DeviceRemoved, nil
		case a.Chain.Quarantined:
			return session.CopiedFolder, nil
		}
		where = whereFrom("", a)
	}
	_, refusal, err := v.decide(s.UserID, s.AppID, s.LeaseDeliveryMethod(), where, v.tx.WallNow())
	if refusal != nil {
		return session.NotEntitled, err
	}
	return "", err
}

// SessionRows returns sessions by id for a live update, in that order.
func (c *Control) SessionRows(ctx context.Context, ids []int64) ([]store.SessionRow, time.Time, error) {
	var rows []store.SessionRow
	var now time.Time
	err := c.Store.View(ctx, func(tx store.Tx) (err error) {
		now = tx.WallNow()
		rows, err = tx.SessionRows(ids)
		return err
	})
	return rows, now, err
}
