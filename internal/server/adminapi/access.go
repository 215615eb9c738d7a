package adminapi

import (
	"context"
	"net/http"
	"time"

	"leasehold/internal/auth"
	"leasehold/internal/store"
)

func (s *Server) launches() {
	type LaunchInput struct {
		Body struct {
			AppID    int64 `json:"app_id" minimum:"1"`
			DeviceID int64 `json:"device_id,omitempty" minimum:"1" doc:"One of the caller's devices, to push the launch there"`
		}
	}
	type LaunchOutput struct {
		Body struct {
			Session Session `json:"session"`
			Link    string  `json:"link,omitempty" doc:"For the player of any device"`
			URL     string  `json:"url,omitempty" doc:"The viewer of a streamed app"`
		}
	}
	op(s, auth.SignedIn, "POST", "/launches", "create-launch", "Launch an app for the caller", func(ctx context.Context, in *LaunchInput) (*LaunchOutput, error) {
		l, err := s.Control.Launch(ctx, whoOf(ctx), in.Body.AppID, in.Body.DeviceID)
		if err != nil {
			return nil, err
		}
		out := &LaunchOutput{}
		out.Body.Session, out.Body.Link, out.Body.URL = sessionOf(&l.Session, time.Now()), l.Link, l.URL
		if !whoOf(ctx).Admin {
			out.Body.Session.Actions = out.Body.Session.Actions[:0]
		}
		return out, nil
	}, status(http.StatusCreated))
}

type auditEntry struct {
	ID      int64     `json:"id"`
	At      time.Time `json:"at"`
	Actor   string    `json:"actor"`
	From    string    `json:"from"`
	Action  string    `json:"action"`
	Target  string    `json:"target"`
	Name    string    `json:"name"`
	Reason  string    `json:"reason"`
	Outcome string    `json:"outcome"`
}

func (s *Server) audit() {
	type AuditInput struct {
		Action    string `query:"action" maxLength:"100" doc:"Only this action, as session.evict"`
		PageSize  int    `query:"page_size" default:"50" minimum:"1" maximum:"500"`
		PageToken string `query:"page_token" maxLength:"20"`
	}
	type AuditOutput struct {
		Body struct {
			Audit         []auditEntry `json:"audit"`
			NextPageToken string       `json:"next_page_token"`
		}
	}
	op(s, auth.AdminOnly, "GET", "/audit", "list-audit", "Every change that an administrator made, newest first", func(ctx context.Context, in *AuditInput) (*AuditOutput, error) {
		list, next, err := s.Control.Audit(ctx, in.Action, store.Page{Size: in.PageSize, Token: in.PageToken})
		if err != nil {
			return nil, err
		}
		out := &AuditOutput{}
		out.Body.Audit, out.Body.NextPageToken = make([]auditEntry, len(list)), next
		for i, e := range list {
			out.Body.Audit[i] = auditEntry(e)
		}
		return out, nil
	})
}

// PageInput are the parameters of lists by name.
type PageInput struct {
	Q         string `query:"q" maxLength:"200" doc:"Contains, any case"`
	PageSize  int    `query:"page_size" default:"50" minimum:"1" maximum:"500"`
	PageToken string `query:"page_token" maxLength:"2000"`
}

func (in *PageInput) page() store.Page { return store.Page{Size: in.PageSize, Token: in.PageToken} }
