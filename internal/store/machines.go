package store

import (
	"net/netip"
	"time"

	"leasehold/internal/directory"
	"leasehold/internal/lease"
	"leasehold/internal/wire"
)

// HostLoad is how full a host is.
type HostLoad struct {
	Agent int64
	Slots int // how many sessions it can have
	Live  int // how many it has, or is to have
	// Failures is how often in a row the app in question has not started there, and Failed when
	// the last time was. Failing is of how many delivery methods that is so, and LastFailed when
	// the last time of any was. The times are 0 if never.
	Failures, Failing  int
	Failed, LastFailed lease.Time
}

// Free is how many more sessions the host can have.
func (h HostLoad) Free() int { return max(0, h.Slots-h.Live) }

// StartFailure is an app that has not started on a host, several times in a row.
type StartFailure struct {
	Agent, DeliveryMethodID int64
	Failures                int
	Last                    lease.Time
	At                      time.Time // Last as people read it
	Reason                  string    // of the last one
}

// EnrolmentKey lets machines become agents.
type EnrolmentKey struct {
	ID        int64
	Kind      wire.AgentKind
	Hash      []byte // SHA-256
	CreatedAt time.Time
	ExpiresAt time.Time
	RevokedAt time.Time
	CreatedBy string
	UsesLeft  int
	Simulated bool // what enrols with it is labelled as simulated
	Ownership directory.Ownership
	Pool      string         // of the hosts that enrol with it
	Networks  []netip.Prefix // from which it is good; none for any
	Approved  bool           // hosts that enrol with it need no approval
}

// Good reports whether the key lets another machine in.
func (k *EnrolmentKey) Good(now time.Time) bool {
	return k.UsesLeft > 0 && k.RevokedAt.IsZero() && now.Before(k.ExpiresAt)
}

// Enrolment keeps how machines become agents, and how launches fare on hosts.
type Enrolment interface {
	CreateEnrolmentKey(*EnrolmentKey) error
	// EnrolmentKey returns a key, whether good or not.
	EnrolmentKey(hash []byte) (*EnrolmentKey, error)
	// EnrolmentKeyByID is EnrolmentKey by its number.
	EnrolmentKeyByID(id int64) (*EnrolmentKey, error)
	// UseEnrolmentKey takes one of a key's uses, if it is good: of those who take the last one at
	// once one does.
	UseEnrolmentKey(id int64) (used bool, err error)
	// RevokeEnrolmentKey takes a key back. One that was taken back stays as it is.
	RevokeEnrolmentKey(id int64) error
	// ListEnrolmentKeys lists keys, newest first; token as in Page.
	ListEnrolmentKeys(page Page) ([]*EnrolmentKey, string, error)
	// NoteStart records that a delivery method's app has failed to start on a host, and why, or
	// with "" that it has started.
	NoteStart(agent, deliveryMethod int64, failure string) error
	// StartFailures lists what has failed to start on a host and not started since, latest first.
	StartFailures(agent int64) ([]StartFailure, error)
}
