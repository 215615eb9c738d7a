package web

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"leasehold/internal/calendar"
	"leasehold/internal/control"
	"leasehold/internal/directory"
	"leasehold/internal/invalid"
	"leasehold/internal/store"
	"leasehold/internal/wire"
)

const keysPath = "/admin/enrolment-keys"

// A keyForm is the page that makes an enrolment key.
type keyForm struct {
	Kind      wire.AgentKind
	Uses      string
	Days      string
	Ownership directory.Ownership
	Pool      string
	Networks  string
	Approved  bool
	Errors    map[string]string
	Error     string
}

// machines are what enrols with a key of a kind.
var machines = map[wire.AgentKind]string{wire.Player: "devices", wire.Host: "stream hosts"}

// keysPage lists the keys. Right after one was made it shows that one's text, once.
func keysPage(c *call) error {
	q := c.listQuery(keysPath)
	keys, next, err := c.Control.EnrolmentKeys(c.r.Context(), q.page())
	if err != nil {
		return err
	}
	now := time.Now()
	l := listing{Title: "Enrolment keys", Noun: "enrolment key", NewPath: keysPath + "/new", Pager: q.pager(next), Note: count(len(keys), q, next, "key"),
		Empty:   "No enrolment keys yet. A machine becomes a device or a stream host with one.",
		Columns: []column{{Key: "m", Name: "For"}, {Key: "m", Name: "Status"}, {Key: "s", Name: "Uses left"}, {Key: "time", Name: "Ends"}, {Key: "m", Name: "Pool"}, {Key: "text", Name: "Networks"}, {Key: "m", Name: "Created by"}, {Key: "time", Name: "Created"}}}
	if made, key, ok := strings.Cut(c.takeSecret("enrolment-key"), " "); ok {
		if id, err := strconv.ParseInt(made, 10, 64); err == nil {
			k, err := c.Control.EnrolmentKey(c.r.Context(), id)
			if err != nil {
				return err
			}
			l.Top = keyView(k, key, c.Control.PublicURL)
		}
	}
	for _, k := range keys {
		r := record{ID: itoa(k.ID), Path: keysPath + "/" + itoa(k.ID), Cells: []cell{{Text: machines[k.Kind]}, {View: wordDot(keyState(k, now))}, {Text: strconv.Itoa(k.UsesLeft)},
			{View: at(k.ExpiresAt)}, {Text: k.Pool, Muted: true}, {Text: networkList(k), Muted: true}, {Text: k.CreatedBy, Muted: true}, {View: ago(k.CreatedAt, now), Muted: true}}}
		l.Rows = append(l.Rows, r)
	}
	return c.show(page{Title: l.Title, Nav: "keys", Now: now}, listingView(l))
}

// keyState is whether a key is good, in a word.
func keyState(k *store.EnrolmentKey, now time.Time) string {
	switch {
	case !k.RevokedAt.IsZero():
		return "revoked"
	case k.UsesLeft <= 0:
		return "used up"
	case !now.Before(k.ExpiresAt):
		return "over"
	}
	return "active"
}

func networkList(k *store.EnrolmentKey) string {
	var out []string
	for _, n := range k.Networks {
		out = append(out, n.String())
	}
	return strings.Join(out, ", ")
}

// newKeyPage asks for a key's terms.
func newKeyPage(c *call) error {
	f := keyForm{Kind: wire.AgentKind(c.r.URL.Query().Get("kind")), Uses: "1", Days: strconv.Itoa(int(control.EnrolmentKeyLife / (24 * time.Hour))), Ownership: directory.Organisation}
	return c.show(page{Title: "New enrolment key", Nav: "keys"}, keyFormView(f))
}

// newKey makes a key and leads to the list, which shows its text.
func newKey(c *call) error {
	get := func(name string) string { return strings.TrimSpace(c.r.PostFormValue(name)) }
	f := keyForm{Kind: wire.AgentKind(get("kind")), Uses: get("uses"), Days: get("days"), Ownership: directory.Ownership(get("ownership")), Pool: get("pool"),
		Networks: c.r.PostFormValue("networks"), Approved: get("approved") == "true"}
	terms := control.KeyTerms{Kind: f.Kind, Ownership: f.Ownership, Networks: nil}
	if f.Kind == wire.Host {
		terms.Pool, terms.Approved, terms.Ownership = f.Pool, f.Approved, ""
	}
	var e invalid.Error
	var err error
	if terms.Uses, err = strconv.Atoi(f.Uses); err != nil || terms.Uses < 1 {
		e.Add("uses", "must be a whole number, from 1 to %d", control.MaxKeyUses)
	}
	if days, err := strconv.Atoi(f.Days); err != nil || days < 1 || days > 366 {
		e.Add("days", "must be a whole number, from 1 to 366")
	} else {
		terms.ExpiresAt = time.Now().Add(calendar.Days(days) - time.Minute) // the database's clock may be a little behind
	}
	terms.Networks = readNetworks(&e, f.Networks)
	id := int64(0)
	if err = e.Err(); err == nil {
		var key string
		var k *store.EnrolmentKey
		if key, k, err = c.Control.NewEnrolmentKey(c.r.Context(), c.who(), terms); err == nil {
			id = k.ID
			if err := c.putSecret("enrolment-key", fmt.Sprintf("%d %s", id, key)); err != nil {
				return err
			}
			return c.redirect(keysPath)
		}
	}
	errs, err := wrong(err)
	if err != nil {
		return err
	}
	f.Errors, f.Error = errs, rest(errs, "kind", "uses", "days", "ownership", "pool", "networks")
	return c.showAs(http.StatusUnprocessableEntity, page{Title: "New enrolment key", Nav: "keys"}, keyFormView(f))
}

// keyPage is what is known of a key, and the way to revoke it.
func keyPage(c *call) error {
	k, err := c.Control.EnrolmentKey(c.r.Context(), c.id())
	if err != nil {
		return err
	}
	facts := []fact{{Name: "For", Text: machines[k.Kind]}, {Name: "Status", Text: keyState(k, time.Now())}, {Name: "Uses left", Text: strconv.Itoa(k.UsesLeft)}, {Name: "Ends", View: at(k.ExpiresAt)},
		{Name: "Networks", Text: orAny(networkList(k))}, {Name: "Created by", Text: k.CreatedBy}, {Name: "Created", View: at(k.CreatedAt)}}
	if k.Kind == wire.Host {
		pool := k.Pool
		if pool == "" {
			pool = "default"
		}
		approval := "each host waits for an administrator"
		if k.Approved {
			approval = "not needed"
		}
		facts = slices.Insert(facts, 4, fact{Name: "Pool", Text: pool}, fact{Name: "Approval", Text: approval})
	} else {
		facts = slices.Insert(facts, 4, fact{Name: "Whose it is", Text: whose[k.Ownership]})
	}
	if !k.RevokedAt.IsZero() {
		facts = append(facts, fact{Name: "Revoked", View: at(k.RevokedAt)})
	}
	return c.show(page{Title: "Enrolment key " + itoa(k.ID), Nav: "keys"}, oneKeyView(k, facts))
}

func orAny(s string) string {
	if s == "" {
		return "any"
	}
	return s
}

// revokeKeyPage asks before a key is revoked.
func revokeKeyPage(c *call) error {
	k, err := c.Control.EnrolmentKey(c.r.Context(), c.id())
	if err != nil {
		return err
	}
	path := keysPath + "/" + itoa(k.ID)
	return c.show(page{Title: "Revoke", Nav: "keys"}, confirmView(confirmation{Action: path + "/revoke", Verb: "Revoke", Title: "Revoke enrolment key " + itoa(k.ID), Back: path, NoReason: true,
		Happens: "No machine can enrol with it any more. This cannot be undone; a new key can be made.", Not: "It does not remove the machines that have enrolled with it."}))
}

func revokeKey(c *call) error {
	if err := c.Control.RevokeEnrolmentKey(c.r.Context(), c.who(), c.id()); err != nil {
		return err
	}
	c.setFlash(toast{Text: "The key is revoked.", Link: keysPath + "/" + itoa(c.id()), Name: "Enrolment key " + itoa(c.id())})
	return c.redirect(keysPath)
}
