package control

import (
	"context"
	"fmt"
	"strings"
	"time"

	"leasehold/internal/invalid"
	"leasehold/internal/lease"
	"leasehold/internal/session"
	"leasehold/internal/store"
	"leasehold/internal/wire"
)

// maxReason is the longest reason of an action, in characters.
const maxReason = 500

// Act carries out an administrator's action on one session: its status moves at once, its
// order and the audit entry are stored with it, and its agent is told to check in. The
// reason of a message is its text.
// It returns store.ErrNotFound, an [invalid.Error], or a [*session.RefusedError] where the
// action does not apply.
func (c *Control) Act(ctx context.Context, who Who, id int64, action session.Action, reason string) (*store.SessionRow, error) {
	reason = strings.TrimSpace(reason)
	var e invalid.Error
	checkReason(&e, action, reason)
	checkAction(&e, action)
	if err := e.Err(); err != nil {
		return nil, err
	}
	if !who.Admin {
		return nil, ErrDenied
	}
	var row store.SessionRow
	err := c.Store.Update(ctx, func(tx store.Tx) error {
		s, err := tx.LockSession(id)
		if err != nil {
			return err
		}
		v, err := c.view(tx)
		if err != nil {
			return err
		}
		if err := v.said(action, reason); err != nil {
			return err
		}
		before := store.Clone(s)
		if err := v.act(s, action, who.Actor(), reason, tx.LeaseNow()); err != nil {
			return err
		}
		if err := saveSession(tx, before, s); err != nil {
			return err
		}
		rows, err := tx.SessionRows([]int64{id})
		if err != nil {
			return err
		}
		row = rows[0]
		return tx.AddAudit(&store.AuditEntry{
			At: tx.WallNow(), Actor: who.Actor().String(), From: who.From, Action: "session." + string(action),
			Target: fmt.Sprintf("session %d", id), Name: row.UserName + ", " + row.AppName, Reason: reason, Outcome: "done",
		})
	})
	if err != nil {
		return nil, err
	}
	c.Hub.Changed(id)
	if row.AgentID != 0 {
		c.Hub.Wake(row.AgentID)
	}
	return &row, nil
}

func checkAction(e *invalid.Error, a session.Action) {
	words := []string{string(session.Tell)}
	for _, known := range session.Actions {
		words = append(words, string(known))
	}
	e.OneOf("action", string(a), words...)
}

// checkReason bounds why an action is done, or what a message says.
func checkReason(e *invalid.Error, a session.Action, reason string) {
	if a == session.Tell {
		e.Text("text", reason, 1, maxReason)
	} else {
		e.Text("reason", reason, 0, maxReason)
	}
}

// said returns an [invalid.Error] for a message without a text, or an action without a
// reason where the settings ask for one.
func (v view) said(a session.Action, reason string) error {
	if a != session.Tell {
		return v.reasonGiven(reason)
	}
	var e invalid.Error
	checkReason(&e, a, reason)
	return e.Err()
}

// reasonGiven returns an [invalid.Error] if the settings ask for a reason and there is none.
func (v view) reasonGiven(reason string) error {
	set, err := v.settings()
	if err != nil {
		return err
	}
	return set.reasonGiven(reason)
}

func (s *Settings) reasonGiven(reason string) error {
	if s.ReasonRequired && reason == "" {
		return invalid.Of("reason", "is required by the settings; say why")
	}
	return nil
}

// act carries out an action on a locked session.
func (v view) act(s *session.Session, action session.Action, by session.Actor, reason string, now lease.Now) error {
	set, err := v.settings()
	if err != nil {
		return err
	}
	dm, err := v.method(s.LeaseDeliveryMethod())
	if err != nil {
		return err
	}
	window := time.Duration(0)
	if dm != nil {
		window = dm.Terms(set.force()).Window
	}
	if s.Kind == session.Stream {
		window += wire.ComeUpWithin
	}
	return s.Act(action, by, reason, now, set.unauthorised(window))
}
