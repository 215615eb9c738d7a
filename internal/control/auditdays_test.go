package control_test

import (
	"testing"
	"time"

	"leasehold/internal/control"
	"leasehold/internal/store"
)

// TestAuditRetention: the housekeeping deletes entries that are older than the setting says,
// however many there are, and a dry run deletes none.
func TestAuditRetention(t *testing.T) {
	each(t, func(t *testing.T, s *stepped) {
		if _, err := s.Control.UpdateSettings(t.Context(), s.Admin, func(c *control.Settings) error { c.AuditDays = 30; return nil }); err != nil {
			t.Fatal(err)
		}
		add := func(n int, age time.Duration) {
			if err := s.Store.Update(t.Context(), func(tx store.Tx) error {
				for range n {
					if err := tx.AddAudit(&store.AuditEntry{At: tx.WallNow().Add(-age), Actor: "server", Action: "test.entry", Target: "test", Outcome: "done"}); err != nil {
						return err
					}
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		add(1203, 31*24*time.Hour)
		add(3, 29*24*time.Hour)
		count := func() (n int) {
			q := store.AuditQuery{Action: "test.entry", Page: store.Page{Size: 500}}
			for more := true; more; more = q.Page.Token != "" {
				list, next, err := s.Control.Audit(t.Context(), q)
				if err != nil {
					t.Fatal(err)
				}
				n, q.Page.Token = n+len(list), next
			}
			return n
		}
		for _, c := range []struct {
			dry  bool
			want int
		}{{true, 1206}, {false, 3}} {
			if _, err := s.Control.Housekeep(t.Context(), s.Admin, c.dry); err != nil {
				t.Fatal(err)
			}
			if got := count(); got != c.want {
				t.Errorf("dry run %v: %d entries are left, want %d", c.dry, got, c.want)
			}
		}
	})
}
