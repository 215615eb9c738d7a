package store

import "context"

type (
	besideKey struct{}
	soonKey   struct{}
)

// Beside marks work beside requests: it has turns, and comes back to what is locked instead
// of waiting for it. Its updates return ErrLocked early.
func Beside(ctx context.Context) context.Context {
	return context.WithValue(ctx, besideKey{}, true)
}

// IsBeside reports whether ctx is of work beside requests.
func IsBeside(ctx context.Context) bool { return ctx.Value(besideKey{}) != nil }

// Soon marks an update that has another way if a row is locked by somebody else for long:
// after about a second of waiting for one it returns ErrLocked.
func Soon(ctx context.Context) context.Context {
	return context.WithValue(ctx, soonKey{}, true)
}

// IsSoon reports whether ctx is of an update marked with Soon.
func IsSoon(ctx context.Context) bool { return ctx.Value(soonKey{}) != nil }
