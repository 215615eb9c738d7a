package control

import (
	"context"
	"slices"

	"leasehold/internal/invalid"
	"leasehold/internal/session"
	"leasehold/internal/store"
)

// Result is what became, or would become, of one session of a batch.
type Result struct {
	store.BatchItem
	Row *store.SessionRow // nil if there is no such session
}

// BatchResults lists the sessions of a batch above after, of an outcome or all with "". Of
// a batch that has not run it says what would become of each. next is where to go on, 0
// at the end.
func (c *Control) BatchResults(ctx context.Context, who Who, id int64, outcome string, after int64, limit int) (list []Result, next int64, err error) {
	var e invalid.Error
	if outcome != "" {
		e.OneOf("outcome", outcome, store.Applied, store.Skipped)
	}
	e.Range("page_size", limit, 1, MaxPageSize)
	if err := e.Err(); err != nil {
		return nil, 0, err
	}
	if !who.Admin {
		return nil, 0, ErrDenied
	}
	err = c.Store.View(ctx, func(tx store.Tx) error {
		list, next = nil, 0
		b, err := tx.Batch(id)
		if err != nil {
			return err
		}
		for at := after; ; {
			page, more, err := results(tx, b, outcome, at)
			if err != nil {
				return err
			}
			list = append(list, page...)
			if len(list) > limit {
				list = list[:limit]
				next = list[limit-1].Session
				return nil
			}
			if at = more; at == 0 {
				return nil
			}
		}
	})
	return list, next, err
}

// results reads one step of a batch's results. Before it runs nothing is stored of them:
// each is judged as it is now. more is where to go on, 0 at the end.
func results(tx store.Tx, b *store.Batch, outcome string, after int64) (list []Result, more int64, err error) {
	preview := b.State == store.BatchPreview
	stored := outcome
	if preview {
		stored = ""
	}
	items, err := tx.BatchItems(b.ID, stored, after, MaxPageSize)
	if err != nil {
		return nil, 0, err
	}
	if len(items) == MaxPageSize {
		more = items[len(items)-1].Session
	}
	ids := make([]int64, len(items))
	for i := range items {
		ids[i] = items[i].Session
	}
	rows, err := tx.SessionRows(ids)
	if err != nil {
		return nil, 0, err
	}
	for _, item := range items {
		r := Result{BatchItem: item}
		if i := slices.IndexFunc(rows, func(r store.SessionRow) bool { return r.ID == item.Session }); i >= 0 {
			r.Row = &rows[i]
		}
		if preview {
			r.judge(b.Action)
		}
		if outcome == "" || r.Outcome == outcome {
			list = append(list, r)
		}
	}
	return list, more, nil
}

// judge says what would become of the session now.
func (r *Result) judge(a session.Action) {
	r.Outcome, r.Reason = store.Skipped, noSession
	if r.Row == nil {
		return
	}
	r.Status = r.Row.Status
	if err := r.Row.Check(a); err != nil {
		r.Reason = err.Error()
		return
	}
	r.Outcome, r.Reason = store.Applied, ""
}

// Batches lists batches that run or have run, newest first, with ids below before, or all
// with 0.
func (c *Control) Batches(ctx context.Context, who Who, before int64, limit int) (list []*store.Batch, err error) {
	if !who.Admin {
		return nil, ErrDenied
	}
	err = c.Store.View(ctx, func(tx store.Tx) error {
		list, err = tx.Batches("", before, limit)
		return err
	})
	return list, err
}
