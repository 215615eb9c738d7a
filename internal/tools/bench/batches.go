//go:build unix

package main

import (
	"context"
	"fmt"
	"time"

	"leasehold/internal/control"
	"leasehold/internal/session"
	"leasehold/internal/store"
)

// benchBatches measures one action on all of a hundred thousand sessions, and what a list
// takes meanwhile. Its limit is the bare update of as many rows, as many in a transaction.
func benchBatches(ctx context.Context, o *options, db *database, t *report) error {
	// About 0.15 of them match.
	if _, err := db.load(ctx, o.sessions*7/10); err != nil {
		return err
	}
	c, err := control.New(ctx, control.Config{Store: db.Store, PublicURL: "http://127.0.0.1:1", Limits: control.MaxLimits})
	if err != nil {
		return err
	}
	who := control.Who{UserID: 1, Username: "bench", Admin: true, From: "127.0.0.1"}
	begin := time.Now()
	b, err := c.Preview(ctx, who, control.BatchRequest{Action: session.Expire, Filter: &store.SessionQuery{Statuses: []session.Status{session.Stopped}}})
	if err != nil {
		return err
	}
	for b.State == store.BatchFreezing {
		if err := c.RunBatches(ctx); err != nil {
			return err
		}
		if b, err = c.Batch(ctx, who, b.ID); err != nil {
			return err
		}
	}
	preview := time.Since(begin)
	bare, err := bareUpdates(ctx, db, min(b.Total, 20_000))
	if err != nil {
		return err
	}
	if _, err := c.RunBatch(ctx, who, b.ID, ""); err != nil {
		return err
	}
	var pages []time.Duration
	watch, stop := context.WithCancel(ctx)
	watched := make(chan error, 1)
	go func() {
		for watch.Err() == nil {
			begin := time.Now()
			if _, err := c.ListSessions(ctx, store.SessionQuery{}); err != nil {
				watched <- err
				return
			}
			pages = append(pages, time.Since(begin))
			select {
			case <-watch.Done():
			case <-time.After(50 * time.Millisecond):
			}
		}
		watched <- nil
	}()
	begin = time.Now()
	for err == nil && b.State != store.BatchDone {
		if err = c.RunBatches(ctx); err == nil {
			b, err = c.Batch(ctx, who, b.ID)
		}
	}
	took := time.Since(begin)
	stop()
	if e := <-watched; err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	if b.Applied+b.Skipped != b.Total || b.Applied == 0 {
		return fmt.Errorf("batch: %d applied, %d skipped, of %d", b.Applied, b.Skipped, b.Total)
	}
	rate := float64(b.Total) / took.Seconds()
	s := t.section(fmt.Sprintf("A batch: expire all %d that are stopped, of %d sessions", b.Total, o.sessions*7/10), "what\tfigure\tof bare updates")
	s.row("preview and freezing", preview, "")
	s.row("the batch", took, "")
	s.row("sessions/s", rate, rate/bare)
	s.row("a page of the list meanwhile, p50", quantile(pages, 0.5), "")
	s.row("a page of the list meanwhile, p99", quantile(pages, 0.99), "")
	s.note("Bare updates, one column, 200 in a transaction: %.0f/s.", bare)
	return nil
}

func bareUpdates(ctx context.Context, db *database, n int) (perSecond float64, err error) {
	begin := time.Now()
	for i := 0; i < n; i += 200 {
		tx, err := db.raw.BeginTx(ctx, nil)
		if err != nil {
			return 0, err
		}
		for j := i; j < i+200; j++ {
			if _, err := tx.ExecContext(ctx, fmt.Sprintf("UPDATE sessions SET mark = 0 WHERE id = %d", j+1)); err != nil {
				return 0, err
			}
		}
		if err := tx.Commit(); err != nil {
			return 0, err
		}
	}
	return float64(n) / time.Since(begin).Seconds(), nil
}
