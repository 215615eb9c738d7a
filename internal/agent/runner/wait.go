package runner

import (
	"context"
	"errors"

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

// End stops a run and returns its last event, also of one whose guard has only just been
// started and does not listen yet.
func End(ctx context.Context, r Run, reason string) (Event, error) {
	for ctx.Err() == nil {
		// It may have ended; then that is what Wait says.
		if _, err := r.Stop(ctx, reason); !errors.Is(err, ErrUnresponsive) {
			break
		}
	}
	return r.Wait(ctx)
}
