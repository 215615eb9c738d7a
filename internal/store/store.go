// Package store is the contract between the use cases and the databases: small
// interfaces whose comments say what an implementation promises, and the errors it
// returns. internal/store/storetest holds every implementation to it.
//
// All work happens in a transaction. [Store.Update] is serialisable as far as the rows it
// locked go: what it read with a Lock… method, and the seats it counted, nobody else
// changes until it commits. Times are UTC, kept to the microsecond; the zero time means
// "not". What decides about leases is lease time, from [Tx.LeaseNow] alone.
package store

import (
	"context"
	"errors"
	"time"

	"leasehold/internal/catalog"
	"leasehold/internal/directory"
	"leasehold/internal/lease"
	"leasehold/internal/session"
	"leasehold/internal/wire"
)

var (
	// ErrNotFound: no such row, or it is deleted.
	ErrNotFound = errors.New("store: not found")
	// ErrNameTaken: another row of the kind has this name.
	ErrNameTaken = errors.New("store: the name is taken")
	// ErrInUse: other rows need it, so it cannot be deleted.
	ErrInUse = errors.New("store: in use")
	// ErrHeld: another node has the duty.
	ErrHeld = errors.New("store: another node has this duty")
	// ErrLocked: somebody else's transaction has locked a row that is needed, and went on
	// for longer than this one may wait.
	ErrLocked = errors.New("store: a row is locked by another transaction")
	// ErrNewerSchema: the database was changed by a later version of the program.
	ErrNewerSchema = errors.New("store: the database is newer than this program")
	// ErrBadPageToken: a page token that was not made for this query.
	ErrBadPageToken = errors.New("store: page token of another query")
)

// Store is a database.
type Store interface {
	// View runs fn on one consistent state; what it writes fails.
	View(ctx context.Context, fn func(Tx) error) error
	// Update runs fn in a transaction and commits it before returning, or changes
	// nothing if fn fails. fn may be run again after a serialisation failure or
	// deadlock, so it keeps no state between runs. Concurrent updates may share a commit.
	// If fn panics, nothing is changed and Update panics in its caller.
	Update(ctx context.Context, fn func(Tx) error) error
	// Tick is one tick of the lease clock (see lease.Readings). Every node calls it again a
	// lease.Period after it has returned. It waits for nothing that other work holds. After
	// an error the outcome is unknown, and the node grants nothing before two more ticks.
	Tick(ctx context.Context) error
	// RestartClock is for a database that was restored: nobody may read its lease clock by
	// readings from before.
	RestartClock(ctx context.Context) error
	// MarkSeen records when agents were last heard from, in bulk and behind.
	MarkSeen(ctx context.Context, seen map[int64]Seen) error
	// Ping reports whether the database answers.
	Ping(ctx context.Context) error
	Close() error
}

// Tx is a transaction.
type Tx interface {
	// LeaseNow is one look at the lease clock, the same throughout a transaction: what is
	// free, over or due is judged by its earliest reading, what is signed ends by its latest.
	LeaseNow() lease.Now
	// WallNow is the database's wall clock, for what people read: audit, transitions, dates
	// of provisions, sign-ins, the calendar of the housekeeping. It may be set at any time.
	WallNow() time.Time
	Sessions
	Agents
	Enrolment
	Catalog
	Directory
	Access
	SignIns
	Audit
	Records
	Work
}

// Sessions keeps sessions, their leases, seats, orders and histories.
type Sessions interface {
	// CreateSession stores a new session with its transitions and sets its ID, which is
	// greater than any before.
	CreateSession(*session.Session) error
	// Session returns a session, deleted ones too, with its lease and its latest order.
	Session(id int64) (*session.Session, error)
	// LockSession is Session, and nobody else changes it until the transaction ends.
	LockSession(id int64) (*session.Session, error)
	// TryLockSession is LockSession for work that must not wait: it returns ErrLocked if
	// somebody else has locked the session, or its agent, whose check-in is under way then.
	TryLockSession(id int64) (*session.Session, error)
	// SessionsOfAgent returns the sessions that an agent still has to do with, by id;
	// see Live.
	SessionsOfAgent(agent int64) ([]*session.Session, error)
	// LockSessionsOfAgent is SessionsOfAgent, locked in the order of their ids, together
	// with those of ids that are of this agent whether Live or not.
	LockSessionsOfAgent(agent int64, ids []int64) ([]*session.Session, error)
	// TryLockSessionsOfAgent is LockSessionsOfAgent without those that somebody else has
	// locked, whose ids it returns apart, ascending.
	TryLockSessionsOfAgent(agent int64, ids []int64) (free []*session.Session, locked []int64, err error)
	// SaveSession stores what changed from before to after, with after's transitions and
	// messages: the row, the lease and its seat, the order. A lease that was replaced by nil frees
	// its seat. before is what Session or a Lock method returned, copied with Clone.
	SaveSession(before, after *session.Session) error
	// Superseded returns the locked sessions of the same user, app and agent with an id
	// below id that are not over, by id.
	Superseded(user, app, agent, id int64) ([]*session.Session, error)
	// LaunchLoad counts what a user has and has launched since a moment.
	LaunchLoad(user int64, since time.Time) (LaunchLoad, error)
	// UserSessions returns a user's sessions that are listed and not over, or whose app was
	// last seen running on a device, newest first, at most limit.
	UserSessions(user int64, limit int) ([]*session.Session, error)

	// TakeSeat takes a seat of a delivery method for a session that holds none there, if
	// fewer than seats are taken; seats 0 means no limit. Seats whose lease is over
	// now do not count. Concurrent calls for one delivery method wait for each other.
	TakeSeat(deliveryMethod, session int64, seats int) (bool, error)
	// SeatsTaken counts the seats of a delivery method that are taken now.
	SeatsTaken(deliveryMethod int64) (int, error)
	// SeatHolders returns up to limit sessions above after that hold a seat of a delivery
	// method now, by id.
	SeatHolders(deliveryMethod, after int64, limit int) ([]int64, error)
	// LeasesOver returns up to limit ids above after of sessions whose lease is over at
	// now, walking at most scan leases, and where to go on; next 0 means all were seen.
	LeasesOver(after int64, scan, limit int) (ids []int64, next int64, err error)
	// OrdersDue returns up to limit ids of sessions with an open order whose ETA has
	// passed now.
	OrdersDue(limit int) ([]int64, error)

	// StreamsDue returns up to limit ids of streams that should be up by now and are still
	// starting, and of those that are connected on a host last heard from before seen.
	StreamsDue(seen lease.Time, limit int) ([]int64, error)

	// Transitions returns a session's history, oldest first.
	Transitions(id int64) ([]session.Transition, error)
	// Messages returns what a session's user was told, oldest first.
	Messages(id int64) ([]session.Message, error)
	// ListSessions returns one page. It returns ErrBadPageToken.
	ListSessions(q SessionQuery) (SessionPage, error)
	// CountSessions counts what matches, up to bound; exact says whether that is all. Where
	// two things are asked for that are both common, it may give up before the bound.
	CountSessions(q SessionQuery, bound int) (n int, exact bool, err error)
	// MatchingIDs returns up to limit ids above after of the sessions that match, in the
	// order of their ids. The query's sort and page count for nothing.
	MatchingIDs(q SessionQuery, after int64, limit int) ([]int64, error)
	// SessionRows returns sessions with their names, in the order of ids; unknown ids
	// are left out.
	SessionRows(ids []int64) ([]SessionRow, error)
}

// Live reports whether an agent still has to do with a session: it is listed there and
// may run, or what it holds is not gone yet.
func Live(s *session.Session) bool {
	if s.AgentID == 0 {
		return false
	}
	if s.Lease != nil || s.Order.Open() {
		return true
	}
	if s.Status.Ended() || !s.DeletedAt.IsZero() {
		return s.Observed != session.IsAbsent
	}
	return true
}

// Clone copies a session as SaveSession needs it.
func Clone(s *session.Session) *session.Session {
	c := *s
	c.Unneeded = append([]string(nil), s.Unneeded...)
	if s.Lease != nil {
		l := *s.Lease
		c.Lease = &l
	}
	if s.Order != nil {
		o := *s.Order
		c.Order = &o
	}
	return &c
}

// SessionRow is a session with the names of what it refers to, for lists.
type SessionRow struct {
	*session.Session
	Username, UserName, UserEmail string
	AppName                       string
	DeliveryMethodName            string
	Licence                       lease.Kind
	ProvisionName                 string
	AgentName                     string
	Seen                          Seen // when the agent was last heard from
	// Lease times as people read them: when the lease ends and when its seat is certainly
	// free, and the ETA of the latest order. Zero where there is none.
	LeaseEnds, LeaseFree, OrderETA time.Time
	Closes                         session.Forecast // of the app that an open order is for
	Simulated                      bool             // its agent is a simulated one
}

// SessionQuery selects sessions. Empty fields select everything.
type SessionQuery struct {
	Kind             session.Kind
	Statuses         []session.Status
	Q                string // contains, by fold: app, user, provision, agent name, status label; or is the number
	Username         string // contains, by fold: user name or display name
	Email            string // contains, by fold
	AppID            int64
	UserID           int64
	ProvisionID      int64
	DeliveryMethodID int64
	AgentID          int64
	From, To         time.Time // started in [From, To)
	SilentSince      time.Time // its agent was last heard from before
	History          bool      // deleted ones too
	Sort             Sort
	PageSize         int    // 1 to 500
	PageToken        string // from a page of the same query
}

// Sort is the order of a list: a key, descending if it begins with "-". Rows of the same
// key go by id in the same direction.
//
// A duration is [session.Session.Duration] at the moment of a walk's first page. The pages
// that its tokens lead to go by the same moment, so that a session which does not end
// meanwhile is neither skipped nor repeated; one that ends may come again where its
// duration puts it, and one that begins comes before those of no duration.
type Sort string

// SortKeys are the keys that sessions can be sorted by.
var SortKeys = []string{"id", "user", "email", "app", "provision", "delivery_method", "device", "status", "since", "started_at", "last_activity_at", "duration"}

// SessionPage is one page of a list.
type SessionPage struct {
	Rows []SessionRow
	// Next and Prev are the tokens of the pages beside this one, "" where there is none.
	Next, Prev string
}

// Agent is a player or host as the server knows it.
type Agent struct {
	ID         int64
	Kind       wire.AgentKind
	Name       string
	OS, Arch   string
	Version    string
	Simulated  bool
	Ownership  directory.Ownership
	Pool       string   // of a host: which delivery methods run there, as catalog.Pool has it
	Slots      int      // of a host: how many sessions it can have at once, as it says
	Missing    []string // of a host: what it does not offer to its sessions, as it says; a line each
	Approved   bool     // of a host: launches may go there; always true of a player
	Credential []byte   // SHA-256 of the credential
	CreatedAt  time.Time
	Seen       Seen
	DeletedAt  time.Time

	Chain lease.Chain // its check-ins
	Epoch uint64      // of its journal
	Seq   uint64      // the last entry applied
}

// Seen is when an agent was last heard from. The zero Seen means never.
type Seen struct {
	At    time.Time  // by the wall clock, for people
	Lease lease.Time // by the earliest reading of lease time, for what depends on silence
}

// Contact is the agent's last contact, for the rules.
func (a *Agent) Contact() session.Contact {
	if a == nil {
		return session.Contact{}
	}
	return session.Contact{Agent: a.Name, At: a.Seen.At, Lease: a.Seen.Lease}
}

// Agents keeps players and hosts.
type Agents interface {
	CreateAgent(*Agent) error
	Agent(id int64) (*Agent, error)
	// LockAgent is Agent, and check-ins of the same agent wait for each other.
	LockAgent(id int64) (*Agent, error)
	// SaveAgent stores the agent's name, ownership, pool, slots, version, approval, chain, epoch and sequence.
	SaveAgent(*Agent) error
	// DeleteAgent takes its credential away.
	DeleteAgent(id int64) error
	// ListAgents lists those of the kind whose name contains q.
	ListAgents(kind wire.AgentKind, q string, page Page) ([]*Agent, string, error)
	// RecordDevice records that a user uses a device.
	RecordDevice(user, agent int64, at time.Time) error
	// PeopleOf lists the users recorded for a device who are not deleted, by user name.
	PeopleOf(agent int64) ([]wire.Person, error)
	// ForgetDevice undoes RecordDevice. It returns ErrNotFound if there is no such record.
	ForgetDevice(user, agent int64) error
	// DevicesOf lists the devices recorded for a user, latest first.
	DevicesOf(user int64) ([]*Agent, error)
	// Hosts lists the hosts of a pool, "" for the default one, that were last heard from at seen or later, with what
	// they run and how a delivery method's app has started there, by id: those that can have sessions at all, are
	// approved and not quarantined.
	Hosts(pool string, deliveryMethod int64, seen lease.Time) ([]HostLoad, error)
	// AddTunnel stores one that waits, and forgets those that are over now.
	AddTunnel(t *Tunnel) error
	// Tunnels lists those that wait for a host now.
	Tunnels(agent int64) ([]Tunnel, error)
	// TakeTunnel returns the one that waits for the host with this ticket now, once. It
	// returns ErrNotFound.
	TakeTunnel(agent int64, ticket string) (*Tunnel, error)
}

// Tunnel is a browser that waits for the display of a session.
type Tunnel struct {
	Ticket    string // random, good once
	Session   int64
	Agent     int64  // the host that is to dial
	Node      string // the address of the node that the browser is connected to
	ExpiresAt lease.Time
}

// Page asks for one page of a list by name; Token is "" for the first.
type Page struct {
	Size  int // 1 to 500
	Token string
}

// Catalog keeps apps and delivery methods.
type Catalog interface {
	CreateApp(*catalog.App) error
	App(id int64) (*catalog.App, error) // deleted ones too
	SaveApp(*catalog.App) error
	ListApps(q string, page Page) ([]*catalog.App, string, error)
	CreateDeliveryMethod(*catalog.DeliveryMethod) error
	DeliveryMethod(id int64) (*catalog.DeliveryMethod, error) // deleted ones too
	SaveDeliveryMethod(*catalog.DeliveryMethod) error
	// ListDeliveryMethods lists by name those of an app, or of all with app 0.
	ListDeliveryMethods(app int64, q string, page Page) ([]*catalog.DeliveryMethod, string, error)
	// DeliveryMethodsOf returns an app's in order of preference: the order of their ids.
	DeliveryMethodsOf(app int64) ([]*catalog.DeliveryMethod, error)
}

// Directory keeps users, groups and provisions. User names are unique among users that are
// not deleted, names among groups and among provisions that are not deleted: by their folds,
// see [fold.Fold]. A name that is taken is ErrNameTaken. Lists are searched and sorted by
// folds.
type Directory interface {
	CreateUser(*directory.User) error
	User(id int64) (*directory.User, error) // deleted ones too, with group ids
	// LockUser is User, and nobody else changes it until the transaction ends.
	LockUser(id int64) (*directory.User, error)
	// UserByName returns the user who is not deleted whose user name has the fold of this one.
	UserByName(username string) (*directory.User, error)
	SaveUser(*directory.User) error // with its groups
	ListUsers(q string, page Page) ([]*directory.User, string, error)
	CountAdmins() (int, error) // active ones
	// LockAdmins is CountAdmins, and nobody else changes one of them until the transaction ends.
	LockAdmins() (int, error)
	CreateGroup(*directory.Group) error
	Group(id int64) (*directory.Group, error)
	SaveGroup(*directory.Group) error
	DeleteGroup(id int64) error
	ListGroups(q string, page Page) ([]*directory.Group, string, error)
	CreateProvision(*directory.Provision) error
	Provision(id int64) (*directory.Provision, error)
	SaveProvision(*directory.Provision) error
	DeleteProvision(id int64) error
	ListProvisions(q string, page Page) ([]*directory.Provision, string, error)
	// ProvisionsFor returns the provisions that name the user, directly or by a group,
	// and the delivery method, or any with 0; by id.
	ProvisionsFor(user, deliveryMethod int64) ([]*directory.Provision, error)
	// ProvisionsTurned returns the provisions that began or ended in (from, to], by id.
	ProvisionsTurned(from, to time.Time) ([]int64, error)
	// Version grows with every change to the catalogue, the directory or the settings, so
	// that what was read under the same version is still so.
	Version() (int64, error)
}

// What the hold after a restore is about, beside a delivery method.
const (
	NoMethod    int64 = 0
	EveryMethod int64 = -1
)

// Access keeps what lets people and machines in.
type Access interface {
	// WebSession, SaveWebSession and DeleteWebSession keep the browser sessions of scs.
	WebSession(token string) (data []byte, ok bool, err error)
	SaveWebSession(token string, data []byte, expires time.Time) error
	DeleteWebSession(token string) error
	// DeleteExpired clears tokens, browser sessions and browsers that have expired, and tries
	// to sign in that are older than [ForgetTries].
	DeleteExpired() error
	// RestoreHold returns the lease time at which a restore of the database was noticed, 0 if
	// none ever was, and until when the leases of a delivery method may be out that its
	// agents have reported since.
	RestoreHold(deliveryMethod int64) (restored, reported lease.Time, err error)
	// ExtendRestoreHold puts one of them later, never earlier: of NoMethod when the restore
	// was noticed, of EveryMethod what holds for all.
	ExtendRestoreHold(deliveryMethod int64, until lease.Time) error
	// SigningKeys returns the servers' keys, newest first.
	SigningKeys() ([]SigningKey, error)
	// LockSigningKeys is SigningKeys, and nobody else changes them until the transaction ends.
	LockSigningKeys() ([]SigningKey, error)
	AddSigningKey(SigningKey) error
	// RetireSigningKey erases a key's private half.
	RetireSigningKey(id string) error
	// DeleteSigningKey forgets a key: what it has signed does not verify any more.
	DeleteSigningKey(id string) error
	// Setting returns "" if it is not set.
	Setting(name string) (string, error)
	SetSetting(name, value string) error
	// SwapSetting sets a setting that has a value to another one. Of those who do that at once
	// one succeeds; swapped is false for all others, and for another value.
	SwapSetting(name, from, to string) (swapped bool, err error)
}

// SigningKey is a servers' key for leases and tickets.
type SigningKey struct {
	ID     string
	PKCS8  []byte // the private half; empty once the key is retired
	Public []byte // the public half; empty for a key of a schema before 8, which has the private one
	// Endorsement is the signature of the key before over this one; see lease.Key.
	Endorsement string
	CreatedAt   time.Time
	LeaseAt     lease.Time // when it was made, in lease time
}

// Denial is a lease that was refused.
type Denial struct {
	ID               int64
	At               time.Time
	Session          int64
	Run              uint32
	UserID           int64
	AppID            int64
	DeliveryMethodID int64
	AgentID          int64
	Code             session.RefusalCode
	Message          string

	Username, UserName, AgentName string // filled in by lists
}

// Records keeps what happened beside the sessions' own histories.
type Records interface {
	// AddDenial records a denial once for a session's run.
	AddDenial(Denial) error
	// Denials lists those of a session, newest first, at most limit.
	Denials(session int64, limit int) ([]Denial, error)
	// DenialsOf lists those of a delivery method with an id below before, or all with 0,
	// newest first, at most limit.
	DenialsOf(deliveryMethod, before int64, limit int) ([]Denial, error)
	// CountDenials counts those of a delivery method since a moment.
	CountDenials(deliveryMethod int64, since time.Time) (int, error)
}
