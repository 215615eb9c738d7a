package control

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"

	"leasehold/internal/catalog"
	"leasehold/internal/directory"
	"leasehold/internal/fold"
	"leasehold/internal/invalid"
	"leasehold/internal/lease"
	"leasehold/internal/session"
	"leasehold/internal/store"
	"leasehold/internal/wire"
)

// Offer is an app as the portal offers it to a user.
type Offer struct {
	App     *catalog.App
	Method  *catalog.DeliveryMethod // the first that the user may launch
	Refusal *session.Refusal        // why it cannot be launched now; nil if it can
}

// Portal is what a user sees of their own.
type Portal struct {
	Offers   []Offer
	Sessions []store.SessionRow // listed and not over, newest first
	Devices  []*store.Agent     // recorded as the user's, latest first
}

// Portal returns the apps that provisions entitle the user to, and only those, with what
// of theirs is there.
func (c *Control) Portal(ctx context.Context, who Who) (*Portal, error) {
	p := &Portal{}
	err := c.Store.View(ctx, func(tx store.Tx) error {
		*p = Portal{}
		offers, err := c.offers(tx, who)
		if err != nil {
			return err
		}
		p.Offers = offers
		list, err := tx.UserSessions(who.UserID, 50)
		if err != nil {
			return err
		}
		ids := make([]int64, len(list))
		for i, s := range list {
			ids[i] = s.ID
		}
		if p.Sessions, err = tx.SessionRows(ids); err != nil {
			return err
		}
		p.Devices, err = tx.DevicesOf(who.UserID)
		return err
	})
	return p, err
}

func (c *Control) offers(tx store.Tx, who Who) ([]Offer, error) {
	v, err := c.view(tx)
	if err != nil {
		return nil, err
	}
	ps, err := tx.ProvisionsFor(who.UserID, 0)
	if err != nil {
		return nil, err
	}
	var methods []int64
	for _, p := range ps {
		methods = append(methods, p.DeliveryMethodIDs...)
	}
	slices.Sort(methods) // preference is the order of ids
	byApp := map[int64]int{}
	var offers []Offer
	for _, m := range slices.Compact(methods) {
		d, err := v.method(m)
		if err != nil {
			return nil, err
		}
		if d == nil || !d.DeletedAt.IsZero() {
			continue
		}
		a, err := v.app(d.AppID)
		if err != nil {
			return nil, err
		}
		if a == nil || !a.DeletedAt.IsZero() {
			continue
		}
		_, refusal, err := v.decide(who.UserID, a.ID, m, whereFrom(who.From, nil), tx.WallNow())
		if err != nil {
			return nil, err
		}
		i, known := byApp[a.ID]
		switch {
		case !known:
			byApp[a.ID] = len(offers)
			offers = append(offers, Offer{a, d, refusal})
		case offers[i].Refusal != nil && refusal == nil:
			offers[i] = Offer{a, d, nil}
		}
	}
	slices.SortFunc(offers, func(x, y Offer) int { return fold.Compare(x.App.Name, y.App.Name) })
	return offers, nil
}

// Launched is a launch: the new session, and where to go with it.
type Launched struct {
	Session store.SessionRow
	Link    string // leasehold://… for the player of any device; "" when it was pushed
	Pushed  bool   // the device was told
	URL     string // where a streamed app is seen; "" for others
}

// Launch begins a session for the user. With a device, one recorded as theirs, it is
// pushed there; with 0 the answer holds a link that the first device to redeem it binds.
// It returns a [*session.Refusal] if the user may not launch the app, a [*TooManyError] if
// they have or launch as much as they may, and an [invalid.Error] for an app or device that
// is not one.
func (c *Control) Launch(ctx context.Context, who Who, app, device int64) (*Launched, error) {
	out := &Launched{}
	err := c.Store.Update(ctx, func(tx store.Tx) error {
		*out = Launched{}
		v, err := c.view(tx)
		if err != nil {
			return err
		}
		if a, err := v.app(app); err != nil {
			return err
		} else if a == nil || !a.DeletedAt.IsZero() {
			return invalid.Of("app_id", "is not an app")
		}
		set, err := v.settings()
		if err != nil {
			return err
		}
		if err := mayLaunch(tx, who.UserID, set); err != nil {
			return err
		}
		where := whereFrom(who.From, nil)
		if device != 0 {
			d, err := ownDevice(tx, who.UserID, device)
			if err != nil {
				return err
			}
			where.Ownership = d.Ownership
		}
		methods, err := tx.DeliveryMethodsOf(app)
		if err != nil {
			return err
		}
		refusal := &session.Refusal{Code: session.RefusedEntitled, Message: "This app has no delivery method. Ask your administrator."}
		var dm *catalog.DeliveryMethod
		var provision *directory.Provision
		host := int64(0)
		for _, d := range methods {
			if d.Kind != session.Device && device != 0 {
				continue // a stream runs on no device
			}
			at := where
			if d.Kind == session.Stream {
				at.Ownership = directory.Organisation
			}
			p, r, err := v.decide(who.UserID, app, d.ID, at, tx.WallNow())
			if err != nil {
				return err
			}
			if r == nil && d.Kind == session.Stream {
				if host, r, err = pickHost(tx, d, set.HostSlots); err != nil {
					return err
				}
			}
			if r == nil {
				dm, provision, refusal = d, p, nil
				break
			}
			refusal = r
		}
		if refusal != nil {
			return refusal
		}
		by := session.Actor{Role: session.User, Name: who.Username}
		s := session.Launch(dm.Kind, who.UserID, app, dm.ID, provision.ID, by, tx.LeaseNow())
		switch {
		case host != 0:
			s.AgentID = host
		case device != 0:
			s.AgentID, out.Pushed = device, true
		}
		if err := tx.CreateSession(s); err != nil {
			return err
		}
		rows, err := tx.SessionRows([]int64{s.ID})
		if err != nil || len(rows) != 1 {
			return errors.Join(err, fmt.Errorf("control: session %d was not stored", s.ID))
		}
		out.Session = rows[0]
		switch {
		case out.Pushed:
			return nil
		case host != 0:
			out.URL = fmt.Sprintf("%s/streams/%d", c.PublicURL, s.ID)
			return nil
		}
		ticket, err := c.keys.Load().sign.SignTicket(s.ID, tx.WallNow())
		if err != nil {
			return err
		}
		out.Link = wire.LinkScheme + "://launch?" + url.Values{"server": {c.PublicURL}, "ticket": {ticket}}.Encode()
		return nil
	})
	if err != nil {
		return nil, err
	}
	c.Hub.Changed(out.Session.ID)
	if out.Link == "" {
		c.Hub.Wake(out.Session.AgentID)
	}
	return out, nil
}

func ownDevice(tx store.Tx, user, device int64) (*store.Agent, error) {
	devices, err := tx.DevicesOf(user)
	if err != nil {
		return nil, err
	}
	for _, d := range devices {
		if d.ID == device && d.DeletedAt.IsZero() {
			return d, nil
		}
	}
	return nil, invalid.Of("device_id", "must be a device that you have used before; leave it out to get a link")
}

// stranger says who launched a session, if they have not used the device before.
func stranger(tx store.Tx, s *session.Session, agent int64) (*wire.Redeemed, error) {
	people, err := tx.PeopleOf(agent)
	if err != nil || slices.ContainsFunc(people, func(p wire.Person) bool { return p.ID == s.UserID }) {
		return nil, err
	}
	u, err := tx.User(s.UserID)
	if err != nil {
		return nil, err
	}
	a, err := tx.App(s.AppID)
	if err != nil {
		return nil, err
	}
	return &wire.Redeemed{V: wire.Version, Stranger: &wire.Person{ID: u.ID, Username: u.Username, Name: u.Name}, App: a.Name}, nil
}

// People lists who uses a device: whose launches are pushed to it.
func (c *Control) People(ctx context.Context, agent int64) (*wire.People, error) {
	out := &wire.People{V: wire.Version}
	return out, c.Store.View(ctx, func(tx store.Tx) (err error) {
		out.People, err = tx.PeopleOf(agent)
		return err
	})
}

// Forget has no more launches of a user pushed to a device, and returns who is left. It
// returns store.ErrNotFound for one who does not use it.
func (c *Control) Forget(ctx context.Context, agent int64, m *wire.Forget, from string) (*wire.People, error) {
	if err := m.Validate(); err != nil {
		return nil, err
	}
	err := c.Store.Update(ctx, func(tx store.Tx) error {
		ag, err := tx.Agent(agent)
		if err != nil {
			return err
		}
		u, err := tx.User(m.User)
		if err != nil {
			return err
		}
		if err := tx.ForgetDevice(m.User, agent); err != nil {
			return err
		}
		return tx.AddAudit(&store.AuditEntry{At: tx.WallNow(), Actor: session.Actor{Role: session.Agent, Name: ag.Name}.String(), From: from,
			Action: "device.forget", Target: fmt.Sprintf("device %d", agent), Name: u.Username, Outcome: "done"})
	})
	if err != nil {
		return nil, err
	}
	return c.People(ctx, agent)
}

// Redeem binds the session of a launch ticket to the device that shows it first, and
// tells that device what to add. The same device may redeem it again; another is refused
// with ErrTicketUsed, and one where the app may not be run with a [*session.Refusal]. It
// returns lease.ErrForged or ErrTicketOver for other tickets. from is the address it came
// from.
func (c *Control) Redeem(ctx context.Context, agent int64, m *wire.Redeem, from string) (*wire.Redeemed, error) {
	if err := m.Validate(); err != nil {
		return nil, err
	}
	var out *wire.Redeemed
	var bound int64
	err := c.Store.Update(ctx, func(tx store.Tx) error {
		out = nil
		id, over, err := c.keys.Load().verify.VerifyTicket(m.Ticket, tx.WallNow())
		if err != nil {
			return err
		}
		ag, err := tx.LockAgent(agent)
		if err != nil {
			return err
		}
		s, err := tx.LockSession(id)
		if errors.Is(err, store.ErrNotFound) {
			return lease.ErrForged
		}
		if err != nil {
			return err
		}
		bound = 0
		switch {
		case s.AgentID == agent && s.Status != session.Removed && s.DeletedAt.IsZero():
		case s.AgentID != 0:
			return ErrTicketUsed
		case over || s.Status != session.Launched || !s.DeletedAt.IsZero():
			return ErrTicketOver
		case ag.Kind != wire.Player:
			return invalid.Of("ticket", "is for a player, not a stream host")
		default:
			v, err := c.view(tx)
			if err != nil {
				return err
			}
			if _, refusal, err := v.decide(s.UserID, s.AppID, s.DeliveryMethodID, whereFrom(from, ag), tx.WallNow()); err != nil {
				return err
			} else if refusal != nil {
				return refusal
			}
			if m.Ask {
				if out, err = stranger(tx, s, ag.ID); err != nil || out != nil {
					return err
				}
			}
			before := store.Clone(s)
			s.AgentID = agent
			if err := saveSession(tx, before, s); err != nil {
				return err
			}
			if err := tx.RecordDevice(s.UserID, agent, tx.WallNow()); err != nil {
				return err
			}
			bound = id
		}
		v, err := c.view(tx)
		if err != nil {
			return err
		}
		app, err := c.appFor(v, s, s.DeliveryMethodID, ag)
		if err != nil {
			return err
		}
		out = &wire.Redeemed{V: wire.Version, New: bound != 0,
			Directive: wire.Directive{Type: wire.DirAdd, Session: id, App: app}}
		return nil
	})
	if err == nil && bound != 0 {
		c.Hub.Changed(bound)
	}
	return out, err
}
