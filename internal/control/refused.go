package control

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"leasehold/internal/fold"
	"leasehold/internal/store"
)

// Actions of the audit log that are refused to whoever asks, however often. They are
// counted, so that no stranger can fill the database: the same within a minute is one entry,
// and of different ones a node adds at most maxRefusals an action and minute, strangers' and
// others' apart.
const (
	ActionSignIn         = "sign-in.accept"
	ActionRefuseSignIn   = "sign-in.refuse"
	ActionEndSignIn      = "sign-in.end"
	ActionRefuseRequest  = "request.refuse"
	ActionRefusePassword = "password.refuse"

	maxRefusals   = 100
	refusalMinute = time.Minute
	// maxTried is how many characters of a user name are kept that was tried.
	maxTried = 100
)

// anonymous is the actor of whoever was not let in.
const anonymous = "anonymous"

// knownUser is the actor of refusals to several people who were let in.
const knownUser = "several users"

// refusals are counted in memory until they are stored a moment later, so that a refusal
// costs the database nothing.
type refusals struct {
	sync.Mutex
	began   time.Duration   // of the minute, by Control.Elapsed
	keys    map[string]bool // of the minute
	many    map[string]int  // keys by action, and whether they are of strangers
	pending map[string]*store.AuditEntry
}

// refuse counts a refusal. key tells which are the same.
func (c *Control) refuse(e store.AuditEntry, key string) {
	r := &c.refused
	r.Lock()
	defer r.Unlock()
	if now := c.Elapsed(); r.keys == nil || now-r.began >= refusalMinute {
		r.began, r.keys, r.many = now, map[string]bool{}, map[string]int{}
	}
	// Strangers do not crowd out what is known of those who are signed in.
	of := e.Action + " " + knownUser
	if e.Actor == anonymous {
		of = e.Action + " " + anonymous
	}
	key = of + " " + digest(key)
	if !r.keys[key] && r.many[of] >= maxRefusals {
		if e.Actor != anonymous {
			e.Actor = knownUser
		}
		e.From, e.Target, e.Name, e.RequestID = "", "others", fmt.Sprintf("Others, beside the first %d of the minute", maxRefusals), ""
		key = of + " others"
	} else if !r.keys[key] {
		r.keys[key] = true
		r.many[of]++
	}
	e.Count = max(e.Count, 1)
	if p := r.pending[key]; p != nil {
		p.Count += e.Count
		return
	}
	if r.pending == nil {
		r.pending = map[string]*store.AuditEntry{}
	}
	r.pending[key] = &e
}

// flushRefused stores the refusals that were counted. If that fails they are kept for the
// next time.
func (c *Control) flushRefused(ctx context.Context) error {
	r := &c.refused
	r.Lock()
	pending := r.pending
	r.pending = nil
	r.Unlock()
	if len(pending) == 0 {
		return nil
	}
	var keys []string
	for k := range pending {
		keys = append(keys, k)
	}
	slices.Sort(keys) // nodes that count the same do not wait for each other in a ring
	err := c.Store.Update(ctx, func(tx store.Tx) error {
		for _, k := range keys {
			e := *pending[k]
			e.At = tx.WallNow()
			// All nodes count by the same minute.
			if err := tx.CountAudit(e.At.UTC().Truncate(refusalMinute).Format("2006-01-02T15:04 ")+k, &e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		r.Lock()
		defer r.Unlock()
		if r.pending == nil {
			r.pending = map[string]*store.AuditEntry{}
		}
		for k, e := range pending {
			if p := r.pending[k]; p != nil {
				p.Count += e.Count
			} else if len(r.pending) < 4*maxRefusals {
				r.pending[k] = e
			} else {
				c.Log.Warn("a refusal is not in the audit log: the database does not take it", "action", e.Action, "actor", e.Actor, "from", e.From, "count", e.Count)
			}
		}
	}
	return err
}

// refusedSignIn counts a sign-in that was refused, by the account and the network.
func (c *Control) refusedSignIn(ctx context.Context, in Credentials, user int64, why string) {
	name := []rune(strings.Map(func(r rune) rune {
		if !fold.Visible(r) {
			return -1 // nobody's user name has one
		}
		return r
	}, strings.ToValidUTF8(in.Username[:min(len(in.Username), maxUsername)], "")))
	e := store.AuditEntry{Actor: anonymous, From: in.From, RequestID: RequestOf(ctx).ID, Action: ActionRefuseSignIn,
		Target: "account", Name: string(name[:min(len(name), maxTried)]), Outcome: why}
	if user != 0 {
		e.Target = fmt.Sprintf("user %d", user)
	}
	c.refuse(e, networkOf(in.From)+"\n"+fold.Fold(e.Name)+"\n"+why)
}

// NoteForbidden counts a request that was answered with 403, by the user or the network and
// the route.
func (c *Control) NoteForbidden(ctx context.Context, route string) {
	r := RequestOf(ctx)
	e := store.AuditEntry{Actor: r.Actor, From: r.From, RequestID: r.ID, Action: ActionRefuseRequest, Target: "route", Name: route,
		Outcome: fmt.Sprint("refused: ", http.StatusText(http.StatusForbidden))}
	by := r.Actor
	if by == "" {
		e.Actor, by = anonymous, networkOf(r.From)
	}
	c.refuse(e, by+"\n"+route)
}
