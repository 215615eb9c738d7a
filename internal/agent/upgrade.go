package agent

import (
	"context"
	"errors"
	"slices"
	"time"

	"leasehold/internal/lease"
	state "leasehold/internal/session"
	"leasehold/internal/wire"
)

// Errors of upgrades; compare with errors.Is.
var (
	ErrNoUpgrade = errors.New("there is no newer version of this app")
	ErrUpgraded  = errors.New("the new version is there already: the next start runs it")
)

// putOffFor is how long a version that the user put off is not brought again.
const putOffFor = 24 * time.Hour

// upgrade is a newer version of a session's app, from the moment it was offered until it
// has taken the old one's place.
type upgrade struct {
	App   wire.App `json:"app"`
	Ready bool     `json:"ready,omitempty"` // its package is there
	// Moved: the server has granted it. It takes the old version's place as soon as that
	// does not run.
	Moved   bool   `json:"moved,omitempty"`
	Problem string `json:"problem,omitempty"` // why its package is not there
}

// putOff is a version that the user does not want now.
type putOff struct {
	Method int64         `json:"method"`
	Until  lease.Instant `json:"until"`
}

// offer takes up a newer version that the server offers, or drops the one it withdraws:
// on disk and in the journal first, then its package is brought beside what is there, so
// that the app can always be started. a.mu is held.
func (a *Agent) offer(s *session, d wire.Directive) error {
	u := s.Upgrade
	switch {
	case s.Removing || !s.Ready || u != nil && u.Moved:
		return nil
	case d.App == nil:
		if u == nil {
			return nil
		}
		a.log.Info("the newer version is not offered any more", "session", d.Session)
		return a.dropUpgrade(s)
	case d.App.DeliveryMethod == s.App.DeliveryMethod || u != nil && u.App.DeliveryMethod == d.App.DeliveryMethod:
		return nil
	case s.PutOff != nil && s.PutOff.Method == d.App.DeliveryMethod && a.clock.now() < s.PutOff.Until:
		return nil
	}
	s.setUpgrade(d.App)
	s.PutOff = nil
	a.log.Info("bringing a newer version", "session", d.Session, "app", d.App.Name, "method", d.App.DeliveryMethod)
	if err := a.commit(s, a.note(wire.Observation{Type: state.ObsUpgradeAsked, Method: d.App.DeliveryMethod})); err != nil {
		return err
	}
	a.tell(s, "has a newer version, which is being added; once it is there, the next start runs it")
	a.proceed(s)
	return nil
}

// setUpgrade makes app the version that is pending, in place of any other.
func (s *session) setUpgrade(app *wire.App) {
	s.retireUpgrade()
	s.Upgrade = &upgrade{App: *app}
	s.Upgrade.App.Start = false
}

// retireUpgrade drops the version that is pending.
func (s *session) retireUpgrade() {
	u := s.Upgrade
	if u == nil {
		return
	}
	if s.adding != nil && s.bringing == u {
		s.adding()
	}
	s.Upgrade = nil
	s.Old = append(s.Old, u.App)
}

// dropUpgrade drops the version that is pending, and its package. a.mu is held.
func (a *Agent) dropUpgrade(s *session, list ...wire.Observation) error {
	s.retireUpgrade()
	if err := a.commit(s, list...); err != nil {
		return err
	}
	a.Wake()
	a.proceed(s)
	return nil
}

// upgraded notes that the session has moved to the version of the directive, which takes
// the old one's place now or when that exits. One whose package is not here, because the
// state folder was lost or damaged, is brought first. a.mu is held.
func (a *Agent) upgraded(s *session, d wire.Directive) error {
	u := s.Upgrade
	switch {
	case s.Removing || d.App == nil || d.App.DeliveryMethod == s.App.DeliveryMethod:
		return nil
	case u != nil && u.App.DeliveryMethod == d.App.DeliveryMethod && u.Moved:
		return nil
	case u == nil || u.App.DeliveryMethod != d.App.DeliveryMethod:
		s.setUpgrade(d.App)
	}
	s.Upgrade.Moved, s.PutOff = true, nil
	if err := a.commit(s); err != nil {
		return err
	}
	a.log.Info("the session has moved to a newer version", "session", d.Session, "method", d.App.DeliveryMethod)
	a.proceed(s)
	return nil
}

// swap puts the new version in the old one's place, if it may and nothing of the session
// runs. A fixed lease is the old version's seat: it is given back in the same step, and the
// next start takes one of the new version's. a.mu is held.
func (a *Agent) swap(s *session) error {
	u := s.Upgrade
	if u == nil || !u.Ready || !u.Moved || s.Holder.Running || s.Removing || s.Gone {
		return nil
	}
	kind := licence(&u.App)
	var list []wire.Observation
	if s.Holder.Kind == lease.Fixed || kind == lease.Fixed {
		// Also where none is held: one of the old version's may be on its way.
		upTo := s.Holder.GiveUp(a.number)
		list = append(list, a.note(wire.Observation{Type: state.ObsReturned, UpTo: upTo}))
	}
	s.Old = append(s.Old, s.App)
	s.App, s.Upgrade, s.Holder.Kind, s.Problem = u.App, nil, kind, ""
	if err := a.commit(s, list...); err != nil {
		return err
	}
	a.Wake() // the server repeats itself until it hears of it
	a.log.Info("upgraded", "session", s.Holder.Session, "app", s.App.Name, "method", s.App.DeliveryMethod)
	a.tell(s, "is upgraded: the next start runs the new version")
	return nil
}

// licence is the kind of an app's licence.
func licence(app *wire.App) lease.Kind {
	if app.Licence == lease.Fixed {
		return lease.Fixed
	}
	return lease.Floating
}

// tidy takes the packages of old versions off the machine, but for what is needed still.
// Killed before, the agent does it at its next start. a.mu is held.
func (a *Agent) tidy(s *session) {
	if len(s.Old) == 0 || s.tidying || s.adding != nil || s.Gone {
		return
	}
	old := slices.Clone(s.Old)
	s.tidying = a.background(func(ctx context.Context) {
		for i := range old {
			if err := a.Apps.Remove(ctx, &old[i], a.needed); err != nil && ctx.Err() == nil {
				a.log.Error("what an old version left behind cannot be removed", "session", s.Holder.Session, "err", err)
			}
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		s.tidying = false
		if ctx.Err() != nil || a.err != nil || s.Gone {
			return
		}
		s.Old = slices.Clone(s.Old[len(old):])
		if a.commit(s) == nil {
			a.proceed(s)
		}
	})
}

// PutOff has a session's app stay at its version for a day: the newer one that is being
// brought, or is there and not granted yet, is dropped.
func (a *Agent) PutOff(id int64) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	s, err := a.session(id)
	if err != nil {
		return err
	}
	switch {
	case s.Upgrade == nil && s.PutOff != nil:
		return nil
	case s.Upgrade == nil:
		return ErrNoUpgrade
	case s.Upgrade.Moved:
		return ErrUpgraded
	}
	method := s.Upgrade.App.DeliveryMethod
	s.PutOff = &putOff{Method: method, Until: a.clock.now() + int64(putOffFor)}
	return a.dropUpgrade(s, a.note(wire.Observation{Type: state.ObsUpgradePutOff, Method: method}))
}

// Upgrade has a session's app brought to the newer version after all: one that was put off
// is taken up with the next check-in, one that could not be added is tried again.
func (a *Agent) Upgrade(id int64) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	s, err := a.session(id)
	if err != nil {
		return err
	}
	switch {
	case s.Upgrade != nil:
		s.unusable = 0
		a.proceed(s)
		return nil
	case s.PutOff == nil:
		return ErrNoUpgrade
	}
	s.PutOff = nil
	if err := a.commit(s); err != nil {
		return err
	}
	a.Wake()
	return nil
}

// session finds a session that a user names. a.mu is held.
func (a *Agent) session(id int64) (*session, error) {
	s := a.sessions[id]
	switch {
	case s == nil:
		return nil, ErrUnknown
	case a.err != nil:
		return nil, a.err
	case s.Removing || s.Gone:
		return nil, ErrRemoving
	}
	return s, nil
}
