package control

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"leasehold/internal/directory"
	"leasehold/internal/invalid"
	"leasehold/internal/session"
	"leasehold/internal/store"
)

// maxRevoked is how many sessions one revocation ends; a user has a handful of an app.
const maxRevoked = 500

// Grounds is a provision that lets a user run an app, and how.
type Grounds struct {
	Provision *directory.Provision
	ByName    bool     // it names the user
	Groups    []string // of the user's that it names
	Removed   bool     // the user's name is taken out of it; else it gets an exception for this app
}

// Ended is a session that a revocation ends.
type Ended struct {
	Row    store.SessionRow
	Action session.Action // empty: it is flagged, no action applies
}

// Revocation takes an app from a user: what it changes, and what it ends.
type Revocation struct {
	User    *directory.User
	AppName string
	Grounds []Grounds
	Ended   []Ended
}

// RevokeAccess takes an app from a user and ends the sessions of it that are left: those
// that run are evicted, the others expired. A provision that names the user and is for
// this app alone loses the name; any other gets an exception for this user and this app,
// so that nothing else is lost. With dry it changes nothing and says what it would do.
//
// It returns an [invalid.Error] for a user or app that is not one.
func (c *Control) RevokeAccess(ctx context.Context, who Who, user, app int64, reason string, dry bool) (*Revocation, error) {
	reason = strings.TrimSpace(reason)
	var e invalid.Error
	e.Text("reason", reason, 0, maxReason)
	if err := e.Err(); err != nil {
		return nil, err
	}
	if !who.Admin {
		return nil, ErrDenied
	}
	var out *Revocation
	if dry {
		err := c.Store.View(ctx, func(tx store.Tx) (err error) {
			v, err := c.view(tx)
			if err != nil {
				return err
			}
			if out, err = c.revocation(tx, user, app); err != nil {
				return err
			}
			for i := range out.Ended {
				x := &out.Ended[i]
				if x.Action, err = v.end(store.Clone(x.Row.Session), who, ""); err != nil {
					return err
				}
			}
			return nil
		})
		return out, err
	}
	var moved, agents []int64
	err := c.admin(ctx, who, "access.revoke", reason, func(tx store.Tx) (string, string, error) {
		moved, agents = nil, nil
		v, err := c.view(tx)
		if err != nil {
			return "", "", err
		}
		if err := v.reasonGiven(reason); err != nil {
			return "", "", err
		}
		if out, err = c.revocation(tx, user, app); err != nil {
			return "", "", err
		}
		for _, g := range out.Grounds {
			if err := tx.SaveProvision(g.without(user, app)); err != nil {
				return "", "", err
			}
		}
		for i := range out.Ended {
			x := &out.Ended[i]
			s, err := tx.LockSession(x.Row.ID)
			if err != nil {
				return "", "", err
			}
			before := store.Clone(s)
			if x.Action, err = v.end(s, who, reason); err != nil {
				return "", "", err
			}
			if err := saveSession(tx, before, s); err != nil {
				return "", "", err
			}
			moved, agents = append(moved, x.Row.ID), append(agents, x.Row.AgentID)
		}
		return fmt.Sprintf("user %d", user), out.User.Username + ", " + out.AppName, nil
	})
	if err != nil {
		return nil, err
	}
	c.told(moved, agents)
	return out, nil
}

// without is the provision as it no longer lets the user run the app.
func (g Grounds) without(user, app int64) *directory.Provision {
	p := g.Provision
	if g.Removed {
		p.UserIDs = slices.DeleteFunc(p.UserIDs, func(id int64) bool { return id == user })
	}
	if !g.Removed || len(g.Groups) > 0 {
		p.Exceptions = append(p.Exceptions, directory.Exception{UserID: user, AppID: app})
	}
	return p
}

// end ends a session that is left, by the first action that applies once it is flagged, and
// returns that; "" if none does.
func (v view) end(s *session.Session, who Who, reason string) (session.Action, error) {
	s.NotNeeded(session.UnneededEntitlement, v.tx.WallNow())
	if as := s.Actions(); len(as) > 0 {
		return as[0], v.act(s, as[0], who.Actor(), reason, v.tx.LeaseNow())
	}
	return "", nil
}

// revocation finds what entitles a user to an app, and the sessions that are left of it.
func (c *Control) revocation(tx store.Tx, user, app int64) (*Revocation, error) {
	u, err := orNil(liveUser(tx, user))
	if err != nil {
		return nil, err
	}
	if u == nil {
		return nil, invalid.Of("user_id", "is not a user")
	}
	a, err := orNil(tx.App(app))
	if err != nil {
		return nil, err
	}
	if a == nil {
		return nil, invalid.Of("app_id", "is not an app")
	}
	out := &Revocation{User: u, AppName: a.Name}
	ps, err := tx.ProvisionsFor(user, 0)
	if err != nil {
		return nil, err
	}
	for _, p := range ps {
		g, err := grounds(tx, p, u, app)
		if err != nil {
			return nil, err
		}
		if g != nil {
			out.Grounds = append(out.Grounds, *g)
		}
	}
	ids, err := tx.MatchingIDs(store.SessionQuery{UserID: user, AppID: app}, 0, maxRevoked)
	if err != nil {
		return nil, err
	}
	rows, err := tx.SessionRows(ids)
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		if !r.Status.Ended() {
			out.Ended = append(out.Ended, Ended{Row: r})
		}
	}
	return out, nil
}

// grounds says how a provision lets the user run the app; nil if it does not.
func grounds(tx store.Tx, p *directory.Provision, u *directory.User, app int64) (*Grounds, error) {
	if p.ExceptedFrom(u.ID, app) {
		return nil, nil
	}
	this, others := 0, 0
	for _, id := range p.DeliveryMethodIDs {
		d, err := orNil(tx.DeliveryMethod(id))
		switch {
		case err != nil:
			return nil, err
		case d == nil || !d.DeletedAt.IsZero():
		case d.AppID == app:
			this++
		default:
			others++
		}
	}
	if this == 0 {
		return nil, nil
	}
	g := &Grounds{Provision: p, ByName: slices.Contains(p.UserIDs, u.ID)}
	g.Removed = g.ByName && others == 0
	for _, id := range p.GroupIDs {
		if slices.Contains(u.GroupIDs, id) {
			x, err := tx.Group(id)
			if err != nil {
				return nil, err
			}
			g.Groups = append(g.Groups, x.Name)
		}
	}
	return g, nil
}
