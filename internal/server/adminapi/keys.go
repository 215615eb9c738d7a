package adminapi

import (
	"context"
	"net/http"
	"net/netip"
	"time"

	"leasehold/internal/auth"
	"leasehold/internal/control"
	"leasehold/internal/directory"
	"leasehold/internal/store"
	"leasehold/internal/wire"
)

// EnrolmentKey is a key as the API shows it: without its text.
type EnrolmentKey struct {
	ID        int64               `json:"id"`
	Kind      wire.AgentKind      `json:"kind" enum:"player,host"`
	UsesLeft  int                 `json:"uses_left" doc:"How many machines it still lets in"`
	ExpiresAt time.Time           `json:"expires_at"`
	RevokedAt *time.Time          `json:"revoked_at"`
	Networks  []string            `json:"networks" doc:"From which it is good; empty: from anywhere"`
	Pool      string              `json:"pool,omitempty" doc:"Of the hosts that enrol with it"`
	Approved  bool                `json:"approved" doc:"Hosts that enrol with it need no approval"`
	Ownership directory.Ownership `json:"ownership" enum:"organisation,own"`
	Simulated bool                `json:"simulated,omitempty"`
	CreatedBy string              `json:"created_by"`
	CreatedAt time.Time           `json:"created_at"`
}

func keyOf(k *store.EnrolmentKey) EnrolmentKey {
	return EnrolmentKey{k.ID, k.Kind, k.UsesLeft, k.ExpiresAt, ptr(k.RevokedAt), mapped(k.Networks, netip.Prefix.String), k.Pool, k.Approved, k.Ownership, k.Simulated, k.CreatedBy, k.CreatedAt}
}

// enrolmentKeys adds the operations on the keys with which machines enrol.
func (s *Server) enrolmentKeys() {
	type KeyList struct {
		EnrolmentKeys []EnrolmentKey `json:"enrolment_keys"`
		NextPageToken string         `json:"next_page_token"`
	}
	type KeysInput struct {
		PageSize  int    `query:"page_size" default:"50" minimum:"1" maximum:"500"`
		PageToken string `query:"page_token" maxLength:"20"`
	}
	op(s, auth.AdminOnly, "GET", "/enrolment-keys", "list-enrolment-keys", "List enrolment keys, newest first", func(ctx context.Context, in *KeysInput) (*body[KeyList], error) {
		list, next, err := s.Control.EnrolmentKeys(ctx, store.Page{Size: in.PageSize, Token: in.PageToken})
		return one(KeyList{mapped(list, keyOf), next}, err)
	})
	type KeyInput struct {
		Body struct {
			Kind      wire.AgentKind      `json:"kind" enum:"player,host"`
			Uses      *int                `json:"uses,omitempty" minimum:"1" maximum:"1000000" doc:"How many machines it lets in; 1 unless told otherwise"`
			ExpiresAt *time.Time          `json:"expires_at,omitempty" doc:"In 30 days unless told otherwise, in 366 at the latest"`
			Networks  []string            `json:"networks,omitempty" doc:"From which it is good, in CIDR notation; from anywhere unless told otherwise"`
			Pool      string              `json:"pool,omitempty" maxLength:"100" doc:"Of the hosts that enrol with it"`
			Approved  bool                `json:"approved,omitempty" doc:"Hosts that enrol with it need no approval"`
			Ownership directory.Ownership `json:"ownership,omitempty" enum:"organisation,own" doc:"Whose the machines are; the organisation's by default"`
			Simulated bool                `json:"simulated,omitempty" doc:"What enrols with it is labelled as simulated"`
		}
	}
	type KeyMade struct {
		ID  int64  `json:"id"`
		Key string `json:"key" doc:"Shown once"`
	}
	op(s, auth.AdminOnly, "POST", "/enrolment-keys", "create-enrolment-key", "A key with which machines enrol", func(ctx context.Context, in *KeyInput) (*body[KeyMade], error) {
		b := &in.Body
		terms := control.KeyTerms{Kind: b.Kind, Pool: b.Pool, Approved: b.Approved, Ownership: b.Ownership, Simulated: b.Simulated}
		if b.Uses != nil {
			terms.Uses = *b.Uses
		}
		if b.ExpiresAt != nil {
			terms.ExpiresAt = *b.ExpiresAt
		}
		var err error
		if terms.Networks, err = networks(b.Networks); err != nil {
			return nil, err
		}
		key, k, err := s.Control.NewEnrolmentKey(ctx, whoOf(ctx), terms)
		if err != nil {
			return nil, err
		}
		return one(KeyMade{k.ID, key}, nil)
	}, status(http.StatusCreated))
	op(s, auth.AdminOnly, "GET", "/enrolment-keys/{id}", "get-enrolment-key", "One enrolment key", func(ctx context.Context, in *IDInput) (*body[EnrolmentKey], error) {
		k, err := s.Control.EnrolmentKey(ctx, in.ID)
		if err != nil {
			return nil, err
		}
		return one(keyOf(k), nil)
	})
	op(s, auth.AdminOnly, "DELETE", "/enrolment-keys/{id}", "revoke-enrolment-key", "Revoke an enrolment key", func(ctx context.Context, in *IDInput) (*empty, error) {
		return none(s.Control.RevokeEnrolmentKey(ctx, whoOf(ctx), in.ID))
	})
}
