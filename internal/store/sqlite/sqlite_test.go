package sqlite_test

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"leasehold/internal/store"
	"leasehold/internal/store/sqlite"
	"leasehold/internal/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T, now func() time.Time) store.Store {
		s, err := sqlite.Open(t.Context(), t.TempDir(), sqlite.WithClock(now))
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}
