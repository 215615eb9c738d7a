package adminapi

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"leasehold/internal/auth"
	"leasehold/internal/control"
	"leasehold/internal/invalid"
	"leasehold/internal/session"
	"leasehold/internal/store"
)

// Filter selects sessions as the parameters of the list do.
type Filter struct {
	Kind             string           `json:"kind,omitempty"`
	Status           []session.Status `json:"status,omitempty"`
	Q                string           `json:"q,omitempty"`
	Username         string           `json:"username,omitempty"`
	Email            string           `json:"email,omitempty"`
	AppID            int64            `json:"app_id,omitempty"`
	UserID           int64            `json:"user_id,omitempty"`
	ProvisionID      int64            `json:"provision_id,omitempty"`
	DeliveryMethodID int64            `json:"delivery_method_id,omitempty"`
	DeviceID         int64            `json:"device_id,omitempty"`
	HostID           int64            `json:"host_id,omitempty"`
	From             string           `json:"from,omitempty"`
	To               string           `json:"to,omitempty"`
	TZ               string           `json:"tz,omitempty"`
	SilentSeconds    int              `json:"silent_seconds,omitempty"`
}

func (f *Filter) query(now time.Time) (*store.SessionQuery, error) {
	in := listInput{Kind: f.Kind, Status: f.Status, Q: f.Q, Username: f.Username, Email: f.Email, AppID: f.AppID, UserID: f.UserID,
		ProvisionID: f.ProvisionID, DeliveryMethodID: f.DeliveryMethodID, DeviceID: f.DeviceID, HostID: f.HostID,
		From: f.From, To: f.To, TZ: f.TZ, SilentSeconds: f.SilentSeconds}
	q, err := in.query(now)
	return &q, err
}

// Batch is an action on many sessions as the API shows it.
type Batch struct {
	ID         int64            `json:"id"`
	Action     session.Action   `json:"action"`
	Reason     string           `json:"reason"`
	State      store.BatchState `json:"state" enum:"freezing,preview,running,done,stopped"`
	Total      int              `json:"total"`
	Applied    int              `json:"applied" doc:"Before it runs: how many it would be applied to"`
	Skipped    any              `json:"skipped" doc:"Up to 1,000 rows: each that is skipped, with why; above: how many"`
	ByApp      map[string]int   `json:"by_app,omitempty" doc:"How many of each app it is applied to"`
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
	out := &Batch{ID: b.ID, Action: b.Action, Reason: b.Reason, State: b.State, Total: b.Total, Applied: b.Applied, Skipped: b.Skipped,
		CreatedAt: b.CreatedAt, StartedAt: ptr(b.StartedAt), FinishedAt: ptr(b.FinishedAt)}
	if b.State == store.BatchPreview {
		out.Applied = b.WillAffect()
		out.Skipped = b.Total - out.Applied
	}
	if b.Total > control.BatchAtOnce {
		return out, nil
	}
	skipped := []SkippedRow{}
	out.ByApp = map[string]int{}
	for after := int64(0); ; {
		list, next, err := s.Control.BatchResults(ctx, whoOf(ctx), b.ID, "", after, control.MaxPageSize)
		if err != nil {
			return nil, err
		}
		for _, r := range list {
			switch {
			case r.Outcome == store.Skipped:
				skipped = append(skipped, SkippedRow{r.Session, r.Status, r.Reason})
			case r.Outcome == store.Applied && r.Row != nil:
				out.ByApp[r.Row.AppName]++
			}
		}
		if after = next; next == 0 {
			out.Skipped = skipped
			return out, nil
		}
	}
}

type batchOutput struct {
	Status int
	Body   *Batch
}

func (s *Server) batches() {
	type BatchInput struct {
		Body struct {
			Action session.Action `json:"action" enum:"evict,expire,kill"`
			Reason string         `json:"reason,omitempty" maxLength:"500"`
			IDs    []int64        `json:"ids,omitempty" doc:"The sessions; or filter in their place"`
			Filter *Filter        `json:"filter,omitempty" doc:"Everything that matches now"`
			DryRun bool           `json:"dry_run,omitempty" doc:"Only say what would be done; POST /batches/{id}/run does it"`
		}
	}
	op(s, auth.AdminOnly, "POST", "/sessions/batch", "batch-sessions", "Act on many sessions", func(ctx context.Context, in *BatchInput) (*batchOutput, error) {
		r := control.BatchRequest{Action: in.Body.Action, Reason: in.Body.Reason, IDs: in.Body.IDs}
		if in.Body.Filter != nil {
			q, err := in.Body.Filter.query(time.Now())
			if err != nil {
				return nil, within("filter", err)
			}
			r.Filter = q
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
		after := int64(0)
		if in.PageToken != "" {
			var err error
			if after, err = strconv.ParseInt(in.PageToken, 10, 64); err != nil {
				return nil, store.ErrBadPageToken
			}
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
		if next != 0 {
			out.NextPageToken = strconv.FormatInt(next, 10)
		}
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

// within names the fields of an error as those of a part of the body.
func within(part string, err error) error {
	bad, ok := err.(invalid.Error)
	if !ok {
		return err
	}
	var out invalid.Error
	for _, f := range bad {
		out.Add(part+"."+f.Name, "%s", f.Message)
	}
	return out
}

func (s *Server) housekeeping() {
	type RunInput struct {
		Body *struct {
			DryRun bool `json:"dry_run,omitempty"`
		} `required:"false"`
	}
	op(s, auth.AdminOnly, "POST", "/housekeeping/run", "run-housekeeping", "Run the daily housekeeping now", func(ctx context.Context, in *RunInput) (*body[*control.Housekept], error) {
		h, err := s.Control.Housekeep(ctx, whoOf(ctx), in.Body != nil && in.Body.DryRun)
		if err != nil {
			return nil, err
		}
		return one(h, nil)
	}, func(o *huma.Operation) { o.Errors = []int{http.StatusConflict} })
	op(s, auth.AdminOnly, "GET", "/settings", "get-settings", "The settings of the organisation", func(ctx context.Context, _ *struct{}) (*body[*control.Settings], error) {
		set, err := s.Control.Settings(ctx)
		return one(set, err)
	})
	type SettingsInput struct {
		Body struct {
			HousekeepingHour *int    `json:"housekeeping_hour,omitempty"`
			TimeZone         *string `json:"time_zone,omitempty"`
			StoppedDays      *int    `json:"stopped_days,omitempty"`
			LaunchedDays     *int    `json:"launched_days,omitempty"`
			IdleDays         *int    `json:"idle_days,omitempty"`
			HistoryDays      *int    `json:"history_days,omitempty"`
			ReasonRequired   *bool   `json:"reason_required,omitempty"`
			ForceSeconds     *int    `json:"force_seconds,omitempty"`
			WaitSeconds      *int    `json:"wait_seconds,omitempty"`
			HeartbeatSeconds *int    `json:"heartbeat_seconds,omitempty"`
		}
	}
	op(s, auth.AdminOnly, "PATCH", "/settings", "update-settings", "Change the settings", func(ctx context.Context, in *SettingsInput) (*body[*control.Settings], error) {
		set, err := s.Control.UpdateSettings(ctx, whoOf(ctx), func(c *control.Settings) error {
			b := &in.Body
			patch(&c.HousekeepingHour, b.HousekeepingHour)
			patch(&c.TimeZone, b.TimeZone)
			patch(&c.StoppedDays, b.StoppedDays)
			patch(&c.LaunchedDays, b.LaunchedDays)
			patch(&c.IdleDays, b.IdleDays)
			patch(&c.HistoryDays, b.HistoryDays)
			patch(&c.ReasonRequired, b.ReasonRequired)
			patch(&c.ForceSeconds, b.ForceSeconds)
			patch(&c.WaitSeconds, b.WaitSeconds)
			patch(&c.HeartbeatSeconds, b.HeartbeatSeconds)
			return nil
		})
		return one(set, err)
	})
}

// Revocation is what taking an app from a user changes and ends.
type Revocation struct {
	DryRun     bool               `json:"dry_run"`
	User       UserRef            `json:"user"`
	App        Ref                `json:"app"`
	Provisions []RevokedProvision `json:"provisions" doc:"That let the user run the app"`
	Sessions   []EndedSession     `json:"sessions" doc:"That were left of it"`
}

// RevokedProvision is a provision that no longer lets a user run an app.
type RevokedProvision struct {
	ID      int64    `json:"id"`
	Name    string   `json:"name"`
	ByName  bool     `json:"by_name" doc:"It named the user"`
	Groups  []string `json:"groups" doc:"Of the user's that it names"`
	Removed bool     `json:"removed" doc:"The user's name was taken out of it; else it has an exception now"`
}

// EndedSession is a session that a revocation ended.
type EndedSession struct {
	ID     int64          `json:"id"`
	Status session.Status `json:"status" doc:"Before"`
	Action session.Action `json:"action"`
}

func (s *Server) revoke() {
	type RevokeInput struct {
		IDInput
		Body struct {
			AppID  int64  `json:"app_id" minimum:"1"`
			Reason string `json:"reason,omitempty" maxLength:"500"`
			DryRun bool   `json:"dry_run,omitempty"`
		}
	}
	op(s, auth.AdminOnly, "POST", "/users/{id}/revoke-access", "revoke-access", "Take an app from a user, and end what is left of it", func(ctx context.Context, in *RevokeInput) (*body[Revocation], error) {
		r, err := s.Control.RevokeAccess(ctx, whoOf(ctx), in.ID, in.Body.AppID, in.Body.Reason, in.Body.DryRun)
		if err != nil {
			return nil, err
		}
		out := Revocation{DryRun: in.Body.DryRun, User: UserRef{r.User.ID, r.User.Username, r.User.Name, r.User.Email}, App: Ref{in.Body.AppID, r.AppName},
			Provisions: []RevokedProvision{}, Sessions: []EndedSession{}}
		for _, g := range r.Grounds {
			out.Provisions = append(out.Provisions, RevokedProvision{g.Provision.ID, g.Provision.Name, g.ByName, append([]string{}, g.Groups...), g.Removed})
		}
		for _, x := range r.Ended {
			out.Sessions = append(out.Sessions, EndedSession{x.Row.ID, x.Row.Status, x.Action})
		}
		return one(out, nil)
	})
}

// Denial is a lease that was refused.
type Denial struct {
	ID      int64               `json:"id"`
	At      time.Time           `json:"at"`
	Session int64               `json:"session_id"`
	User    UserRef             `json:"user"`
	Device  Ref                 `json:"device"`
	Code    session.RefusalCode `json:"code"`
	Message string              `json:"message"`
}

func (s *Server) seats() {
	type UseInput struct {
		IDInput
		PageToken string `query:"page_token" maxLength:"20"`
	}
	type useBody struct {
		Seats         int       `json:"seats" doc:"0: no limit"`
		Taken         int       `json:"taken"`
		Holders       []Session `json:"holders" doc:"The first 200 by number"`
		DeniedDay     int       `json:"denied_24h" doc:"Leases refused in the last 24 hours"`
		Denials       []Denial  `json:"denials" doc:"Newest first"`
		NextPageToken string    `json:"next_page_token" doc:"Of the denials"`
	}
	op(s, auth.AdminOnly, "GET", "/delivery-methods/{id}/use", "get-use", "Seats in use, who holds them, and who was denied", func(ctx context.Context, in *UseInput) (*body[useBody], error) {
		before := int64(0)
		if in.PageToken != "" {
			var err error
			if before, err = strconv.ParseInt(in.PageToken, 10, 64); err != nil {
				return nil, store.ErrBadPageToken
			}
		}
		u, err := s.Control.MethodUse(ctx, in.ID, before)
		if err != nil {
			return nil, err
		}
		out := useBody{Seats: u.Method.Licence.Seats, Taken: u.Taken, DeniedDay: u.DeniedDay, Holders: []Session{}, Denials: []Denial{}}
		for i := range u.Holders {
			out.Holders = append(out.Holders, sessionOf(&u.Holders[i], u.Now))
		}
		for _, d := range u.Denials {
			out.Denials = append(out.Denials, Denial{d.ID, d.At, d.Session, UserRef{ID: d.UserID, Username: d.Username, Name: d.UserName}, Ref{d.AgentID, d.AgentName}, d.Code, d.Message})
		}
		if u.Next != 0 {
			out.NextPageToken = strconv.FormatInt(u.Next, 10)
		}
		return one(out, nil)
	})
}
