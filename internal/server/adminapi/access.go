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

// PageInput are the parameters of lists by name.
type PageInput struct {
	Q         string `query:"q" maxLength:"200" doc:"Contains, any case"`
	PageSize  int    `query:"page_size" default:"50" minimum:"1" maximum:"500"`
	PageToken string `query:"page_token" maxLength:"2000"`
}

func (in *PageInput) page() store.Page { return store.Page{Size: in.PageSize, Token: in.PageToken} }
