// Package clocktest opens databases for tests that can read their lease clock at once. A
// server can by its second tick, half a second after its start; so that no test waits for
// that, the boot-time clock is moved on.
package clocktest

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"leasehold/internal/lease"
	"leasehold/internal/store"
)

// Ready opens a database that goes by the boot-time clock it is given, ticks twice, and
// closes it after the test.
func Ready[S store.Store](t testing.TB, open func(boot func() time.Duration) (S, error)) S {
	t.Helper()
	var ahead atomic.Int64
	begin := time.Now()
	s, err := open(func() time.Duration { return time.Since(begin) + time.Duration(ahead.Load()) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	for range 2 {
		if err := s.Tick(context.Background()); err != nil {
			t.Fatal(err)
		}
		ahead.Add(int64(lease.Period))
	}
	return s
}
