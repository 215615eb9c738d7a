package postgres_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"leasehold/internal/lease"
	"leasehold/internal/pgtest"
	"leasehold/internal/store"
	"leasehold/internal/store/postgres"
)

// Three nodes on one database, one of which goes away and comes back: every one can sign as
// soon as it has ticked twice, nobody's earliest reading overtakes anybody's latest, and the
// clock keeps up with true time.
func TestNodesShareTheClock(t *testing.T) {
	url := pgtest.Made(t)
	type reading struct {
		at       time.Duration
		earliest lease.Time
		latest   lease.Time
	}
	var mu sync.Mutex
	var readings []reading
	begin := time.Now()
	unread := 0
	// node runs a node for a while.
	node := func(ctx context.Context) {
		st, err := postgres.Open(context.Background(), url)
		if err != nil {
			t.Error(err)
			return
		}
		defer st.Close()
		var wg sync.WaitGroup
		defer wg.Wait()
		wg.Go(func() {
			for next := time.Duration(0); ; next = lease.Period / 2 {
				select {
				case <-ctx.Done():
					return
				case <-time.After(next):
				}
				if err := st.Tick(ctx); err != nil && ctx.Err() == nil {
					t.Log(err)
				}
			}
		})
		warm := time.Now().Add(2 * lease.Period)
		for ctx.Err() == nil {
			var n lease.Now
			if err := st.Update(ctx, func(tx store.Tx) error { n = tx.LeaseNow(); return nil }); err != nil {
				if ctx.Err() == nil {
					t.Error(err)
				}
				return
			}
			at := time.Since(begin)
			mu.Lock()
			if n.Signs {
				readings = append(readings, reading{at, n.Earliest, n.Latest})
			} else if time.Now().After(warm) {
				unread++
			}
			mu.Unlock()
			time.Sleep(3 * time.Millisecond)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 7*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() { node(ctx) })
	wg.Go(func() { node(ctx) })
	wg.Go(func() {
		for range 2 {
			short, stop := context.WithTimeout(ctx, 2500*time.Millisecond)
			node(short)
			stop()
		}
	})
	wg.Wait()
	if len(readings) < 500 {
		t.Fatalf("%d readings", len(readings))
	}
	// Each was taken before its time was noted: what was read later must not have overtaken
	// what was read by then, with what lies between a look and the note of it.
	const noted = 300 * time.Millisecond
	least := readings[0].latest.Sub(0) - readings[0].at
	for _, r := range readings {
		if ahead := r.earliest.Sub(0) - r.at - least; ahead > noted {
			t.Fatalf("an earliest reading is %v ahead of a latest one", ahead)
		}
		least = min(least, r.latest.Sub(0)-r.at)
	}
	first, last := readings[0], readings[len(readings)-1]
	took, counted := last.at-first.at, last.earliest.Sub(first.earliest)
	t.Logf("%d readings in %v, lease time went on by %v; %d looks without one", len(readings), took, counted, unread)
	if counted > took+noted || counted < took-3*lease.Period {
		t.Errorf("in %v lease time went on by %v", took, counted)
	}
	if unread > len(readings)/20 {
		t.Errorf("%d of %d looks could not be read", unread, len(readings))
	}
}
