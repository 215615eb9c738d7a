package lease

import "time"

// Kind says how a licence is held.
type Kind string

const (
	// Floating is an online licence: its lease lives a few heartbeats and is for one run.
	Floating Kind = "floating"
	// Fixed is an offline licence: its lease lives for the offline duration and is kept
	// from the moment the app is added, while stopped too.
	Fixed Kind = "fixed"
)

// Heartbeats is how many heartbeats a floating lease lives besides its warning window:
// one to be asked again, one that may fail, one that may be late.
const Heartbeats = 3

// DriftPerMille is the drift allowance: how much a lease's length may differ between the
// agent's clock and the database's. 1 ‰ is twice what NTP slews at most.
const DriftPerMille = 1

// Terms are what a delivery method says about leases.
type Terms struct {
	Kind        Kind
	Heartbeat   time.Duration // between check-ins, at least one second
	Window      time.Duration // the largest of the warnings, 0 or more
	Offline     time.Duration // the offline duration of a fixed licence
	ForceMargin time.Duration // from the polite close to the end by force
}

// Length is how long a lease under these terms lives, from the request's sending on the
// agent and from the grant on the server. The warning window lies inside it: its end is
// the hard stop.
func (t Terms) Length() time.Duration {
	floating := t.Window + Heartbeats*t.Heartbeat
	if t.Kind == Fixed {
		return max(t.Offline, floating)
	}
	return floating
}

// Margin is what lies between a lease's end and the moment its seat is certainly free:
// the force margin, the drift allowance for a lease of the given length, and what the
// servers' clock may wrongly believe (see Slack and docs/adr/0004).
func (t Terms) Margin(length time.Duration) time.Duration {
	return t.ForceMargin + length*DriftPerMille/1000 + Slack
}

// Grant is a lease as the server's row holds it. There is at most one a session.
type Grant struct {
	Session        int64
	DeliveryMethod int64 // whose seat it holds; after an upgrade the old one's until the run ends
	Kind           Kind
	Generation     uint64
	Run            uint32    // the run it is for; 0 for a fixed licence
	GrantedAt      time.Time // when it was granted or last renewed, by the lease clock
	ExpiresAt      time.Time // the latest end signed
	FreeAt         time.Time // when its seat is certainly free
}

// NewGrant grants a lease at now by the lease clock. When it renews prev, which may be
// nil, its end and its seat's freedom are never earlier than those already signed.
func NewGrant(t Terms, session, deliveryMethod int64, generation uint64, run uint32, now time.Time, prev *Grant, without Rule) *Grant {
	length := t.Length()
	g := &Grant{
		Session: session, DeliveryMethod: deliveryMethod, Kind: t.Kind,
		Generation: generation, Run: run,
		GrantedAt: now, ExpiresAt: now.Add(length), FreeAt: now.Add(length),
	}
	if t.Kind == Fixed {
		g.Run = 0
	}
	if !without.Has(FreeAfterMargin) {
		g.FreeAt = g.FreeAt.Add(t.Margin(length))
	}
	if prev != nil && !without.Has(LatestEnd) {
		if prev.ExpiresAt.After(g.ExpiresAt) {
			g.ExpiresAt = prev.ExpiresAt
		}
		if prev.FreeAt.After(g.FreeAt) {
			g.FreeAt = prev.FreeAt
		}
	}
	return g
}

// RenewalDue reports whether a check-in at now may renew g: a heartbeat has passed since
// the grant.
func (g *Grant) RenewalDue(t Terms, now time.Time) bool {
	return !now.Before(g.GrantedAt.Add(t.Heartbeat))
}

// Over reports whether g has certainly ended by now, so that its seat is free.
func (g *Grant) Over(now time.Time) bool { return !now.Before(g.FreeAt) }

// NextCheckIn is how long an agent with a lease granted at now may wait before its next
// check-in. jitter in [0, 1) spreads agents over a tenth of the heartbeat, always later,
// so that every routine check-in finds its renewal due; the pace never reaches into the
// warning window.
func NextCheckIn(t Terms, jitter float64) time.Duration {
	d := t.Heartbeat + time.Duration(jitter*float64(t.Heartbeat)/10)
	return min(d, Heartbeats*t.Heartbeat)
}
