// Package directory holds people and what they may use: users, groups, provisions, and
// the one rule that decides whether a user may run an app now and, if not, why not. It is
// pure.
package directory

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"leasehold/internal/calendar"
	"leasehold/internal/catalog"
	"leasehold/internal/fold"
	"leasehold/internal/invalid"
	"leasehold/internal/session"
)

// Role of a user.
type Role string

const (
	RoleUser  Role = "user"
	RoleAdmin Role = "admin"
)

// Status of a user: a suspended one cannot sign in, launch, or renew.
type Status string

const (
	Active    Status = "active"
	Suspended Status = "suspended"
)

// User is a person.
type User struct {
	ID           int64
	Username     string // unique among users that are not deleted, by its fold
	Name         string // as shown
	Email        string
	Role         Role
	Status       Status
	Source       string // "local" or the directory it comes from
	PasswordHash string // argon2id in PHC form, empty if it cannot sign in by password
	// MustChangePassword: somebody else knows the password, so nothing is done with it before
	// it is changed.
	MustChangePassword bool
	TimeZone           string // in which the pages show times, as Europe/Berlin; "" for the browser's
	GroupIDs           []int64
	CreatedAt          time.Time
	DeletedAt          time.Time
}

// validUsername reports whether a user name is 1 to 100 letters with their marks, digits or
// signs of those that people's names in directories have. Many scripts write vowels as
// marks.
func validUsername(s string) bool {
	n := utf8.RuneCountInString(s)
	return utf8.ValidString(s) && n >= 1 && n <= 100 && !strings.ContainsFunc(s, func(r rune) bool {
		return !fold.Visible(r) || !unicode.In(r, unicode.L, unicode.M, unicode.N) && !strings.ContainsRune(`._@\+-`, r)
	})
}

// validEmail reports whether an address has one @ with something on either side, and none of
// what would take it apart in a header.
func validEmail(s string) bool {
	local, domain, ok := strings.Cut(s, "@")
	return ok && local != "" && domain != "" && len(s) <= 254 && utf8.ValidString(s) && !strings.ContainsAny(local+domain, "@<> ") && !strings.ContainsFunc(s, func(r rune) bool { return !fold.Visible(r) })
}

// Validate returns an [invalid.Error] that names each field which is not right.
func (u *User) Validate() error {
	var e invalid.Error
	if !validUsername(u.Username) {
		e.Add("username", "must have 1 to 100 letters, digits or . _ @ + - \\")
	}
	e.Name("name", u.Name, 1, 200)
	if u.Email != "" && !validEmail(u.Email) {
		e.Add("email", "must be an email address, as ann@example.org")
	}
	e.OneOf("role", string(u.Role), string(RoleUser), string(RoleAdmin))
	e.OneOf("status", string(u.Status), string(Active), string(Suspended))
	return e.Err()
}

// ValidateTimeZone returns an [invalid.Error] if the user's time zone is none. It is apart
// from Validate because the user sets it, and a zone that a later tz database drops keeps no
// administrator from changing anything else.
func (u *User) ValidateTimeZone() error {
	if u.TimeZone == "" {
		return nil
	}
	if _, err := calendar.Zone(u.TimeZone); err != nil {
		return invalid.Of("time_zone", "must be an IANA time zone, for example Europe/Berlin, or empty for that of the browser")
	}
	return nil
}

// Group is a group of users.
type Group struct {
	ID        int64
	Name      string
	Source    string
	UserIDs   []int64
	CreatedAt time.Time
}

// Validate returns an [invalid.Error] that names each field which is not right.
func (g *Group) Validate() error {
	var e invalid.Error
	e.Name("name", g.Name, 1, 200)
	return e.Err()
}

// Provision is an entitlement: these users and groups may launch these delivery methods.
type Provision struct {
	ID                int64
	Name              string
	UserIDs           []int64
	GroupIDs          []int64
	DeliveryMethodIDs []int64
	StartsAt          time.Time // zero for always
	EndsAt            time.Time // zero for never
	Enabled           bool
	Ownership         Ownership      // of the devices it is for; "" for any
	Networks          []netip.Prefix // that it is for; none for any
	Exceptions        []Exception    // who it lets in, but not to these apps
	CreatedAt         time.Time
}

// Ownership says whose a device is.
type Ownership string

const (
	Organisation Ownership = "organisation"
	Own          Ownership = "own" // the user's
)

// Exception takes an app from a user who a provision would let in.
type Exception struct {
	UserID, AppID int64
}

// Where is from where an app is to be run. What is not given is not judged.
type Where struct {
	Ownership Ownership
	Addr      netip.Addr
	// Unknown says that nobody knows the address, as of a request whose proxy does not say it:
	// it is in no network.
	Unknown bool
}

// Validate returns an [invalid.Error] that names each field which is not right.
func (p *Provision) Validate() error {
	var e invalid.Error
	e.Name("name", p.Name, 1, 200)
	if !p.StartsAt.IsZero() {
		e.Time("starts_at", p.StartsAt)
	}
	if !p.EndsAt.IsZero() {
		e.Time("ends_at", p.EndsAt)
	}
	if !p.StartsAt.IsZero() && !p.EndsAt.IsZero() && !p.EndsAt.After(p.StartsAt) {
		e.Add("ends_at", "must be after starts_at")
	}
	if p.Ownership != "" {
		e.OneOf("device_ownership", string(p.Ownership), string(Organisation), string(Own))
	}
	if len(p.Networks) > 100 {
		e.Add("networks", "must have at most 100 networks")
	}
	return e.Err()
}

// For reports whether the provision names the user, directly or by a group.
func (p *Provision) For(u *User) bool {
	if slices.Contains(p.UserIDs, u.ID) {
		return true
	}
	return slices.ContainsFunc(u.GroupIDs, func(g int64) bool { return slices.Contains(p.GroupIDs, g) })
}

// ExceptedFrom reports whether the user is let in by the provision, but not to the app.
func (p *Provision) ExceptedFrom(user, app int64) bool {
	return slices.Contains(p.Exceptions, Exception{user, app})
}

// ParseNetwork reads a network in CIDR notation; an address alone is a network of one.
func ParseNetwork(s string) (netip.Prefix, error) {
	s = strings.TrimSpace(s)
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(a.WithZone(""), a.BitLen()), nil
	}
	n, err := netip.ParsePrefix(s)
	if err != nil {
		return n, errors.New("must be a network in CIDR notation, as 10.0.0.0/8 or 2001:db8::/32")
	}
	return n.Masked(), nil
}

// covers reports whether one of the provision's networks has the address. An IPv4 address
// that came mapped into IPv6 is the IPv4 address.
func (p *Provision) covers(addr netip.Addr) bool {
	addr = addr.Unmap()
	return slices.ContainsFunc(p.Networks, func(n netip.Prefix) bool { return n.Contains(addr) })
}

// Open says whether the provision is in force at now for an app that is run there, and if
// not, why not.
func (p *Provision) Open(where Where, now time.Time) (bool, string) {
	switch {
	case !p.Enabled:
		return false, "the provision " + p.Name + " is disabled"
	case p.Ownership == Organisation && where.Ownership == Own:
		return false, "the provision " + p.Name + " is for devices of the organisation, and this one is your own"
	case p.Ownership == Own && where.Ownership == Organisation:
		return false, "the provision " + p.Name + " is for people's own devices, and this one is the organisation's"
	case len(p.Networks) > 0 && where.Addr.IsValid() && !p.covers(where.Addr):
		return false, "the provision " + p.Name + " is not for the network you are on (" + where.Addr.Unmap().String() + ")"
	case len(p.Networks) > 0 && where.Unknown:
		return false, "the provision " + p.Name + " is for certain networks, and the one you are on is not known"
	case !p.StartsAt.IsZero() && now.Before(p.StartsAt):
		return false, "the provision " + p.Name + " begins on " + p.StartsAt.UTC().Format("2 January 2006, 15:04 MST")
	case !p.EndsAt.IsZero() && !now.Before(p.EndsAt):
		return false, "the provision " + p.Name + " ended on " + p.EndsAt.UTC().Format("2 January 2006, 15:04 MST")
	}
	return true, ""
}

// Decide says whether a user may run an app by a delivery method now: the first of the
// provisions that lets them, or the refusal that explains why none does. provisions are
// those that name the delivery method.
func Decide(u *User, a *catalog.App, d *catalog.DeliveryMethod, provisions []*Provision, where Where, now time.Time) (*Provision, *session.Refusal) {
	switch {
	case u == nil || !u.DeletedAt.IsZero():
		return nil, &session.Refusal{Code: session.RefusedEntitled, Message: "This account no longer exists."}
	case u.Status != Active:
		return nil, &session.Refusal{Code: session.RefusedSuspended, Message: "This account is suspended. Ask your administrator."}
	case a == nil || !a.DeletedAt.IsZero() || d == nil || !d.DeletedAt.IsZero():
		return nil, &session.Refusal{Code: session.RefusedEntitled, Message: "This app is no longer offered."}
	case a.Status != catalog.Active:
		return nil, &session.Refusal{Code: session.RefusedSuspended, Message: a.Name + " is suspended. Ask your administrator when it will be back."}
	}
	why := "no provision of " + a.Name + " names you"
	for _, p := range provisions {
		if !p.For(u) || !slices.Contains(p.DeliveryMethodIDs, d.ID) {
			continue
		}
		if p.ExceptedFrom(u.ID, a.ID) {
			why = "your access was revoked"
			continue
		}
		open, reason := p.Open(where, now)
		if open {
			return p, nil
		}
		why = reason
	}
	return nil, &session.Refusal{Code: session.RefusedEntitled, Message: "You may not run " + a.Name + ": " + why + ". Ask your administrator."}
}
