package store

import "context"

type besideKey struct{}

// Beside marks work beside requests: it has turns, and comes back to what is locked instead
// of waiting for it. Its updates return ErrLocked early.
func Beside(ctx context.Context) context.Context {
	return context.WithValue(ctx, besideKey{}, true)
}

// IsBeside reports whether ctx is of work beside requests.
func IsBeside(ctx context.Context) bool { return ctx.Value(besideKey{}) != nil }
