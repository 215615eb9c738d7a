package control

import (
	"context"

	"leasehold/internal/store"
)

// SetTimeZone sets the zone in which pages show times to whoever asks, by its name in the
// tz database; "" is that of their browser. It returns an [invalid.Error] for any other.
func (c *Control) SetTimeZone(ctx context.Context, who Who, zone string) error {
	return c.Store.Update(ctx, func(tx store.Tx) error {
		u, err := liveUser(tx, who.UserID)
		if err != nil {
			return err
		}
		u.TimeZone = zone
		if err := u.ValidateTimeZone(); err != nil {
			return err
		}
		return tx.SaveUser(u)
	})
}
