package control

import (
	"leasehold/internal/session"
	"leasehold/internal/wire"
)

// upgrade decides on the upgrades that the agent asks for.
func (ci *checkIn) upgrade() error {
	for i := range ci.m.Sessions {
		st := &ci.m.Sessions[i]
		s := ci.sessions[st.Session]
		if s == nil || s.Status != session.UpgradeRequested {
			continue
		}
		to, err := ci.successor(s)
		if err != nil {
			return err
		}
		s.Upgrade(snapshot(st), to, ci.now.Wall)
	}
	return nil
}

// successor is the last of the session's delivery method's successors that the user may
// run on this device.
func (ci *checkIn) successor(s *session.Session) (to session.Successor, err error) {
	seen := map[int64]bool{s.DeliveryMethodID: true}
	dm, err := ci.view.method(s.DeliveryMethodID)
	for err == nil && dm != nil && dm.SuccessorID != 0 && !seen[dm.SuccessorID] {
		seen[dm.SuccessorID] = true
		if dm, err = ci.view.method(dm.SuccessorID); err != nil || dm == nil {
			break
		}
		if dm.AppID != s.AppID || dm.Kind != s.Kind || dm.PackageFor(ci.agent.OS, ci.agent.Arch) == nil {
			continue
		}
		p, refusal, err := ci.view.decide(s.UserID, s.AppID, dm.ID, ci.where, ci.now.Wall)
		if err != nil {
			return to, err
		}
		if refusal == nil {
			to = session.Successor{DeliveryMethodID: dm.ID, ProvisionID: p.ID}
		}
	}
	return to, err
}

// directUpgrade tells the agent of a newer version, that it is no longer offered, or that
// the session has moved to it.
func (ci *checkIn) directUpgrade(s *session.Session, st *wire.SessionState) error {
	d := wire.Directive{Session: s.ID}
	method := s.DeliveryMethodID
	// An agent that has lost the session's file knows of the run alone: it is told what the
	// next start runs.
	lost := st.Method == 0 && st.State != session.IsAbsent
	if !lost && (st.Method == 0 || st.Method == method) {
		to, err := ci.successor(s)
		if err != nil {
			return err
		}
		switch {
		case st.Upgrade != 0 && st.Upgrade != to.DeliveryMethodID:
			d.Type = wire.DirOffer // withdrawn
			ci.out.answer.Directives = append(ci.out.answer.Directives, d)
			return nil
		case st.Upgrade != 0 || !s.Offered(to):
			return nil
		}
		d.Type, method = wire.DirOffer, to.DeliveryMethodID
	} else {
		d.Type = wire.DirUpgrade
	}
	app, err := ci.Control.appFor(ci.view, s, method, ci.agent)
	if err != nil {
		return err
	}
	app.Start = false
	d.App = app
	ci.out.answer.Directives = append(ci.out.answer.Directives, d)
	return nil
}
