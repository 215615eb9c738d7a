package web

import (
	"context"
	"time"

	"leasehold/internal/store"
)

// webSessions keeps browser sessions in the server's database, for scs, so that any
// node knows who is signed in.
type webSessions struct{ st store.Store }

func (w webSessions) FindCtx(ctx context.Context, token string) (data []byte, ok bool, err error) {
	err = w.st.View(ctx, func(tx store.Tx) (err error) {
		data, ok, err = tx.WebSession(token)
		return err
	})
	return data, ok, err
}

func (w webSessions) CommitCtx(ctx context.Context, token string, data []byte, expiry time.Time) error {
	return w.st.Update(ctx, func(tx store.Tx) error { return tx.SaveWebSession(token, data, expiry) })
}

func (w webSessions) DeleteCtx(ctx context.Context, token string) error {
	return w.st.Update(ctx, func(tx store.Tx) error { return tx.DeleteWebSession(token) })
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
