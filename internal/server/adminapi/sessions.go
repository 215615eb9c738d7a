package adminapi

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"leasehold/internal/auth"
	"leasehold/internal/lease"
	"leasehold/internal/session"
	"leasehold/internal/store"
)

// Session is a session as the API shows it; its names are fixed (spec §5).
type Session struct {
	ID             int64            `json:"id"`
	Kind           session.Kind     `json:"kind" enum:"device,stream"`
	Status         session.Status   `json:"status"`
	StatusReason   string           `json:"status_reason"`
	StatusSince    time.Time        `json:"status_since"`
	Observed       Observed         `json:"observed"`
	User           UserRef          `json:"user"`
	App            Ref              `json:"app"`
	DeliveryMethod MethodRef        `json:"delivery_method"`
	Provision      *Ref             `json:"provision"`
	Device         *Ref             `json:"device,omitempty"`
	Host           *Ref             `json:"host,omitempty"`
	StartedAt      time.Time        `json:"started_at"`
	FirstRunAt     *time.Time       `json:"first_run_at"`
	LastActivityAt *time.Time       `json:"last_activity_at"`
	LastSeenAt     *time.Time       `json:"last_seen_at"`
	EndedAt        *time.Time       `json:"ended_at"`
	DurationSecs   int64            `json:"duration_seconds"`
	Lease          *Lease           `json:"lease"`
	Order          *Order           `json:"order"`
	Actions        []session.Action `json:"actions" doc:"What the caller may do to it now"`
	Viewers        *int             `json:"viewers"`
	UnwatchedSince *time.Time       `json:"unwatched_since"`
	DeletedAt      *time.Time       `json:"deleted_at"`
	Progress       int              `json:"progress,omitempty" doc:"Percent of the package, while it is added"`
	Problem        string           `json:"problem,omitempty" doc:"What keeps the app from being added, started or upgraded"`
	Simulated      bool             `json:"simulated,omitempty" doc:"Its agent is a simulated one"`
}

// Observed is what the agent last reported.
type Observed struct {
	State session.State `json:"state" enum:"running,idle,absent"`
	Since time.Time     `json:"since"`
}

// Ref names something.
type Ref struct {
	ID   int64  `json:"id"`
	Name string `json:"name"`
}

// UserRef names a user.
type UserRef struct {
	ID       int64  `json:"id"`
	Username string `json:"username"`
	Name     string `json:"name"`
	Email    string `json:"email"`
}

// MethodRef names a delivery method.
type MethodRef struct {
	ID      int64      `json:"id"`
	Name    string     `json:"name"`
	Licence lease.Kind `json:"licence"`
}

// Lease is the lease out.
type Lease struct {
	Generation uint64    `json:"generation"`
	ExpiresAt  time.Time `json:"expires_at"`
}

// Order is how far an order has got.
type Order struct {
	Action      session.Action `json:"action"`
	RequestedBy string         `json:"requested_by"`
	Reason      string         `json:"reason"`
	RequestedAt time.Time      `json:"requested_at"`
	DeliveredAt *time.Time     `json:"delivered_at"`
	WarnedAt    *time.Time     `json:"warned_at"`
	ClosedAt    *time.Time     `json:"closed_at"`
	ClosedBy    string         `json:"closed_by" enum:",agent,lapse"`
	Outcome     string         `json:"outcome" enum:",closed,already closed"`
	ClosesAt    *time.Time     `json:"closes_at" doc:"When the device says that it closes the app; null until it has answered"`
	ETA         time.Time      `json:"eta" doc:"The latest moment at which the app is closed, whether or not the device answers"`
}

func ptr(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func sessionOf(r *store.SessionRow, now time.Time) Session {
	s := Session{
		ID: r.ID, Kind: r.Kind, Status: r.Status, StatusReason: r.Reason, StatusSince: r.StatusSince,
		Observed:       Observed{r.Observed, r.ObservedSince},
		User:           UserRef{r.UserID, r.Username, r.UserName, r.UserEmail},
		App:            Ref{r.AppID, r.AppName},
		DeliveryMethod: MethodRef{r.DeliveryMethodID, r.DeliveryMethodName, r.Licence},
		StartedAt:      r.StartedAt, FirstRunAt: ptr(r.FirstRunAt), LastActivityAt: ptr(r.LastActivityAt), LastSeenAt: ptr(r.Seen.At),
		EndedAt: ptr(r.EndedAt), DurationSecs: int64(r.Duration(now) / time.Second),
		Actions: r.Actions(), DeletedAt: ptr(r.DeletedAt), Simulated: r.Simulated, Progress: r.Progress, Problem: r.Problem,
	}
	if s.Actions == nil {
		s.Actions = []session.Action{}
	}
	if r.ProvisionID != 0 {
		s.Provision = &Ref{r.ProvisionID, r.ProvisionName}
	}
	if r.AgentID != 0 {
		ref := &Ref{r.AgentID, r.AgentName}
		if r.Kind == session.Stream {
			s.Host, s.Viewers, s.UnwatchedSince = ref, &r.Viewers, ptr(r.UnwatchedSince)
		} else {
			s.Device = ref
		}
	}
	if l := r.Lease; l != nil {
		s.Lease = &Lease{l.Generation, r.LeaseEnds}
	}
	if o := r.Order; o != nil {
		s.Order = &Order{
			Action: o.Action, RequestedBy: o.By.String(), Reason: o.Reason, RequestedAt: o.RequestedAt,
			DeliveredAt: ptr(o.DeliveredAt), WarnedAt: ptr(o.WarnedAt), ClosedAt: ptr(o.ClosedAt), ClosedBy: o.ClosedBy, ClosesAt: ptr(o.ClosesAt), ETA: r.OrderETA,
		}
		switch {
		case o.Already:
			s.Order.Outcome = "already closed"
		case !o.Open():
			s.Order.Outcome = "closed"
		}
	}
	return s
}

type listOutput struct {
	Body struct {
		Sessions      []Session `json:"sessions"`
		NextPageToken string    `json:"next_page_token"`
		Total         struct {
			Count int  `json:"count"`
			Exact bool `json:"exact" doc:"false: there are more than count"`
		} `json:"total"`
	}
}

// IDInput is the number in a path.
type IDInput struct {
	ID int64 `path:"id" minimum:"1"`
}

type sessionOutput struct {
	Body Session
}

type transition struct {
	From   session.Status `json:"from"`
	To     session.Status `json:"to"`
	At     time.Time      `json:"at"`
	Actor  string         `json:"actor"`
	Reason string         `json:"reason"`
}

type transitionsOutput struct {
	Body struct {
		Transitions []transition `json:"transitions"`
	}
}

type actInput struct {
	IDInput
	Body *struct {
		Reason string `json:"reason,omitempty" maxLength:"500"`
	} `required:"false"`
}

func (s *Server) sessions() {
	op(s, auth.AdminOnly, "GET", "/sessions", "list-sessions", "List sessions", func(ctx context.Context, in *listInput) (*listOutput, error) {
		q, asOf, err := in.query(time.Now())
		if err != nil {
			return nil, err
		}
		l, err := s.Control.ListSessions(ctx, q)
		if err != nil {
			return nil, err
		}
		out := &listOutput{}
		out.Body.Sessions = make([]Session, len(l.Rows))
		for i := range l.Rows {
			out.Body.Sessions[i] = sessionOf(&l.Rows[i], l.Now)
		}
		out.Body.NextPageToken = in.next(l.Next, asOf)
		out.Body.Total.Count, out.Body.Total.Exact = l.Total, l.Exact
		return out, nil
	})
	op(s, auth.AdminOnly, "GET", "/sessions/{id}", "get-session", "One session, deleted ones too", func(ctx context.Context, in *IDInput) (*sessionOutput, error) {
		d, err := s.Control.Session(ctx, in.ID)
		if err != nil {
			return nil, err
		}
		return &sessionOutput{sessionOf(&d.Row, d.Now)}, nil
	})
	type nextRow struct {
		At     *time.Time `json:"at" doc:"null: when something else happens, which what says"`
		Latest bool       `json:"latest" doc:"at is the latest moment; it may be earlier"`
		What   string     `json:"what"`
		Who    string     `json:"who" doc:"Who or what decides it"`
	}
	type outlookBody struct {
		Outlook []nextRow `json:"outlook"`
	}
	op(s, auth.AdminOnly, "GET", "/sessions/{id}/outlook", "get-outlook", "What happens to a session next, when, and who decides it", func(ctx context.Context, in *IDInput) (*body[outlookBody], error) {
		d, err := s.Control.Session(ctx, in.ID)
		if err != nil {
			return nil, err
		}
		return one(outlookBody{mapped(d.Outlook, func(n session.Next) nextRow { return nextRow{ptr(n.At), n.Latest, n.What, n.Who} })}, nil)
	})
	op(s, auth.AdminOnly, "GET", "/sessions/{id}/transitions", "list-transitions", "A session's history, oldest first", func(ctx context.Context, in *IDInput) (*transitionsOutput, error) {
		d, err := s.Control.Session(ctx, in.ID)
		if err != nil {
			return nil, err
		}
		out := &transitionsOutput{}
		out.Body.Transitions = make([]transition, len(d.Transitions))
		for i, t := range d.Transitions {
			out.Body.Transitions[i] = transition{t.From, t.To, t.At, t.Actor.String(), t.Reason}
		}
		return out, nil
	})
	for _, a := range session.Actions {
		op(s, auth.AdminOnly, "POST", "/sessions/{id}/"+string(a), string(a)+"-session", a.Summary(), func(ctx context.Context, in *actInput) (*sessionOutput, error) {
			reason := ""
			if in.Body != nil {
				reason = in.Body.Reason
			}
			row, err := s.Control.Act(ctx, whoOf(ctx), in.ID, a, reason)
			if err != nil {
				return nil, err
			}
			return &sessionOutput{sessionOf(row, time.Now())}, nil
		}, conflicts)
	}
	type messageInput struct {
		IDInput
		Body struct {
			Text string `json:"text" minLength:"1" maxLength:"500"`
		}
	}
	op(s, auth.AdminOnly, "POST", "/sessions/{id}/message", "message-session", session.Tell.Summary(), func(ctx context.Context, in *messageInput) (*sessionOutput, error) {
		row, err := s.Control.Act(ctx, whoOf(ctx), in.ID, session.Tell, in.Body.Text)
		if err != nil {
			return nil, err
		}
		return &sessionOutput{sessionOf(row, time.Now())}, nil
	}, conflicts)
	type messageRow struct {
		From    string     `json:"from"`
		Text    string     `json:"text"`
		At      time.Time  `json:"at"`
		ShownAt *time.Time `json:"shown_at" doc:"null: it was not shown, or not yet"`
		Waits   bool       `json:"waits" doc:"It is still to be shown; else what was not shown when the app ended is dropped"`
	}
	type messagesBody struct {
		Messages []messageRow `json:"messages"`
	}
	op(s, auth.AdminOnly, "GET", "/sessions/{id}/messages", "list-messages", "What a session's user was told, oldest first", func(ctx context.Context, in *IDInput) (*body[messagesBody], error) {
		d, err := s.Control.Session(ctx, in.ID)
		if err != nil {
			return nil, err
		}
		return one(messagesBody{mapped(d.Messages, func(m session.Message) messageRow {
			return messageRow{m.By.Name, m.Text, m.At, ptr(m.ShownAt), d.Row.Waits(&m)}
		})}, nil)
	})
}

func conflicts(o *huma.Operation) { o.Errors = []int{http.StatusNotFound, http.StatusConflict} }
