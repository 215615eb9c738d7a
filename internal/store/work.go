package store

import (
	"strings"
	"time"

	"leasehold/internal/session"
)

// Batch is one action on many sessions. Its ids are frozen when it is made; each session
// is checked again when its turn comes.
type Batch struct {
	ID                               int64
	Action                           session.Action
	Reason                           string
	Filter                           *SessionQuery // what matched; nil for rows that were ticked
	By                               session.Actor
	From                             string // the address it came from
	State                            BatchState
	Reached                          int64 // the last session that was frozen, then dealt with
	Total, Applied, Skipped          int
	CreatedAt, StartedAt, FinishedAt time.Time
}

// BatchState is how far a batch has got.
type BatchState string

const (
	BatchFreezing BatchState = "freezing" // its ids are being collected
	BatchPreview  BatchState = "preview"  // nothing is done before somebody accepts it
	BatchRunning  BatchState = "running"
	BatchDone     BatchState = "done"
	BatchStopped  BatchState = "stopped" // by a person, before its end
)

// Outcomes of a batch for one session; "" while its turn has not come.
const (
	Applied = "applied"
	Skipped = "skipped"
)

// BatchItem is what became of one session of a batch.
type BatchItem struct {
	Session int64
	Outcome string
	Status  session.Status // when its turn came
	Reason  string         // why it was skipped
}

// BatchKind counts the sessions of a batch that are alike, as they are now.
type BatchKind struct {
	Kind    session.Kind
	AppID   int64
	AppName string
	Status  session.Status
	Running bool // observed
	Deleted bool
	N       int
}

// Scope says which sessions a check looks at.
type Scope string

const (
	OfUser   Scope = "user"
	OfApp    Scope = "app"
	OfMethod Scope = "delivery method"
	OfAgent  Scope = "agent"

	// Of these the sessions are not checked, but get a new sort key: what they refer to was
	// renamed.
	SortOfUser      Scope = "sort: user"
	SortOfEmail     Scope = "sort: email"
	SortOfApp       Scope = "sort: app"
	SortOfMethod    Scope = "sort: delivery method"
	SortOfProvision Scope = "sort: provision"
	SortOfAgent     Scope = "sort: agent"
)

// Sorts reports whether the scope is of sessions that get a new sort key.
func (s Scope) Sorts() bool { return strings.HasPrefix(string(s), "sort: ") }

// Check is a piece of work that a change to the directory or catalogue leaves: the
// entitlement of the sessions in its scope is looked at again.
type Check struct {
	ID         int64
	Scope      Scope
	Ref        int64
	Reached    int64 // the last session that was looked at
	EndRunning bool  // what runs without entitlement is evicted at once
	Reason     string
	By         session.Actor
	From       string // the address the change came from
	CreatedAt  time.Time
}

// Work keeps what is done beside requests, by one node at a time, and goes on after a
// crash where it was.
type Work interface {
	// ClaimDuty makes the node the one that has the duty, until hold from now, and returns
	// its term, which grows whenever the duty changes hands, and the duty's mark. It
	// returns ErrHeld while another node has it.
	ClaimDuty(name, node string, hold time.Duration) (term int64, mark string, err error)
	// KeepDuty holds on to a duty until hold from now. It returns ErrHeld when another node
	// took it over, so that a transaction that begins with it is fenced.
	KeepDuty(name string, term int64, hold time.Duration) error
	// MarkDuty notes how far a duty has got, for its next holder; ErrHeld as above.
	MarkDuty(name string, term int64, mark string) error
	// DutyMark is the duty's mark, whoever has it; "" if it has none.
	DutyMark(name string) (string, error)
	// DropDuty gives a duty up; ErrHeld as above.
	DropDuty(name string, term int64) error

	CreateBatch(*Batch) error
	Batch(id int64) (*Batch, error)
	LockBatch(id int64) (*Batch, error)
	// SaveBatch stores its state, reason, counts, and whose it is.
	SaveBatch(*Batch) error
	// Batches lists those of a state, or with "" all that were ever begun, with ids below
	// before, or any with 0; newest first.
	Batches(state BatchState, before int64, limit int) ([]*Batch, error)
	// AddBatchItems freezes sessions; one that is there already stays.
	AddBatchItems(batch int64, sessions []int64) error
	// BatchItems lists those above after, of an outcome or all with "", by session.
	BatchItems(batch int64, outcome string, after int64, limit int) ([]BatchItem, error)
	SaveBatchItem(batch int64, i BatchItem) error
	// BatchKinds counts the sessions of a batch by what they are now.
	BatchKinds(batch int64) ([]BatchKind, error)
	// DeleteBatches deletes up to limit batches: previews made and results finished before
	// the given moments.
	DeleteBatches(previews, finished time.Time, limit int) (int, error)

	AddCheck(*Check) error
	// Resort gives up to limit sessions of a scope that Sorts the sort key of the present
	// name, from where after says on, and returns where to go on; 0 means all have it.
	Resort(scope Scope, ref, after int64, limit int) (next int64, err error)
	// NextCheck returns the oldest, or ErrNotFound.
	NextCheck() (*Check, error)
	// LockCheck returns one, and nobody else works on it until the transaction ends.
	LockCheck(id int64) (*Check, error)
	// SaveCheck notes how far it has got, or deletes it when it is done.
	SaveCheck(c *Check, done bool) error
	// ToCheck walks at most scan listed sessions above after in a scope. It returns those
	// that are not over, and where to go on; next 0 means all were seen.
	ToCheck(scope Scope, ref, after int64, scan int) (ids []int64, next int64, err error)

	// Idle returns up to limit ids above after of listed sessions of a status, those
	// without activity since quiet and of that status since before since, each unless zero.
	Idle(s session.Status, quiet, since time.Time, after int64, limit int) ([]int64, error)
	// Forgettable returns up to limit ids of sessions deleted before a moment that hold no
	// lease and have no open order.
	Forgettable(deletedBefore time.Time, limit int) ([]int64, error)
	// ForgetSession deletes a session with its history, for good.
	ForgetSession(id int64) error
}
