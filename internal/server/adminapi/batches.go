package adminapi

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"leasehold/internal/auth"
	"leasehold/internal/control"
	"leasehold/internal/invalid"
	"leasehold/internal/session"
	"leasehold/internal/store"
)

// Batch is an action on many sessions as the API shows it.
type Batch struct {
	ID         int64            `json:"id"`
	Action     session.Action   `json:"action"`
	Reason     string           `json:"reason"`
	State      store.BatchState `json:"state" enum:"freezing,preview,running,done,stopped"`
	Total      int              `json:"total"`
	Applied    int              `json:"applied" doc:"Before it runs: how many it would be applied to"`
	Skipped    []SkippedRow     `json:"skipped" doc:"Of a batch of up to 1,000 sessions, each that is skipped; see its results for more"`
	SkippedN   int              `json:"skipped_count"`
	ByApp      map[string]int   `json:"by_app" doc:"How many of each app it is applied to; of a batch of more than 1,000 sessions, before it runs"`
	CreatedAt  time.Time        `json:"created_at"`
	StartedAt  *time.Time       `json:"started_at"`
	FinishedAt *time.Time       `json:"finished_at"`
}

// SkippedRow is a session that a batch skips.
type SkippedRow struct {
	ID     int64          `json:"id"`
	Status session.Status `json:"status"`
	Reason string         `json:"reason"`
}

// batchOf shows a batch, with each row that is skipped if they are few enough.
func (s *Server) batchOf(ctx context.Context, b *control.BatchView) (*Batch, error) {
	out := &Batch{ID: b.ID, Action: b.Action, Reason: b.Reason, State: b.State, Total: b.Total, Applied: b.Applied, SkippedN: b.Skipped,
		Skipped: []SkippedRow{}, ByApp: map[string]int{}, CreatedAt: b.CreatedAt, StartedAt: ptr(b.StartedAt), FinishedAt: ptr(b.FinishedAt)}
	if b.State == store.BatchPreview {
		out.Applied = b.WillAffect()
		out.SkippedN = b.Total - out.Applied
	}
	if b.Total > control.BatchAtOnce {
		for _, g := range b.Affected {
			out.ByApp[g.App] += g.N
		}
		return out, nil
	}
	for after, more := int64(0), true; more; {
		list, next, err := s.Control.BatchResults(ctx, whoOf(ctx), b.ID, "", after, control.MaxPageSize)
		if err != nil {
			return nil, err
		}
		for _, r := range list {
			switch {
			case r.Outcome == store.Skipped:
				out.Skipped = append(out.Skipped, SkippedRow{r.Session, r.Status, r.Reason})
			case r.Outcome == store.Applied && r.Row != nil:
				out.ByApp[r.Row.AppName]++
			}
		}
		after, more = next, next != 0
	}
	return out, nil
}

type batchOutput struct {
	Status int
	Body   *Batch
}

func (s *Server) batches() {
	type BatchInput struct {
		Body struct {
			Action session.Action `json:"action" enum:"evict,expire,kill,cancel,message"`
			Reason string         `json:"reason,omitempty" maxLength:"500"`
			Text   string         `json:"text,omitempty" maxLength:"500" doc:"Of a message; it has no reason"`
			IDs    []int64        `json:"ids,omitempty" doc:"The sessions; or filter in their place"`
			Filter *Filter        `json:"filter,omitempty" doc:"Everything that matches now"`
			DryRun bool           `json:"dry_run,omitempty" doc:"Only say what would be done; POST /batches/{id}/run does it"`
		}
	}
	op(s, auth.AdminOnly, "POST", "/sessions/batch", "batch-sessions", "Act on many sessions", func(ctx context.Context, in *BatchInput) (*batchOutput, error) {
		r := control.BatchRequest{Action: in.Body.Action, Reason: in.Body.Reason, IDs: in.Body.IDs}
		switch tell := r.Action == session.Tell; {
		case tell && r.Reason != "":
			return nil, invalid.Of("reason", "is none of a message; give text")
		case tell:
			r.Reason = in.Body.Text
		case in.Body.Text != "":
			return nil, invalid.Of("text", "is of a message; give reason")
		}
		if in.Body.Filter != nil {
			q, err := in.Body.Filter.query(time.Now())
			if bad := (invalid.Error)(nil); errors.As(err, &bad) {
				return nil, bad.Within("filter")
			}
			r.Filter = &q
		}
		b, err := s.Control.Preview(ctx, whoOf(ctx), r)
		if err == nil && !in.Body.DryRun {
			b, err = s.Control.RunBatch(ctx, whoOf(ctx), b.ID, "")
		}
		return s.batchAnswer(ctx, b, err)
	}, func(o *huma.Operation) { o.Errors = []int{http.StatusUnprocessableEntity} })
	op(s, auth.AdminOnly, "GET", "/batches/{id}", "get-batch", "How far a batch has got", func(ctx context.Context, in *IDInput) (*batchOutput, error) {
		b, err := s.Control.Batch(ctx, whoOf(ctx), in.ID)
		if err != nil {
			return nil, err
		}
		out, err := s.batchOf(ctx, b)
		return &batchOutput{http.StatusOK, out}, err
	})
	op(s, auth.AdminOnly, "POST", "/batches/{id}/run", "run-batch", "Do what a dry run has shown", func(ctx context.Context, in *actInput) (*batchOutput, error) {
		reason := ""
		if in.Body != nil {
			reason = in.Body.Reason
		}
		b, err := s.Control.RunBatch(ctx, whoOf(ctx), in.ID, reason)
		return s.batchAnswer(ctx, b, err)
	})
	op(s, auth.AdminOnly, "POST", "/batches/{id}/stop", "stop-batch", "End a batch before it is through; what it did stays done", func(ctx context.Context, in *IDInput) (*batchOutput, error) {
		b, err := s.Control.StopBatch(ctx, whoOf(ctx), in.ID)
		return s.batchAnswer(ctx, b, err)
	})
	type ResultsInput struct {
		IDInput
		Outcome   string `query:"outcome" enum:",applied,skipped"`
		PageSize  int    `query:"page_size" default:"50" minimum:"1" maximum:"500"`
		PageToken string `query:"page_token" maxLength:"20"`
	}
	type resultRow struct {
		ID      int64          `json:"id"`
		Status  session.Status `json:"status" doc:"When its turn came"`
		Outcome string         `json:"outcome" enum:",applied,skipped"`
		Reason  string         `json:"reason"`
		User    string         `json:"user"`
		App     string         `json:"app"`
	}
	type resultsBody struct {
		Results       []resultRow `json:"results"`
		NextPageToken string      `json:"next_page_token"`
	}
	op(s, auth.AdminOnly, "GET", "/batches/{id}/results", "list-batch-results", "What became of each session of a batch", func(ctx context.Context, in *ResultsInput) (*body[resultsBody], error) {
		after, err := number(in.PageToken)
		if err != nil {
			return nil, err
		}
		list, next, err := s.Control.BatchResults(ctx, whoOf(ctx), in.ID, in.Outcome, after, in.PageSize)
		if err != nil {
			return nil, err
		}
		out := resultsBody{Results: make([]resultRow, len(list))}
		for i, r := range list {
			out.Results[i] = resultRow{ID: r.Session, Status: r.Status, Outcome: r.Outcome, Reason: r.Reason}
			if r.Row != nil {
				out.Results[i].User, out.Results[i].App = r.Row.Username, r.Row.AppName
			}
		}
		out.NextPageToken = token(next)
		return one(out, nil)
	})
}

// batchAnswer is 200 with the outcome of a batch that was done at once, 202 with one that
// goes on.
func (s *Server) batchAnswer(ctx context.Context, b *control.BatchView, err error) (*batchOutput, error) {
	if err != nil {
		return nil, err
	}
	out, err := s.batchOf(ctx, b)
	code := http.StatusOK
	if b.Total > control.BatchAtOnce {
		code = http.StatusAccepted
	}
	return &batchOutput{code, out}, err
}
