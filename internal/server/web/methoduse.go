package web

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"

	"github.com/a-h/templ"

	"leasehold/internal/catalog"
	"leasehold/internal/control"
	"leasehold/internal/store"
)

// A methodUse is who uses a delivery method, and who was refused.
type methodUse struct {
	*control.Use
	Seats string // "12 of 40 seats in use"
	Older string // address of older refusals, "" at the end
	Newer bool   // these are not the newest
	Path  string
}

// successor says what a delivery method's sessions upgrade to, nil for nothing.
func (c *call) successor(d *catalog.DeliveryMethod) (*fact, error) {
	if d.SuccessorID == 0 {
		return nil, nil
	}
	next, err := c.Control.DeliveryMethod(c.r.Context(), d.SuccessorID)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil // deleted: nothing is upgraded to it
	}
	if err != nil {
		return nil, err
	}
	return &fact{Name: "Successor", View: successorView(next.Name, methodsPath+"/"+itoa(next.ID))}, nil
}

// methodAside shows who holds the seats and who was refused one.
func methodAside(c *call, d *catalog.DeliveryMethod) (templ.Component, error) {
	before, _ := strconv.ParseInt(c.r.URL.Query().Get("before"), 10, 64) // else the newest
	u, err := c.Control.MethodUse(c.r.Context(), d.ID, max(before, 0))
	if err != nil {
		return nil, err
	}
	v := methodUse{Use: u, Path: methodsPath + "/" + itoa(d.ID), Newer: before > 0}
	if n := u.Method.Licence.Seats; n > 0 {
		v.Seats = fmt.Sprintf("%s of %s in use", thousands(u.Taken), plural(n, "seat"))
	} else {
		v.Seats = fmt.Sprintf("%s in use, no limit", plural(u.Taken, "seat"))
	}
	if u.Next > 0 {
		v.Older = v.Path + "?before=" + itoa(u.Next) + "#refused"
	}
	return methodUseView(v), nil
}

// full reports whether every seat is taken.
func (v methodUse) full() bool { n := v.Method.Licence.Seats; return n > 0 && v.Taken >= n }

// personWho names whom a refusal was for.
func personWho(d store.Denial) string { return cmp.Or(d.UserName, d.Username, "a deleted user") }
