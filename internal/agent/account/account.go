// Package account lends accounts to sessions: a number that is a user and a
// group for one session and nobody else's while it lasts, as systemd's dynamic
// users are. No entry in the user database is made or needed.
//
// A number is lent by a file in a folder that all agents of a machine share,
// and given back when nothing of the session is left: no process, and none of
// the files that any user may leave in the machine's public folders. Only root
// can lend; see [Can].
package account

import "errors"

// Registry is where lent numbers are noted. It does not outlive a boot.
const Registry = "/run/leasehold/accounts"

// Range is a range of user numbers, both ends included.
type Range struct{ First, Last int }

// Default is the range that systemd gives dynamic users, and that
// distributions keep free for that.
var Default = Range{61184, 65519}

// Errors of this package; compare with errors.Is.
var (
	// ErrNone means that every account of the range is in use.
	ErrNone = errors.New("every account of the range is in use")
	// ErrUnsupported means that this system cannot lend accounts.
	ErrUnsupported = errors.New("accounts for sessions are not supported on this system")
)
