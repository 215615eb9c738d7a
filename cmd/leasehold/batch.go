package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"leasehold/internal/control"
	"leasehold/internal/server/adminapi"
	"leasehold/internal/store"
)

// sessionAct is what the actions have in common: on sessions by their numbers, or on
// everything that a filter matches.
type sessionAct struct {
	sessionChoice
	Reason string `help:"Why, for the history."`
}

func (c *sessionAct) act(ctx context.Context, std *stdio, action string) error {
	return c.do(ctx, std, action, "reason", c.Reason)
}

// sessionChoice is which sessions are acted on.
type sessionChoice struct {
	apiFlags
	IDs []int64 `arg:"" optional:"" name:"id" help:"The sessions' numbers; or a filter in their place."`
	All bool    `env:"-" help:"Everything that the filter matches; without a filter, every session."`
	filterFlags
	DryRun bool `help:"Only say what would be done."`
}

// request is the call of the batch API; nil if every session is named and acted on alone.
func (c *sessionChoice) request(action, field, words string) (map[string]any, error) {
	f, filtered, err := c.filter()
	switch {
	case err != nil:
		return nil, err
	case len(c.IDs) > 0 && (filtered || c.All):
		return nil, errors.New("name sessions, or filter them: not both")
	case len(c.IDs) == 0 && !c.All:
		return nil, errors.New("name the sessions, or give --all with a filter, as --query, --status or --silent; --help lists them")
	case len(c.IDs) == 0:
		return map[string]any{"action": action, field: words, "filter": f, "dry_run": c.DryRun}, nil
	case c.DryRun:
		return map[string]any{"action": action, field: words, "ids": c.IDs, "dry_run": true}, nil
	}
	return nil, nil
}

// do acts on the sessions; words are the reason or the text, as field says.
func (c *sessionChoice) do(ctx context.Context, std *stdio, action, field, words string) error {
	req, err := c.request(action, field, words)
	if err != nil {
		return err
	}
	if req != nil {
		return c.batch(ctx, std, action, req)
	}
	failed := false
	for _, id := range c.IDs {
		var raw json.RawMessage
		err := c.call(ctx, "POST", fmt.Sprintf("/sessions/%d/%s", id, action), map[string]string{field: words}, &raw)
		if err != nil {
			failed = true
			fmt.Fprintf(std.Err, "session %d: %v\n", id, err)
			continue
		}
		if c.JSON {
			if err := writeJSON(std.Out, raw); err != nil {
				return err
			}
			continue
		}
		var s adminapi.Session
		if err := json.Unmarshal(raw, &s); err != nil {
			return err
		}
		if action == "message" {
			fmt.Fprintf(std.Out, "session %d: the message to %s is on its way\n", s.ID, s.User.Name)
			continue
		}
		fmt.Fprintf(std.Out, "session %d: %s’s %s on %s is %s\n", s.ID, s.User.Name, s.App.Name, where(&s), strings.ToLower(statusText(&s)))
	}
	if failed {
		return exitCode(1)
	}
	return nil
}

// batch acts on many sessions and waits until it is through.
func (c *sessionChoice) batch(ctx context.Context, std *stdio, action string, req map[string]any) error {
	var raw json.RawMessage
	if err := c.call(ctx, "POST", "/sessions/batch", req, &raw); err != nil {
		return err
	}
	var b adminapi.Batch
	for {
		if err := json.Unmarshal(raw, &b); err != nil {
			return err
		}
		if b.State != store.BatchRunning {
			break
		}
		fmt.Fprintf(std.Err, "batch %d: %d of %d\n", b.ID, b.Applied+b.SkippedN, b.Total)
		select {
		case <-ctx.Done():
			return fmt.Errorf("batch %d goes on without us: %w", b.ID, ctx.Err())
		case <-time.After(time.Second):
		}
		if err := c.call(ctx, "GET", fmt.Sprintf("/batches/%d", b.ID), nil, &raw); err != nil {
			return err
		}
	}
	if c.JSON {
		return writeJSON(std.Out, raw)
	}
	verb := map[bool]string{true: "would " + action, false: action + ":"}[c.DryRun]
	fmt.Fprintf(std.Out, "batch %d: %s %d of %d sessions, %d skipped\n", b.ID, verb, b.Applied, b.Total, b.SkippedN)
	for _, app := range slices.Sorted(maps.Keys(b.ByApp)) {
		fmt.Fprintf(std.Out, "  %6d  %s\n", b.ByApp[app], app)
	}
	for _, r := range b.Skipped[:min(len(b.Skipped), 20)] {
		fmt.Fprintf(std.Out, "  skipped %d: %s\n", r.ID, r.Reason)
	}
	if n := b.SkippedN - min(len(b.Skipped), 20); n > 0 {
		fmt.Fprintf(std.Out, "  skipped %d more; see GET /api/v1/batches/%d/results\n", n, b.ID)
	}
	if c.DryRun && b.Applied > 0 {
		fmt.Fprintf(std.Out, "nothing was changed; POST /api/v1/batches/%d/run does it, each session checked again\n", b.ID)
	}
	return nil
}

type sessionEvict struct{ sessionAct }

// Run is leasehold session evict.
func (c *sessionEvict) Run(ctx context.Context, std *stdio) error { return c.act(ctx, std, "evict") }

type sessionExpire struct{ sessionAct }

// Run is leasehold session expire.
func (c *sessionExpire) Run(ctx context.Context, std *stdio) error { return c.act(ctx, std, "expire") }

type sessionKill struct{ sessionAct }

// Run is leasehold session kill.
func (c *sessionKill) Run(ctx context.Context, std *stdio) error { return c.act(ctx, std, "kill") }

type sessionCancel struct{ sessionAct }

// Run is leasehold session cancel.
func (c *sessionCancel) Run(ctx context.Context, std *stdio) error { return c.act(ctx, std, "cancel") }

type sessionMessage struct {
	sessionChoice
	Text string `required:"" env:"-" help:"What they are told, at most 500 characters."`
}

// Run is leasehold session message.
func (c *sessionMessage) Run(ctx context.Context, std *stdio) error {
	return c.do(ctx, std, "message", "text", c.Text)
}

type housekeepingCmd struct {
	Run housekeepingRun `cmd:"" help:"Run the daily housekeeping now."`
}

type housekeepingRun struct {
	apiFlags
	DryRun bool `help:"Only say what would be done."`
}

// Run is leasehold housekeeping run.
func (c *housekeepingRun) Run(ctx context.Context, std *stdio) error {
	var raw json.RawMessage
	if err := c.call(ctx, "POST", "/housekeeping/run", map[string]bool{"dry_run": c.DryRun}, &raw); err != nil {
		return err
	}
	if c.JSON {
		return writeJSON(std.Out, raw)
	}
	var h control.Housekept
	if err := json.Unmarshal(raw, &h); err != nil {
		return err
	}
	would := ""
	if h.DryRun {
		would = "would have "
	}
	fmt.Fprintf(std.Out, "housekeeping of %s %s%s\n", h.Day, would, h.String())
	for _, s := range slices.Sorted(maps.Keys(h.Expired)) {
		fmt.Fprintf(std.Out, "  %6d  expired, were %s\n", h.Expired[s], strings.ToLower(s.Label()))
	}
	return nil
}
