// Package directory holds people and what they may use: users, groups, provisions, and
// the one rule that decides whether a user may run an app now and, if not, why not. It is
// pure.
package directory

import (
	"regexp"
	"slices"
	"time"

	"leasehold/internal/catalog"
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
	Username     string // unique among users that are not deleted, any case
	Name         string // as shown
	Email        string
	Role         Role
	Status       Status
	Source       string // "local" or the directory it comes from
	PasswordHash string // argon2id in PHC form, empty if it cannot sign in by password
	GroupIDs     []int64
	CreatedAt    time.Time
	DeletedAt    time.Time
}

var (
	username = regexp.MustCompile(`^[\pL\pN._@\\+-]{1,100}$`)
	email    = regexp.MustCompile(`^[^\s@<>]+@[^\s@<>]+$`)
)

// Validate returns an [invalid.Error] that names each field which is not right.
func (u *User) Validate() error {
	var e invalid.Error
	if !username.MatchString(u.Username) {
		e.Add("username", "must have 1 to 100 letters, digits or . _ @ + - \\")
	}
	e.Text("name", u.Name, 1, 200)
	if u.Email != "" && (!email.MatchString(u.Email) || len(u.Email) > 254) {
		e.Add("email", "must be an email address, as ann@example.org")
	}
	e.OneOf("role", string(u.Role), string(RoleUser), string(RoleAdmin))
	e.OneOf("status", string(u.Status), string(Active), string(Suspended))
	return e.Err()
}

// MinPassword is the least length of a password, in characters (NIST SP 800-63B, 3.1.1.2,
// asks for eight at the least).
const MinPassword = 8

// CheckPassword says what is wrong with a new password, as an [invalid.Error] or nil.
func CheckPassword(p string) error {
	var e invalid.Error
	e.Text("password", p, MinPassword, 1000)
	return e.Err()
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
	e.Text("name", g.Name, 1, 200)
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
	CreatedAt         time.Time
}

// Validate returns an [invalid.Error] that names each field which is not right.
func (p *Provision) Validate() error {
	var e invalid.Error
	e.Text("name", p.Name, 1, 200)
	if !p.StartsAt.IsZero() && !p.EndsAt.IsZero() && !p.EndsAt.After(p.StartsAt) {
		e.Add("ends_at", "must be after starts_at")
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

// Open says whether the provision is in force at now, and if not, why not.
func (p *Provision) Open(now time.Time) (bool, string) {
	switch {
	case !p.Enabled:
		return false, "the provision " + p.Name + " is disabled"
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
func Decide(u *User, a *catalog.App, d *catalog.DeliveryMethod, provisions []*Provision, now time.Time) (*Provision, *session.Refusal) {
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
		open, reason := p.Open(now)
		if open {
			return p, nil
		}
		why = reason
	}
	return nil, &session.Refusal{Code: session.RefusedEntitled, Message: "You may not run " + a.Name + ": " + why + ". Ask your administrator."}
}
