package web

import (
	"context"
	"time"

	"leasehold/internal/control"
)

// webSessions keeps browser sessions in the server's database, for scs, so that any
// node knows who is signed in.
type webSessions struct{ c *control.Control }

func (w webSessions) FindCtx(ctx context.Context, token string) ([]byte, bool, error) {
	return w.c.WebSession(ctx, token)
}

func (w webSessions) CommitCtx(ctx context.Context, token string, data []byte, expiry time.Time) error {
	return w.c.SaveWebSession(ctx, token, data, expiry)
}

func (w webSessions) DeleteCtx(ctx context.Context, token string) error {
	return w.c.DeleteWebSession(ctx, token)
}

// The methods without a context are those that scs asks of every store; it calls
// the ones above.

func (w webSessions) Find(token string) ([]byte, bool, error) {
	return w.FindCtx(context.Background(), token)
}

func (w webSessions) Commit(token string, data []byte, expiry time.Time) error {
	return w.CommitCtx(context.Background(), token, data, expiry)
}

func (w webSessions) Delete(token string) error { return w.DeleteCtx(context.Background(), token) }
