package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"leasehold/internal/server/adminapi"
	"leasehold/internal/session"
	"leasehold/internal/simulate"
)

type simulateCmd struct {
	apiFlags
	Agents    int    `help:"Simulated devices, each with one app; at most 20000." default:"2000"`
	Seconds   int    `help:"How long they live; at most 3600." default:"30"`
	Seed      uint64 `help:"What happens is drawn from it." default:"1"`
	Heartbeat int    `help:"Heartbeat of their delivery method, in seconds." default:"1"`
}

// Run is leasehold simulate.
func (c *simulateCmd) Run(ctx context.Context, std *stdio) error {
	if c.Agents < 1 || c.Agents > 20_000 {
		return fmt.Errorf("--agents %d: must be from 1 to 20000", c.Agents)
	}
	if c.Seconds < 1 || c.Seconds > 3600 {
		return fmt.Errorf("--seconds %d: must be from 1 to 3600", c.Seconds)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(c.Seconds)*time.Second+10*time.Minute)
	defer cancel()
	l, err := c.prepare(ctx)
	if err != nil {
		return err
	}
	r, err := l.Run(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		b, err := json.Marshal(r)
		if err != nil {
			return err
		}
		if err := writeJSON(std.Out, b); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(std.Out, `%d agents for %.0f s
  check-ins   %d, %.0f a second; %.0f renewals a second
  latency     p50 %v, p95 %v, p99 %v, max %v
  evictions   %d
  errors      %d %s
  afterwards  %d sessions are as their agents know them, %d are not
`, r.Agents, r.Seconds, r.CheckIns, r.CheckInsPS, r.RenewalsPS, short(r.P50), short(r.P95), short(r.P99), short(r.Max), r.Evictions, r.Errors, r.FirstError, r.Agreeing, len(r.Disagree))
		for i, d := range r.Disagree {
			if i == 20 {
				fmt.Fprintln(std.Out, "  …")
				break
			}
			fmt.Fprintln(std.Out, "  ", d)
		}
	}
	if len(r.Disagree) > 0 {
		return exitCode(1)
	}
	return nil
}

func short(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }

// perUser is how many devices of a simulation one user has: below the limits of a user.
const perUser = 20

// prepare makes what the simulated devices need, by the API as any program would.
func (c *simulateCmd) prepare(ctx context.Context) (*simulate.Load, error) {
	run := strings.ToLower(rand.Text()[:8])
	name := "Simulated " + run
	var created struct {
		ID int64 `json:"id"`
	}
	create := func(path string, in map[string]any) (int64, error) {
		if err := c.call(ctx, "POST", path, in, &created); err != nil {
			return 0, fmt.Errorf("%s: %w", path, err)
		}
		return created.ID, nil
	}
	// As many users as it takes for none to have, and launch, more than one may.
	password := rand.Text()
	var users []int64
	var names []string
	for i := range (c.Agents + perUser - 1) / perUser {
		names = append(names, fmt.Sprintf("simulated-%s-%d", run, i))
		user, err := create("/users", map[string]any{"username": names[i], "name": name, "password": password})
		if err != nil {
			return nil, err
		}
		users = append(users, user)
	}
	app, err := create("/apps", map[string]any{"name": name})
	if err != nil {
		return nil, err
	}
	method, err := create("/delivery-methods", map[string]any{"app_id": app, "name": name, "heartbeat_seconds": c.Heartbeat, "warnings_seconds": []int{5},
		"packages": []map[string]any{{"type": "command", "command": []string{"simulated"}}}})
	if err != nil {
		return nil, err
	}
	if _, err := create("/provisions", map[string]any{"name": name, "enabled": true, "user_ids": users, "delivery_method_ids": []int64{method}}); err != nil {
		return nil, err
	}
	var key struct {
		Key string `json:"key"`
	}
	if err := c.call(ctx, "POST", "/enrolment-keys", map[string]any{"kind": "player", "simulated": true, "uses": c.Agents}, &key); err != nil {
		return nil, err
	}
	as := make([]*apiFlags, len(names))
	for i, username := range names {
		as[i] = &apiFlags{Server: c.Server}
		var token struct {
			Token string `json:"token"`
		}
		if err := as[i].do(ctx, "POST", "/tokens", map[string]string{"username": username, "password": password}, &token); err != nil {
			return nil, err
		}
		as[i].Token = token.Token
	}
	var next atomic.Int64
	return &simulate.Load{
		Server: strings.TrimSuffix(c.Server, "/"), Key: key.Key, Agents: c.Agents, For: time.Duration(c.Seconds) * time.Second, Seed: c.Seed,
		Launch: func(ctx context.Context) (int64, string, error) {
			var out struct {
				Session struct {
					ID int64 `json:"id"`
				} `json:"session"`
				Link string `json:"link"`
			}
			n := next.Add(1) - 1
			err := as[n%int64(len(as))].do(ctx, "POST", "/launches", map[string]any{"app_id": app}, &out)
			return out.Session.ID, out.Link, err
		},
		Evict: func(ctx context.Context, id int64) error {
			return c.call(ctx, "POST", fmt.Sprintf("/sessions/%d/evict", id), map[string]any{"reason": "simulated"}, nil)
		},
		Rows: func(ctx context.Context) (map[int64]session.State, error) { return c.rows(ctx, app) },
	}, nil
}

// rows reads all sessions of the app, page by page.
func (c *simulateCmd) rows(ctx context.Context, app int64) (map[int64]session.State, error) {
	rows := map[int64]session.State{}
	for token := ""; ; {
		q := url.Values{"app_id": {fmt.Sprint(app)}, "page_size": {"500"}, "history": {"true"}}
		if token != "" {
			q.Set("page_token", token)
		}
		var out struct {
			Sessions      []adminapi.Session `json:"sessions"`
			NextPageToken string             `json:"next_page_token"`
		}
		if err := c.call(ctx, "GET", "/sessions?"+q.Encode(), nil, &out); err != nil {
			return nil, err
		}
		for _, s := range out.Sessions {
			rows[s.ID] = s.Observed.State
		}
		if token = out.NextPageToken; token == "" {
			return rows, nil
		}
	}
}
