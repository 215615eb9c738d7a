// Package wire holds the messages between an agent and the server, version 1: JSON over
// HTTPS, one request and one answer at a time.
//
// The check-in is the truth. One request carries all sessions of the agent: the journal
// entries that the server has not acknowledged, each with its number and real time, and
// what the agent knows of every session now. The answer acknowledges, and carries leases,
// refusals, directives and the time of the next check-in. Every directive is derived from
// what the server wants and the agent has not yet reported, so it is repeated until it is
// done and may arrive any number of times. The event stream says only "check in now".
//
// docs/protocol.md describes the exchange; the golden files beside this package fix its form.
package wire

import (
	"encoding/json"
	"errors"
	"time"

	"leasehold/internal/catalog"
	"leasehold/internal/lease"
	"leasehold/internal/session"
)

// Version of the protocol. A server answers a request of another version with
// [ErrVersion] and names the versions it speaks.
const Version = 1

// Paths of the agents' API.
const (
	PathEnrol   = "/agent/v1/enrol"
	PathCheckIn = "/agent/v1/check-in"
	PathRedeem  = "/agent/v1/redeem"
	PathPeople  = "/agent/v1/people" // GET: who uses this device
	PathForget  = "/agent/v1/forget" // one of them is not to any more
	PathTunnel  = "/agent/v1/tunnel" // a web socket; ?ticket=… says which
	PathEvents  = "/agent/v1/events" // server-sent events; each says only: check in now
)

// Limits on what one message may hold. An agent with more to say says it in several.
const (
	MaxBody         = 4 << 20 // bytes of a request or an answer
	MaxSessions     = 5000    // sessions of one agent
	MaxObservations = 2000    // journal entries in one check-in
	MaxText         = 500     // bytes of a reason or a name
	MaxChallenge    = 64      // bytes of a guard's challenge
	// MaxMissing is the most lines that a host says of itself.
	MaxMissing = 20
)

// ErrVersion: the message is of a version that this side does not speak.
var ErrVersion = errors.New("wire: protocol version not supported")

// ComeUpWithin is how long a host's display and its app may take to come up. Meanwhile no
// lease can be brought to the guard, so the first deadline of a run there is so much later.
const ComeUpWithin = 30 * time.Second

// AgentKind says what an agent runs.
type AgentKind string

const (
	Player AgentKind = "player" // apps on a person's device
	Host   AgentKind = "host"   // streamed apps
)

// Enrol asks to become an agent.
type Enrol struct {
	V       int       `json:"v"`
	Key     string    `json:"key"`
	Kind    AgentKind `json:"kind"`
	Name    string    `json:"name"` // the machine's name
	OS      string    `json:"os"`   // as GOOS
	Arch    string    `json:"arch"` // as GOARCH
	Version string    `json:"version"`
}

// Enrolled is the answer to Enrol. Credential is shown once: "Authorization: Bearer" of
// every later request.
type Enrolled struct {
	V          int             `json:"v"`
	AgentID    int64           `json:"agent_id"`
	Credential string          `json:"credential"`
	Keys       json.RawMessage `json:"keys"` // JWK set of the lease signing keys
}

// Observation is one journal entry. Its key is (agent, epoch, Seq): the server applies
// each once, in order.
type Observation struct {
	Seq     uint64                  `json:"seq"`
	Session int64                   `json:"session"`
	Type    session.ObservationType `json:"type"`
	At      time.Time               `json:"at"`
	Run     uint32                  `json:"run,omitempty"`
	Mark    uint64                  `json:"mark,omitempty"`
	UpTo    uint64                  `json:"up_to,omitempty"`
	Seconds int                     `json:"seconds,omitempty"`
	Reason  string                  `json:"reason,omitempty"`
	// Unproved, of an exit, return or removal: the device could not make sure that nothing
	// of a run is left, so the seat is free with the lease's end only.
	Unproved bool `json:"unproved,omitempty"`
	// Method is the delivery method of what a run runs, or of the version that is asked for.
	Method int64 `json:"method,omitempty"`
}

// SessionState is what the agent knows of one session as it sends the check-in.
type SessionState struct {
	Session int64         `json:"session"`
	State   session.State `json:"state"`
	Run     uint32        `json:"run,omitempty"`
	Mark    uint64        `json:"mark,omitempty"`
	Stored  uint64        `json:"stored,omitempty"`
	Ended   uint64        `json:"ended,omitempty"`
	Seen    uint64        `json:"seen,omitempty"`
	// Guard: a guard is alive, or something of a run whose end is Unproved may be.
	Guard bool `json:"guard,omitempty"`
	Holds bool `json:"holds,omitempty"`
	// LeftMillis is how long the lease that it holds goes on, by the agent's own count; 0 or
	// absent if it holds none, or is of a version that does not say.
	LeftMillis int64 `json:"left_millis,omitempty"`
	// Challenge is what the guard of the current run gave out for this check-in; a lease that
	// is granted shows it again, signed. Absent if there is no guard, or it does not answer.
	Challenge string `json:"challenge,omitempty"`
	// Defer says that the guard should have given one and did not answer: a lease that is
	// granted now would not reach it, so none is asked for until the next check-in.
	Defer bool `json:"defer,omitempty"`
	// ClosesMillis is in how long the guard closes the app because of an order or a refusal;
	// 0 or absent if it does not.
	ClosesMillis int64 `json:"closes_millis,omitempty"`
	// Method is the delivery method of what the next start runs; RunMethod that of the
	// current run.
	Method    int64 `json:"method,omitempty"`
	RunMethod int64 `json:"run_method,omitempty"`
	// Upgrade is the delivery method whose version the agent asks to run from the next start
	// on, 0 for none; Ready says that its package is there.
	Upgrade int64 `json:"upgrade,omitempty"`
	Ready   bool  `json:"ready,omitempty"`
	// Up, Viewers and UnwatchedSince are of a stream: its display and app are up, so many
	// watch it, and since when nobody does, absent while somebody does.
	Up             bool       `json:"up,omitempty"`
	Viewers        int        `json:"viewers,omitempty"`
	UnwatchedSince *time.Time `json:"unwatched_since,omitempty"`
	// IdleAt is when the host ends a stream that nobody uses until then, once that is near.
	IdleAt *time.Time `json:"idle_at,omitempty"`
	// Told is up to which message its user was shown them.
	Told uint32 `json:"told,omitempty"`
	// Progress is how much of the package is there, in percent, while it is added.
	Progress int `json:"progress,omitempty"`
	// Problem is what keeps the app from being added, started or upgraded; for people.
	Problem string `json:"problem,omitempty"`
}

// CheckIn is an agent's heartbeat.
type CheckIn struct {
	V int `json:"v"`
	// Number is greater than any before; every attempt has its own.
	Number uint64 `json:"number"`
	// Token is from the last granting answer, and Granted the number of its check-in.
	Token   string `json:"token,omitempty"`
	Granted uint64 `json:"granted,omitempty"`
	Epoch   uint64 `json:"epoch"` // of the journal; a lost journal begins the next

	Observations []Observation `json:"observations,omitempty"`
	// More says that further journal entries follow in the next check-in, so that
	// Sessions are ahead of Observations and are not reconciled yet.
	More bool `json:"more,omitempty"`
	// Complete says that the agent has looked for guards that are alive and lists every
	// session it knows: one that is not listed is absent, with no guard alive.
	Complete bool           `json:"complete,omitempty"`
	Sessions []SessionState `json:"sessions,omitempty"`
	// Slots is how many sessions a host can have at once; players leave it out.
	Slots int `json:"slots,omitempty"`
	// Missing is what a host does not offer to its sessions, and what follows; a line each, for
	// people.
	Missing []string `json:"missing,omitempty"`
}

// Ack says up to which journal entry everything was applied.
type Ack struct {
	Epoch uint64 `json:"epoch"`
	Seq   uint64 `json:"seq"`
}

// Lease is a signed lease for one session.
type Lease struct {
	Session int64  `json:"session"`
	Token   string `json:"token"` // JWT, EdDSA; see lease.Claims
}

// Refusal says that a session gets no lease, and why, in words for its user.
type Refusal struct {
	Session int64               `json:"session"`
	Run     uint32              `json:"run,omitempty"`
	Code    session.RefusalCode `json:"code"`
	Message string              `json:"message"`
}

// DirectiveType is what the agent is to do.
type DirectiveType string

const (
	DirAdd     DirectiveType = "add"     // add the app's package; App says which
	DirRevoke  DirectiveType = "revoke"  // store that generations up to UpTo are revoked, end what runs under them
	DirRemove  DirectiveType = "remove"  // end and remove the app
	DirOffer   DirectiveType = "offer"   // there is a newer version: App; without App the offer is withdrawn
	DirView    DirectiveType = "view"    // a browser waits for the display: dial URL with Ticket, once
	DirUpgrade DirectiveType = "upgrade" // the session moved to a successor; App is what runs at the next start
	DirMessage DirectiveType = "message" // show the user of the running app the Message
)

// Directive is something the server wants of the agent. It is repeated until the agent
// reports it done.
type Directive struct {
	Type    DirectiveType  `json:"type"`
	Session int64          `json:"session"`
	UpTo    uint64         `json:"up_to,omitempty"`
	Action  session.Action `json:"action,omitempty"`
	Reason  string         `json:"reason,omitempty"`
	App     *App           `json:"app,omitempty"`
	Ticket  string         `json:"ticket,omitempty"` // of a tunnel, good once
	URL     string         `json:"url,omitempty"`    // of the node that a tunnel leads to
	Message *Message       `json:"message,omitempty"`
}

// Message is what an administrator tells a session's user. It is shown once; the
// observation [session.ObsTold] up to its N says so.
type Message struct {
	N    uint32    `json:"n"`    // among the session's messages, from 1
	From string    `json:"from"` // the administrator's user name
	Text string    `json:"text"`
	At   time.Time `json:"at"`
}

// App is what an agent needs to add and run a session's app.
type App struct {
	Name             string           `json:"name"`
	DeliveryMethod   int64            `json:"delivery_method"`
	Licence          lease.Kind       `json:"licence"`
	HeartbeatSeconds int              `json:"heartbeat_seconds"`
	WarningsSeconds  []int            `json:"warnings_seconds"`
	ForceSeconds     int              `json:"force_seconds"`
	WaitSeconds      int              `json:"wait_seconds"`      // the authorisation wait
	User             string           `json:"user"`              // whose session it is
	Package          *catalog.Package `json:"package,omitempty"` // nil: none for this platform
	Stream           *Stream          `json:"stream,omitempty"`  // of a streamed app
	Start            bool             `json:"start,omitempty"`   // run it once it is added
}

// Stream is how a host shows an app and when it ends it by itself; 0 is never, but for
// the reconnection window.
type Stream struct {
	Geometry         string `json:"geometry"`          // WIDTHxHEIGHT of the display at first, in pixels
	ReconnectSeconds int    `json:"reconnect_seconds"` // how long nobody may watch it
	IdleSeconds      int    `json:"idle_seconds"`      // how long there may be no key, click or touch
	MaxSeconds       int    `json:"max_seconds"`       // from when it was up
	Clipboard        bool   `json:"clipboard"`
	Login            string `json:"login,omitempty"`  // user name of whose session it is
	Nested           bool   `json:"nested,omitempty"` // its programs may make sandboxes of their own
	// Network is what the session reaches, and Allow what it may besides; catalog.Internet
	// if empty.
	Network catalog.Network `json:"network,omitempty"`
	Allow   []string        `json:"allow,omitempty"`
}

// Answer is the answer to a check-in.
type Answer struct {
	V          int         `json:"v"`
	Number     uint64      `json:"number"`
	Ack        Ack         `json:"ack"`
	Token      string      `json:"token,omitempty"` // to show from now on; empty: the last one stays
	Leases     []Lease     `json:"leases,omitempty"`
	Refusals   []Refusal   `json:"refusals,omitempty"`
	Directives []Directive `json:"directives,omitempty"`
	// NextMillis is the time to the next check-in, in milliseconds, jittered.
	NextMillis int64 `json:"next_millis"`
	// NextEpoch asks the agent to begin this epoch with a full snapshot: the server knows
	// another journal, or has lost this one.
	NextEpoch uint64 `json:"next_epoch,omitempty"`
	// JumpTo asks the agent to number its check-ins above this: the last was stale.
	JumpTo      uint64          `json:"jump_to,omitempty"`
	Quarantined bool            `json:"quarantined,omitempty"`
	Keys        json.RawMessage `json:"keys,omitempty"` // when the signing keys changed
}

// Redeem turns a launch link's ticket into a session on this device.
type Redeem struct {
	V      int    `json:"v"`
	Ticket string `json:"ticket"`
	// Ask: if whoever launched has not used this device before, nothing is done and the
	// answer says who it is, so that the device's user is asked.
	Ask bool `json:"ask,omitempty"`
}

// Redeemed is the answer to Redeem: the directive that adds the app, or who is new.
type Redeemed struct {
	V int `json:"v"`
	// Stranger is who is new to this device, where that was asked. Then nothing was done.
	Stranger *Person `json:"stranger,omitempty"`
	App      string  `json:"app,omitempty"` // what they launched
	// New: this redemption bound the session to the device; else an earlier one did.
	New       bool      `json:"new,omitempty"`
	Directive Directive `json:"directive"`
}

// Person is somebody who uses a device: whose launches the server sends there.
type Person struct {
	ID       int64  `json:"id"`
	Username string `json:"username"`
	Name     string `json:"name"`
}

// People is the answer to a GET of PathPeople, by user name.
type People struct {
	V      int      `json:"v"`
	People []Person `json:"people"`
}

// Forget has the server send no more launches of a person to this device. The answer is
// People, without them. Apps that they have there stay.
type Forget struct {
	V    int   `json:"v"`
	User int64 `json:"user"`
}

// LinkScheme is the scheme of launch links: leasehold://launch?server=…&ticket=…
const LinkScheme = "leasehold"
