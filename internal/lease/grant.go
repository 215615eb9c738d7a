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

// DriftPerMille is 2ε/(1−ε): how much of a lease's length the boot-time clocks of a server
// and an agent may differ by, each running at a rate within ε = 500 ppm of true time. NTP
// slews by no more; docs/operations.md says what chrony has to be told.
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

// Margin is what lies between a lease's end and the moment its seat is certainly free: the
// force margin, the drift allowance for the lease's length and for the age of the reading
// that it was signed by, and MaxStep (docs/adr/0004).
func (t Terms) Margin(length time.Duration) time.Duration {
	return t.ForceMargin + (length+MaxAge)*DriftPerMille/1000 + MaxStep
}

// Grant is a lease as the server's row holds it. There is at most one a session.
type Grant struct {
	Session        int64
	DeliveryMethod int64 // whose seat it holds; after an upgrade the old one's until the run ends
	Kind           Kind
	Generation     uint64
	Run            uint32 // the run it is for; 0 for a fixed licence
	GrantedAt      Time   // when it was granted or last renewed: the earliest reading
	ExpiresAt      Time   // the latest end signed: by the latest reading
	FreeAt         Time   // when its seat is certainly free
}

// NewGrant grants a lease now. When it renews prev, which may be nil, its end and its
// seat's freedom are never earlier than those already signed. The caller has checked that
// now.Signs.
func NewGrant(t Terms, session, deliveryMethod int64, generation uint64, run uint32, now Now, prev *Grant, without Rule) *Grant {
	length := t.Length()
	end := now.Latest.Add(length)
	if without.Has(SignByLatest) {
		end = now.Earliest.Add(length)
	}
	g := &Grant{
		Session: session, DeliveryMethod: deliveryMethod, Kind: t.Kind,
		Generation: generation, Run: run,
		GrantedAt: now.Earliest, ExpiresAt: end, FreeAt: end,
	}
	if t.Kind == Fixed {
		g.Run = 0
	}
	if !without.Has(FreeAfterMargin) {
		g.FreeAt = g.FreeAt.Add(t.Margin(length))
	}
	if prev != nil && !without.Has(LatestEnd) {
		g.ExpiresAt, g.FreeAt = max(g.ExpiresAt, prev.ExpiresAt), max(g.FreeAt, prev.FreeAt)
	}
	return g
}

// Cover puts the end of the grant no earlier than that of the lease which the agent holds
// and of which it says that left is left: a restored database may not know how long it was.
func (g *Grant) Cover(t Terms, now Now, left time.Duration) {
	if end := now.Latest.Add(left); end > g.ExpiresAt {
		g.ExpiresAt, g.FreeAt = end, end.Add(t.Margin(left))
	}
}

// RenewalDue reports whether a check-in now may renew g: a heartbeat has passed since the
// grant, by the latest reading, or by what the agent says is left of the lease it holds.
// The second counts after an outage, when lease time is behind. left is negative if the
// agent does not say.
func (g *Grant) RenewalDue(t Terms, now Now, left time.Duration, without Rule) bool {
	if left >= 0 && left <= t.Length()-t.Heartbeat && !without.Has(OwnCount) {
		return true
	}
	return now.Latest >= g.GrantedAt.Add(t.Heartbeat)
}

// Over reports whether g has certainly ended, so that its seat is free.
func (g *Grant) Over(now Now, without Rule) bool {
	if without.Has(FreeByEarliest) {
		return max(now.Latest, now.Earliest) >= g.FreeAt
	}
	return now.Earliest >= g.FreeAt
}

// NextCheckIn is how long an agent with a lease granted at now may wait before its next
// check-in. jitter in [0, 1) spreads agents over a tenth of the heartbeat, always later,
// so that every routine check-in finds its renewal due; the pace never reaches into the
// warning window.
func NextCheckIn(t Terms, jitter float64) time.Duration {
	d := t.Heartbeat + time.Duration(jitter*float64(t.Heartbeat)/10)
	return min(d, Heartbeats*t.Heartbeat)
}
