package lease

// Rule is a set of the rules that the search found necessary. Its one use is in tests,
// which take a rule out to show the trace that it prevents: the zero value, which all
// product code uses, takes out none.
type Rule uint32

const (
	// FreeAfterMargin: a seat is free only at the lease's end plus the force margin plus
	// the drift allowance. Without it a seat is given again while its last app is still
	// being ended.
	FreeAfterMargin Rule = 1 << iota
	// OneRun: a floating lease is for one run, and is destroyed when that run ends. It is
	// also what makes an agent drop a lease that was asked for before an exit. Without it
	// a late answer lets the next run start on a seat that was already given back.
	OneRun
	// FenceReturn: a return or removal revokes what the agent holds, and the agent drops a
	// lease whose request was sent before. Without it a late answer brings a returned
	// fixed lease back to life.
	FenceReturn
	// CommitFirst: a lease is committed before it is answered. Without it a crash of the
	// server forgets a seat that is in use.
	CommitFirst
	// EndBeforeAck: a revocation is acknowledged only when nothing runs under it any
	// more. Without it the seat is given again during the warnings.
	EndBeforeAck
	// IgnoreRevoked: an agent ignores a lease of a generation whose revocation it has
	// stored, and any answer but that to its last check-in. Without it a late lease
	// undoes an order.
	IgnoreRevoked
	// RunAfterRevocation: a new generation goes only to a run that started after the
	// revocation was stored, and a run that is being closed is not extended. Without it
	// the evicted run is simply renewed.
	RunAfterRevocation
	// NoLeaseForStale: a check-in older than the last one committed gets no lease.
	// Without it an old message rotates the agent's token and the honest agent is taken
	// for a copy.
	NoLeaseForStale
	// LapseEnds: a session with no lease out is not running. Without it a vanished
	// agent's row says running for ever.
	LapseEnds
	// OrderEndsAtETA: an order closes at its ETA though nobody answers. Without it an
	// order to a vanished agent stays open for ever.
	OrderEndsAtETA
	// LatestEnd: the ETA is the latest end of any lease signed up to the revoked
	// generation. Without it an order closes while a longer lease still runs.
	LatestEnd
	// OldNewsClosesNothing: what an agent journalled before it stored a revocation does
	// not close the order. Without it an exit from before the next run closes it.
	OldNewsClosesNothing
	// GuardBeforeAbsent: an agent that lost its journal frees a seat only if no guard of
	// that run is alive. Without it the seat of a living app is given again.
	GuardBeforeAbsent
	// CountFromSending: an agent counts a lease from when it sent the request. Without
	// it a slow answer stretches the lease past the server's reckoning.
	CountFromSending
	// NoLeap: the server's lease clock never leaps. Without it a clock set forward frees
	// seats whose leases still run.
	NoLeap
	// OneToken: each granting answer carries a token that the next request must show.
	// Without it a copied state folder gets leases for ever.
	OneToken
	// HoldAfterRestore: a server whose database was restored grants no new seat until
	// every lease from before must be over. Without it a forgotten seat is given again.
	HoldAfterRestore
	// ProofBeforeFree: a run whose end nobody can prove frees nothing before its lease's
	// end. Without it the seat of an app that outlived its guard is given again.
	ProofBeforeFree
)

// Has reports whether rule o is in the set r of rules taken out.
func (r Rule) Has(o Rule) bool { return r&o != 0 }
