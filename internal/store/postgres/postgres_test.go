//go:build unix

package postgres_test

import (
	"os"
	"testing"

	"leasehold/internal/pgtest"
	"leasehold/internal/store"
	"leasehold/internal/store/postgres"
	"leasehold/internal/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T, clock *storetest.Clock) store.Store {
		s, err := postgres.Open(t.Context(), pgtest.Made(t), postgres.WithClock(clock.Now), postgres.WithBoot(clock.Boot))
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}
