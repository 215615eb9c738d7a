package store

import "time"

// AuditEntry is one thing that somebody, or the server, did or was refused. Its JSON is the
// same in the API, in exports and for collectors.
type AuditEntry struct {
	ID        int64     `json:"id"`
	At        time.Time `json:"at"`
	Actor     string    `json:"actor"`                // "admin ann"; "anonymous" if nobody was signed in
	From      string    `json:"from"`                 // the address it came from
	RequestID string    `json:"request_id,omitempty"` // of the request, as its answer has it; "" for what the server does by itself
	Action    string    `json:"action"`               // "session.evict", "app.create"
	Target    string    `json:"target"`               // "session 48213"
	Name      string    `json:"name"`                 // what people call it
	Reason    string    `json:"reason"`
	Outcome   string    `json:"outcome"`           // "done", or why not
	Changes   []Change  `json:"changes,omitempty"` // the fields that changed, in the order of the record
	// Count is how often it happened, from At on, within a minute. It is 1 for all but
	// refusals; see CountAudit.
	Count int `json:"count"`
}

// Change is a field that a change altered. Before is "" in a record that was made, After in
// one that was deleted. A secret is the word "changed" on either side that has one.
type Change struct {
	Field  string `json:"field"`
	Before string `json:"before"`
	After  string `json:"after"`
}

// AuditQuery selects entries of the audit log. Zero fields select all.
type AuditQuery struct {
	Who    string // a part of the actor, in any spelling that folds to the same
	Action string // exactly
	Target string // a part of what it is about, or of its name, likewise
	From   time.Time
	To     time.Time // exclusive
	Page   Page
}

// Audit keeps what people, agents and the server did and were refused.
type Audit interface {
	// AddAudit stores an entry and sets its ID and Count.
	AddAudit(*AuditEntry) error
	// CountAudit adds e.Count to the entry that was stored under the same key, or stores e under
	// it, and sets e's ID and Count to the stored entry's.
	CountAudit(key string, e *AuditEntry) error
	// AuditEntry returns an entry, or ErrNotFound.
	AuditEntry(id int64) (*AuditEntry, error)
	// ListAudit lists those that a query selects, newest first; token as in Page.
	ListAudit(AuditQuery) ([]AuditEntry, string, error)
	// DeleteAudit deletes up to limit entries from before a moment, oldest first, and returns
	// how many it deleted.
	DeleteAudit(before time.Time, limit int) (int, error)
}
