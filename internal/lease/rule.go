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
	// SignByLatest: a lease's end is signed by the latest reading of lease time. Without it
	// the row ends while the agent still holds the lease.
	SignByLatest
	// FreeByEarliest: what is free, over or due is judged by the earliest reading. Without
	// it a node frees a seat that another one has just signed for.
	FreeByEarliest
	// CompareNonce: a tick moves the mark only if the row has the nonce that it last saw,
	// compared and written in one statement. Without it two nodes each add the same time.
	CompareNonce
	// OneStatement: that comparison and the write are one statement. Without it the row is
	// written by another node in between, and the same time is added twice.
	OneStatement
	// ExactNonce: a reading counts only for exactly the nonce that a transaction's look
	// shows. Without it the reading of a later nonce makes the latest reading too early.
	ExactNonce
	// FreshConnection: readings go with their connection. Without it a node that paused
	// adds its pause to a row that was restored meanwhile.
	FreshConnection
	// OwnCount: a renewal is due, too, when the agent's own count says that a heartbeat has
	// passed. Without it apps are closed after an outage, when lease time is behind.
	OwnCount
	// HoldReported: the hold after a restore is as long as the longest lease that agents
	// report they hold, and the row of a lease that is reported ends no earlier than the
	// agent's. Without it a lease of terms that the backup does not know outlives the hold.
	HoldReported
	// HoldRenewals: the hold after a restore covers renewals too, except of a lease that
	// the agent still holds. Without it a restored row renews somebody whose seat has gone
	// to another since.
	HoldRenewals
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
