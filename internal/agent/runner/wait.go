package runner

import (
	"context"

	"leasehold/internal/agent/guard"
)

// AwaitExit reads the events of a run until the last one and returns that: the
// Wait of an implementation that has no better way.
func AwaitExit(ctx context.Context, r Run) (Event, error) {
	for from := int64(0); ; {
		events, next, err := r.Events(ctx, from)
		for _, e := range events {
			if e.Type == guard.Exited {
				return e, nil
			}
		}
		if err != nil {
			return Event{}, err
		}
		from = next
	}
}
