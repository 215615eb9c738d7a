package adminapi

import (
	"context"
	"strconv"
	"time"

	"leasehold/internal/auth"
	"leasehold/internal/session"
	"leasehold/internal/store"
)

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
		before, err := number(in.PageToken)
		if err != nil {
			return nil, err
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
		out.NextPageToken = token(u.Next)
		return one(out, nil)
	})
}

// token is the page token of a list that goes on after a number; "" for 0.
func token(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

// number is what token made, 0 for "".
func number(token string) (int64, error) {
	if token == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(token, 10, 64)
	if err != nil || n <= 0 {
		return 0, store.ErrBadPageToken
	}
	return n, nil
}
