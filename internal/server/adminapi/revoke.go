package adminapi

import (
	"context"

	"leasehold/internal/auth"
	"leasehold/internal/session"
)

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
