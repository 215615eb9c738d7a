package session

import "time"

// Successor is the newest version that a session may move to, as the catalogue and the
// directory say now.
type Successor struct {
	DeliveryMethodID int64 // 0: there is none
	ProvisionID      int64 // what entitles the user to it
}

// Offered reports whether the session's agent is to be told of a newer version.
func (s *Session) Offered(to Successor) bool {
	if to.DeliveryMethodID == 0 || to.DeliveryMethodID == s.DeliveryMethodID || !s.DeletedAt.IsZero() {
		return false
	}
	return s.Status == UpgradeRequested || find(s.Kind, EvUpgradeAsked, s.Status, s.Observed == IsRunning) != nil
}

// wantsUpgrade reports whether an agent that has a version waiting for its next start asks
// for it: of one that the session has moved to it says so until the old one has exited.
func (s *Session) wantsUpgrade(to int64) bool { return to != 0 && to != s.DeliveryMethodID }

// Upgrade decides on the upgrade that the session's agent asks for. It is pending until
// the new version's package is on the device, so that an app which is there can always be
// started. Granted, the session moves to the successor at once; a run of the old version
// goes on under the old delivery method's lease and seat until it exits (see
// LeaseDeliveryMethod), and the next start takes a seat of the successor's.
func (s *Session) Upgrade(snap Snapshot, to Successor, now time.Time) {
	if s.Status != UpgradeRequested {
		return
	}
	server := Actor{Role: Server}
	switch {
	case !s.wantsUpgrade(snap.Upgrade):
		s.fire(EvUpgradeRefused, server, now, "the device asks no longer")
	case snap.Upgrade != to.DeliveryMethodID:
		s.fire(EvUpgradeRefused, server, now, "the new version is no longer offered")
	case snap.Ready:
		s.DeliveryMethodID, s.ProvisionID = to.DeliveryMethodID, to.ProvisionID
		s.fire(EvUpgradeGranted, server, now, "upgraded")
	}
}
