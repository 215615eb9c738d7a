package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"leasehold/internal/server/adminapi"
	"leasehold/internal/session"
)

// filterFlags select sessions, as the API's filter does. A flag that was given and stands
// for nothing, as one from an empty shell variable, must not be taken for one that was not
// given: the filter would match more than was meant. Hence the pointers. None comes from
// the environment, where nobody would see it.
type filterFlags struct {
	Query            *string          `short:"q" env:"-" help:"Filter: contains, in the name of the app, user, provision, device or host, or in the status; or is the session's number."`
	Kind             *string          `env:"-" help:"Filter: device or stream."`
	Status           []session.Status `env:"-" help:"Filter: only these statuses."`
	Username         *string          `env:"-" help:"Filter: contains, in the user's name or user name."`
	Email            *string          `env:"-" help:"Filter: contains, in the user's email address."`
	AppID            *int64           `env:"-" help:"Filter: of this app."`
	UserID           *int64           `env:"-" help:"Filter: of this user."`
	ProvisionID      *int64           `env:"-" help:"Filter: by this provision."`
	DeliveryMethodID *int64           `env:"-" help:"Filter: by this delivery method."`
	DeviceID         *int64           `env:"-" help:"Filter: on this device."`
	HostID           *int64           `env:"-" help:"Filter: on this stream host."`
	From             *string          `env:"-" help:"Filter: started on this date or later; or a time, as 2026-03-31T08:00:00Z."`
	To               *string          `env:"-" help:"Filter: started on this date or earlier; or before a time."`
	TZ               *string          `name:"tz" env:"-" help:"Time zone of the dates, as Europe/Berlin; else UTC, and for an export the zone that the server is set to."`
	Older            *time.Duration   `env:"-" help:"Filter: started so long ago or longer, as 48h."`
	Silent           *time.Duration   `env:"-" help:"Filter: nothing heard from the device for so long, as 1h."`
	History          bool             `env:"-" help:"Deleted sessions too."`
}

// filter is what the flags select, and whether they select anything. The error names the
// flag that cannot be meant.
func (c *filterFlags) filter() (f adminapi.Filter, given bool, err error) {
	bad := func(flag, right string) {
		if err == nil {
			err = fmt.Errorf("--%s must %s", flag, right)
		}
	}
	for _, x := range []struct {
		flag     string
		from, to *string
	}{{"query", c.Query, &f.Q}, {"kind", c.Kind, &f.Kind}, {"username", c.Username, &f.Username}, {"email", c.Email, &f.Email},
		{"from", c.From, &f.From}, {"to", c.To, &f.To}, {"tz", c.TZ, &f.TZ}} {
		if x.from == nil {
			continue
		}
		given = true
		if *x.to = strings.TrimSpace(*x.from); *x.to == "" {
			bad(x.flag, "not be empty; leave it out to match any")
		}
	}
	for _, x := range []struct {
		flag     string
		from, to *int64
	}{{"app-id", c.AppID, &f.AppID}, {"user-id", c.UserID, &f.UserID}, {"provision-id", c.ProvisionID, &f.ProvisionID},
		{"delivery-method-id", c.DeliveryMethodID, &f.DeliveryMethodID}, {"device-id", c.DeviceID, &f.DeviceID}, {"host-id", c.HostID, &f.HostID}} {
		if x.from == nil {
			continue
		}
		given = true
		if *x.to = *x.from; *x.to < 1 {
			bad(x.flag, "be a number from 1 on")
		}
	}
	for _, x := range []struct {
		flag string
		from *time.Duration
		to   *int64
	}{{"older", c.Older, &f.OlderSeconds}, {"silent", c.Silent, &f.SilentSeconds}} {
		if x.from == nil {
			continue
		}
		given = true
		if *x.to = int64(*x.from / time.Second); *x.from < time.Second || *x.from%time.Second != 0 {
			bad(x.flag, "be whole seconds, at least 1s, as 90s or 1h")
		} else if *x.to > adminapi.MaxSpan {
			bad(x.flag, "be at most 100 years, 876000h")
		}
	}
	if c.Status != nil {
		given = true
		if f.Status = c.Status; len(c.Status) == 0 || slices.Contains(c.Status, "") {
			bad("status", "name statuses; leave it out to match any")
		}
	}
	f.History = c.History
	return f, given || c.History, err
}

// with is what the flags select, and the text, if any, in place of --query.
func (c *filterFlags) with(text string) (adminapi.Filter, error) {
	f, _, err := c.filter()
	if err == nil && text != "" {
		if c.Query != nil {
			return f, errors.New("--query: give the text once, with the flag or without")
		}
		f.Q = text
	}
	return f, err
}
