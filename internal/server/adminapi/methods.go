package adminapi

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"leasehold/internal/auth"
	"leasehold/internal/catalog"
	"leasehold/internal/directory"
	"leasehold/internal/invalid"
	"leasehold/internal/session"
)

// DeliveryMethod is a delivery method as the API shows it.
type DeliveryMethod struct {
	ID               int64                   `json:"id"`
	AppID            int64                   `json:"app_id"`
	Name             string                  `json:"name"`
	Kind             session.Kind            `json:"kind" enum:"device,stream"`
	Licence          catalog.Licence         `json:"licence"`
	HeartbeatSeconds int                     `json:"heartbeat_seconds"`
	WarningsSeconds  []int                   `json:"warnings_seconds"`
	SuccessorID      *int64                  `json:"successor_id"`
	Packages         []catalog.Package       `json:"packages"`
	Stream           *catalog.StreamSettings `json:"stream,omitempty"`
	CreatedAt        time.Time               `json:"created_at"`
}

func methodOf(d *catalog.DeliveryMethod) DeliveryMethod {
	m := DeliveryMethod{ID: d.ID, AppID: d.AppID, Name: d.Name, Kind: d.Kind, Licence: d.Licence, HeartbeatSeconds: d.HeartbeatSeconds,
		WarningsSeconds: d.WarningsSeconds, Packages: d.Packages, Stream: d.Stream, CreatedAt: d.CreatedAt}
	if d.SuccessorID != 0 {
		m.SuccessorID = &d.SuccessorID
	}
	return m
}

func (s *Server) methods() {
	type DeliveryMethodList struct {
		DeliveryMethods []DeliveryMethod `json:"delivery_methods"`
		NextPageToken   string           `json:"next_page_token"`
	}
	type listInput struct {
		PageInput
		AppID int64 `query:"app_id" minimum:"1"`
	}
	op(s, auth.AdminOnly, "GET", "/delivery-methods", "list-delivery-methods", "List delivery methods", func(ctx context.Context, in *listInput) (*body[DeliveryMethodList], error) {
		ds, next, err := s.Control.ListDeliveryMethods(ctx, in.AppID, in.Q, in.page())
		return one(DeliveryMethodList{mapped(ds, methodOf), next}, err)
	})
	type DeliveryMethodCreate struct {
		Body struct {
			AppID            int64                   `json:"app_id"`
			Name             string                  `json:"name"`
			Kind             session.Kind            `json:"kind,omitempty"`
			Licence          catalog.Licence         `json:"licence,omitempty"`
			HeartbeatSeconds int                     `json:"heartbeat_seconds,omitempty"`
			WarningsSeconds  []int                   `json:"warnings_seconds,omitempty"`
			SuccessorID      int64                   `json:"successor_id,omitempty"`
			Packages         []catalog.Package       `json:"packages"`
			Stream           *catalog.StreamSettings `json:"stream,omitempty"`
		}
	}
	op(s, auth.AdminOnly, "POST", "/delivery-methods", "create-delivery-method", "Create a delivery method", func(ctx context.Context, in *DeliveryMethodCreate) (*tagged[DeliveryMethod], error) {
		b := &in.Body
		d := &catalog.DeliveryMethod{AppID: b.AppID, Name: b.Name, Kind: b.Kind, Licence: b.Licence, HeartbeatSeconds: b.HeartbeatSeconds,
			WarningsSeconds: b.WarningsSeconds, SuccessorID: b.SuccessorID, Packages: b.Packages, Stream: b.Stream}
		err := s.Control.CreateDeliveryMethod(ctx, whoOf(ctx), d)
		return record(methodOf(d), err)
	}, status(http.StatusCreated))
	op(s, auth.AdminOnly, "GET", "/delivery-methods/{id}", "get-delivery-method", "One delivery method", func(ctx context.Context, in *IDInput) (*tagged[DeliveryMethod], error) {
		d, err := s.Control.DeliveryMethod(ctx, in.ID)
		if err != nil {
			return nil, err
		}
		return record(methodOf(d), nil)
	})
	type DeliveryMethodUpdate struct {
		UpdateInput
		Body struct {
			Name             Change[string]                  `json:"name,omitempty"`
			Licence          Change[catalog.Licence]         `json:"licence,omitempty"`
			HeartbeatSeconds Change[int]                     `json:"heartbeat_seconds,omitempty"`
			WarningsSeconds  Change[[]int]                   `json:"warnings_seconds,omitempty"`
			SuccessorID      Change[*int64]                  `json:"successor_id,omitempty" doc:"null for none"`
			Packages         Change[[]catalog.Package]       `json:"packages,omitempty"`
			Stream           Change[*catalog.StreamSettings] `json:"stream,omitempty"`
		}
	}
	op(s, auth.AdminOnly, "PATCH", "/delivery-methods/{id}", "update-delivery-method", "Change a delivery method", func(ctx context.Context, in *DeliveryMethodUpdate) (*tagged[DeliveryMethod], error) {
		d, err := s.Control.UpdateDeliveryMethod(ctx, whoOf(ctx), in.ID, func(d *catalog.DeliveryMethod) error {
			if err := in.match(methodOf(d)); err != nil {
				return err
			}
			b := &in.Body
			patch(&d.Name, b.Name)
			patch(&d.Licence, b.Licence)
			patch(&d.HeartbeatSeconds, b.HeartbeatSeconds)
			patch(&d.WarningsSeconds, b.WarningsSeconds)
			patchNone(&d.SuccessorID, b.SuccessorID)
			patch(&d.Packages, b.Packages)
			patch(&d.Stream, b.Stream)
			return nil
		})
		if err != nil {
			return nil, err
		}
		return record(methodOf(d), nil)
	})
	op(s, auth.AdminOnly, "DELETE", "/delivery-methods/{id}", "delete-delivery-method", "Delete a delivery method", func(ctx context.Context, in *DeleteInput) (*empty, error) {
		return none(s.Control.DeleteDeliveryMethod(ctx, whoOf(ctx), in.ID, in.ending()))
	})
}

// Provision is a provision as the API shows it.
type Provision struct {
	ID                int64               `json:"id"`
	Name              string              `json:"name"`
	UserIDs           []int64             `json:"user_ids"`
	GroupIDs          []int64             `json:"group_ids"`
	DeliveryMethodIDs []int64             `json:"delivery_method_ids"`
	StartsAt          *time.Time          `json:"starts_at"`
	EndsAt            *time.Time          `json:"ends_at"`
	Enabled           bool                `json:"enabled"`
	Ownership         directory.Ownership `json:"device_ownership" enum:",organisation,own" doc:"Of the devices it is for; empty for any"`
	Networks          []netip.Prefix      `json:"networks" doc:"That it is for, in CIDR notation; none for any"`
	Exceptions        []Exception         `json:"exceptions" doc:"Whom it would let in, but not to these apps"`
	CreatedAt         time.Time           `json:"created_at"`
}

func provisionOf(p *directory.Provision) Provision {
	return Provision{p.ID, p.Name, numbers(p.UserIDs), numbers(p.GroupIDs), numbers(p.DeliveryMethodIDs), ptr(p.StartsAt), ptr(p.EndsAt), p.Enabled,
		p.Ownership, append([]netip.Prefix{}, p.Networks...), mapped(p.Exceptions, func(x directory.Exception) Exception { return Exception(x) }), p.CreatedAt}
}

// Exception takes an app from a user who a provision would let in.
type Exception struct {
	UserID int64 `json:"user_id" minimum:"1"`
	AppID  int64 `json:"app_id" minimum:"1"`
}

// networks reads networks in CIDR notation; an address alone is a network of one.
func networks(list []string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for i, s := range list {
		n, err := directory.ParseNetwork(s)
		if err != nil {
			return nil, invalid.Of(fmt.Sprintf("networks.%d", i), "%s", err.Error())
		}
		out = append(out, n)
	}
	return out, nil
}

func exceptions(list []Exception) []directory.Exception {
	return mapped(list, func(x Exception) directory.Exception { return directory.Exception(x) })
}

// timeOf is a time of a body; null is none.
func timeOf(e *invalid.Error, field string, t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return e.Time(field, *t)
}

func (s *Server) provisions() {
	type ProvisionList struct {
		Provisions    []Provision `json:"provisions"`
		NextPageToken string      `json:"next_page_token"`
	}
	op(s, auth.AdminOnly, "GET", "/provisions", "list-provisions", "List provisions", func(ctx context.Context, in *PageInput) (*body[ProvisionList], error) {
		ps, next, err := s.Control.ListProvisions(ctx, in.Q, in.page())
		return one(ProvisionList{mapped(ps, provisionOf), next}, err)
	})
	type ProvisionCreate struct {
		Body struct {
			Name              string              `json:"name"`
			UserIDs           []int64             `json:"user_ids,omitempty"`
			GroupIDs          []int64             `json:"group_ids,omitempty"`
			DeliveryMethodIDs []int64             `json:"delivery_method_ids,omitempty"`
			StartsAt          *time.Time          `json:"starts_at,omitempty"`
			EndsAt            *time.Time          `json:"ends_at,omitempty"`
			Enabled           *bool               `json:"enabled,omitempty" default:"true"`
			Ownership         directory.Ownership `json:"device_ownership,omitempty" enum:",organisation,own"`
			Networks          []string            `json:"networks,omitempty"`
			Exceptions        []Exception         `json:"exceptions,omitempty"`
		}
	}
	op(s, auth.AdminOnly, "POST", "/provisions", "create-provision", "Create a provision", func(ctx context.Context, in *ProvisionCreate) (*tagged[Provision], error) {
		b := &in.Body
		nets, err := networks(b.Networks)
		if err != nil {
			return nil, err
		}
		var e invalid.Error
		starts, ends := timeOf(&e, "starts_at", b.StartsAt), timeOf(&e, "ends_at", b.EndsAt)
		if err := e.Err(); err != nil {
			return nil, err
		}
		p := &directory.Provision{Name: b.Name, UserIDs: b.UserIDs, GroupIDs: b.GroupIDs, DeliveryMethodIDs: b.DeliveryMethodIDs,
			StartsAt: starts, EndsAt: ends, Enabled: b.Enabled == nil || *b.Enabled,
			Ownership: b.Ownership, Networks: nets, Exceptions: exceptions(b.Exceptions)}
		err = s.Control.CreateProvision(ctx, whoOf(ctx), p)
		return record(provisionOf(p), err)
	}, status(http.StatusCreated))
	op(s, auth.AdminOnly, "GET", "/provisions/{id}", "get-provision", "One provision", func(ctx context.Context, in *IDInput) (*tagged[Provision], error) {
		p, err := s.Control.Provision(ctx, in.ID)
		if err != nil {
			return nil, err
		}
		return record(provisionOf(p), nil)
	})
	type ProvisionUpdate struct {
		UpdateInput
		Body struct {
			Name              Change[string]              `json:"name,omitempty"`
			UserIDs           Change[[]int64]             `json:"user_ids,omitempty"`
			GroupIDs          Change[[]int64]             `json:"group_ids,omitempty"`
			DeliveryMethodIDs Change[[]int64]             `json:"delivery_method_ids,omitempty"`
			StartsAt          Change[*time.Time]          `json:"starts_at,omitempty"`
			EndsAt            Change[*time.Time]          `json:"ends_at,omitempty"`
			Enabled           Change[bool]                `json:"enabled,omitempty"`
			Ownership         Change[directory.Ownership] `json:"device_ownership,omitempty" enum:",organisation,own"`
			Networks          Change[[]string]            `json:"networks,omitempty"`
			Exceptions        Change[[]Exception]         `json:"exceptions,omitempty"`
			EndingBody
		}
	}
	op(s, auth.AdminOnly, "PATCH", "/provisions/{id}", "update-provision", "Change or disable a provision", func(ctx context.Context, in *ProvisionUpdate) (*tagged[Provision], error) {
		p, err := s.Control.UpdateProvision(ctx, whoOf(ctx), in.ID, in.Body.ending(), func(p *directory.Provision) error {
			if err := in.match(provisionOf(p)); err != nil {
				return err
			}
			b := &in.Body
			patch(&p.Name, b.Name)
			patch(&p.UserIDs, b.UserIDs)
			patch(&p.GroupIDs, b.GroupIDs)
			patch(&p.DeliveryMethodIDs, b.DeliveryMethodIDs)
			patch(&p.Enabled, b.Enabled)
			patch(&p.Ownership, b.Ownership)
			if b.Networks.given {
				nets, err := networks(b.Networks.value)
				if err != nil {
					return err
				}
				p.Networks = nets
			}
			if b.Exceptions.given {
				p.Exceptions = exceptions(b.Exceptions.value)
			}
			var e invalid.Error
			if b.StartsAt.given {
				p.StartsAt = timeOf(&e, "starts_at", b.StartsAt.value)
			}
			if b.EndsAt.given {
				p.EndsAt = timeOf(&e, "ends_at", b.EndsAt.value)
			}
			return e.Err()
		})
		if err != nil {
			return nil, err
		}
		return record(provisionOf(p), nil)
	})
	op(s, auth.AdminOnly, "DELETE", "/provisions/{id}", "delete-provision", "Delete a provision", func(ctx context.Context, in *DeleteInput) (*empty, error) {
		return none(s.Control.DeleteProvision(ctx, whoOf(ctx), in.ID, in.ending()))
	})
}
