package adminapi

import (
	"context"
	"net/http"
	"strings"
	"time"

	"leasehold/internal/auth"
	"leasehold/internal/control"
	"leasehold/internal/directory"
	"leasehold/internal/invalid"
	"leasehold/internal/store"
)

// Token is an API token as the API shows it: without its text.
type Token struct {
	ID         int64            `json:"id"`
	Name       string           `json:"name" doc:"Empty for one that signing in has made"`
	Scopes     directory.Scopes `json:"scopes"`
	CreatedAt  time.Time        `json:"created_at"`
	ExpiresAt  time.Time        `json:"expires_at"`
	LastUsedAt *time.Time       `json:"last_used_at" doc:"To a minute"`
}

func tokenOf(t *store.Token) Token {
	return Token{t.ID, t.Name, t.Scopes, t.CreatedAt, t.ExpiresAt, ptr(t.UsedAt)}
}

// tokens adds the operations on the caller's own tokens.
func (s *Server) tokens() {
	type TokenInput struct {
		Authorization string `header:"Authorization" hidden:"true"`
		Body          struct {
			Username  string           `json:"username,omitempty" minLength:"1" maxLength:"200" doc:"To sign in; left out by whoever has a token"`
			Password  string           `json:"password,omitempty" minLength:"1" maxLength:"1000"`
			Name      string           `json:"name,omitempty" maxLength:"100" doc:"Of a token for a program"`
			ExpiresAt *time.Time       `json:"expires_at,omitempty" doc:"Of a token with a name: in 90 days unless told otherwise, in 366 at the latest"`
			Scopes    directory.Scopes `json:"scopes,omitempty" maxItems:"2" enum:"read,write" doc:"Of a token with a name: read unless told otherwise; write includes read"`
		}
	}
	type TokenMade struct {
		Status int
		Body   struct {
			ID        int64            `json:"id,omitempty"`
			Token     string           `json:"token" doc:"Shown once"`
			Name      string           `json:"name,omitempty"`
			Scopes    directory.Scopes `json:"scopes,omitempty"`
			ExpiresAt time.Time        `json:"expires_at"`
		}
	}
	op(s, auth.Public, "POST", "/tokens", "create-token", "Sign in for a token, or make one with a name", func(ctx context.Context, in *TokenInput) (*TokenMade, error) {
		b := &in.Body
		out := &TokenMade{Status: http.StatusOK}
		who := whoOf(ctx)
		switch {
		case b.Username == "" && b.Password == "" && in.Authorization != "":
			u, t, err := s.bearer(ctx, in.Authorization)
			if err != nil {
				return nil, err
			}
			if t.Name != "" {
				return nil, control.ErrTokenByToken
			}
			who = control.WhoIs(u, who.From)
		default:
			var e invalid.Error
			if b.Username == "" {
				e.Add("username", "is required")
			}
			if b.Password == "" {
				e.Add("password", "is required")
			}
			if err := e.Err(); err != nil {
				return nil, err
			}
			cred := control.Credentials{Username: b.Username, Password: b.Password, From: who.From}
			if b.Name == "" {
				var err error
				out.Body.Token, out.Body.ExpiresAt, err = s.Control.NewToken(ctx, cred)
				return out, err
			}
			u, err := s.Control.SignIn(ctx, cred)
			if err != nil {
				return nil, err
			}
			who = control.WhoIs(u, who.From)
		}
		terms := control.TokenTerms{Name: b.Name, Scopes: b.Scopes}
		if b.ExpiresAt != nil {
			terms.ExpiresAt = *b.ExpiresAt
		}
		text, t, err := s.Control.NewNamedToken(ctx, who, terms)
		if err != nil {
			return nil, err
		}
		out.Status = http.StatusCreated
		out.Body.ID, out.Body.Token, out.Body.Name, out.Body.Scopes, out.Body.ExpiresAt = t.ID, text, t.Name, t.Scopes, t.ExpiresAt
		return out, nil
	})
	type TokenList struct {
		Tokens []Token `json:"tokens"`
	}
	op(s, auth.SignedIn, "GET", "/tokens", "list-tokens", "The caller's own tokens, newest first", func(ctx context.Context, _ *struct{}) (*body[TokenList], error) {
		list, err := s.Control.Tokens(ctx, whoOf(ctx))
		return one(TokenList{mapped(list, tokenOf)}, err)
	})
	op(s, auth.SignedIn, "DELETE", "/tokens/{id}", "delete-token", "Delete one of the caller's own tokens", func(ctx context.Context, in *IDInput) (*empty, error) {
		return none(s.Control.DeleteToken(ctx, whoOf(ctx), in.ID))
	})
}

// bearer returns the token of an Authorization header, with its user.
func (s *Server) bearer(ctx context.Context, authorization string) (*directory.User, *store.Token, error) {
	const get = "from POST " + prefix + "/tokens"
	text, ok := strings.CutPrefix(authorization, "Bearer ")
	if !ok || text == "" {
		return nil, nil, unauthorized("this call needs a token: Authorization: Bearer, " + get)
	}
	u, t, err := s.Control.Bearer(ctx, text)
	if err == control.ErrSignIn {
		err = unauthorized("the token is not good, or has expired; get another " + get)
	}
	return u, t, err
}
