package control

import (
	"context"
	"time"

	"leasehold/internal/catalog"
	"leasehold/internal/store"
)

// Use is how a delivery method's seats are used.
type Use struct {
	Method    *catalog.DeliveryMethod
	Taken     int
	Holders   []store.SessionRow // the first maxHolders by number
	DeniedDay int                // leases refused in the last 24 hours
	Denials   []store.Denial     // newest first
	Next      int64              // of the denials: where to go on, 0 at the end
	Now       time.Time
}

const (
	maxHolders  = 200
	denialsPage = 50
)

// MethodUse returns who holds the seats of a delivery method, and the denials with ids
// below before, or the newest with 0. It returns store.ErrNotFound.
func (c *Control) MethodUse(ctx context.Context, id, before int64) (*Use, error) {
	u := &Use{}
	err := c.Store.View(ctx, func(tx store.Tx) (err error) {
		*u = Use{Now: tx.WallNow()}
		if u.Method, err = liveMethod(tx, id); err != nil {
			return err
		}
		if u.Taken, err = tx.SeatsTaken(id); err != nil {
			return err
		}
		holders, err := tx.SeatHolders(id, 0, maxHolders)
		if err != nil {
			return err
		}
		if u.Holders, err = tx.SessionRows(holders); err != nil {
			return err
		}
		if u.DeniedDay, err = tx.CountDenials(id, tx.WallNow().Add(-24*time.Hour)); err != nil {
			return err
		}
		if u.Denials, err = tx.DenialsOf(id, before, denialsPage+1); err != nil {
			return err
		}
		if len(u.Denials) > denialsPage {
			u.Denials = u.Denials[:denialsPage]
			u.Next = u.Denials[denialsPage-1].ID
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return u, nil
}
