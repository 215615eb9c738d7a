package lease

// Chain is what the server keeps of one agent's check-ins to tell a late message and a
// copied state folder from the agent itself.
//
// Every attempt of an agent has a number greater than any before, also across restarts.
// Every answer that grants carries a token that the next request must show. The last and
// the last but one are accepted, because the last answer may have been lost; an older one
// can only come from a copy.
type Chain struct {
	Last        uint64 // number of the last check-in committed
	Token       string // from the last granting answer, "" before the first
	Previous    string
	Quarantined bool
}

// Verdict is what a presented check-in is.
type Verdict int

const (
	// Fresh: newer than all before; it may be answered in full.
	Fresh Verdict = iota
	// Stale: older than the last one committed; it is acknowledged and gets no lease.
	Stale
	// Copied: it shows a token that has been replaced twice. The agent is quarantined:
	// it gets no leases, its reports free nothing, its seats end with their leases.
	Copied
	// Restored: the agent holds a token from a later check-in than the last one known
	// here, so the database was restored from before it.
	Restored
)

// Present judges a check-in by its number, the token it shows, and the number of the
// check-in whose answer brought that token. A check-in that granted was committed, so one
// from beyond Last proves that the database was restored: the chain goes on from there.
func (c *Chain) Present(number uint64, token string, granted uint64, without Rule) Verdict {
	if c.Quarantined {
		return Copied
	}
	if granted > c.Last && granted < number && !without.Has(HoldAfterRestore) {
		c.Last, c.Token, c.Previous = granted, token, token
		return Restored
	}
	if number <= c.Last && !without.Has(NoLeaseForStale) {
		return Stale
	}
	if token != c.Token && token != c.Previous && !without.Has(OneToken) {
		c.Quarantined = true
		return Copied
	}
	return Fresh
}

// Commit records that a fresh check-in was committed. next is the token that its answer
// carries, "" if it grants nothing.
func (c *Chain) Commit(number uint64, shown, next string) {
	c.Last = max(c.Last, number)
	if next != "" {
		c.Previous, c.Token = shown, next
	}
}
