package adminapi

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"leasehold/internal/auth"
	"leasehold/internal/control"
)

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
	op(s, auth.AdminOnly, "GET", "/settings", "get-settings", "The settings of the organisation", func(ctx context.Context, _ *struct{}) (*tagged[*control.Settings], error) {
		set, err := s.Control.Settings(ctx)
		return record(set, err)
	})
	type SettingsInput struct {
		MatchInput
		Body struct {
			HousekeepingHour      Change[int]    `json:"housekeeping_hour,omitempty"`
			TimeZone              Change[string] `json:"time_zone,omitempty"`
			StoppedDays           Change[int]    `json:"stopped_days,omitempty"`
			LaunchedDays          Change[int]    `json:"launched_days,omitempty"`
			IdleDays              Change[int]    `json:"idle_days,omitempty"`
			HistoryDays           Change[int]    `json:"history_days,omitempty"`
			AuditDays             Change[int]    `json:"audit_days,omitempty"`
			ReasonRequired        Change[bool]   `json:"reason_required,omitempty"`
			ForceSeconds          Change[int]    `json:"force_seconds,omitempty"`
			WaitSeconds           Change[int]    `json:"wait_seconds,omitempty"`
			HeartbeatSeconds      Change[int]    `json:"heartbeat_seconds,omitempty"`
			SignInIdleSeconds     Change[int]    `json:"sign_in_idle_seconds,omitempty"`
			SignInSeconds         Change[int]    `json:"sign_in_seconds,omitempty"`
			UserSessions          Change[int]    `json:"user_sessions,omitempty"`
			UserUnredeemed        Change[int]    `json:"user_unredeemed,omitempty"`
			UserLaunchesPerMinute Change[int]    `json:"user_launches_per_minute,omitempty"`
			UserEventStreams      Change[int]    `json:"user_event_streams,omitempty"`
			UserViewers           Change[int]    `json:"user_viewers,omitempty"`
			HostSlots             Change[int]    `json:"host_slots,omitempty"`
			SigningKeyDays        Change[int]    `json:"signing_key_days,omitempty"`
		}
	}
	op(s, auth.AdminOnly, "PATCH", "/settings", "update-settings", "Change the settings", func(ctx context.Context, in *SettingsInput) (*tagged[*control.Settings], error) {
		set, err := s.Control.UpdateSettings(ctx, whoOf(ctx), func(c *control.Settings) error {
			if err := in.match(c); err != nil {
				return err
			}
			b := &in.Body
			patch(&c.HousekeepingHour, b.HousekeepingHour)
			patch(&c.TimeZone, b.TimeZone)
			patch(&c.StoppedDays, b.StoppedDays)
			patch(&c.LaunchedDays, b.LaunchedDays)
			patch(&c.IdleDays, b.IdleDays)
			patch(&c.HistoryDays, b.HistoryDays)
			patch(&c.AuditDays, b.AuditDays)
			patch(&c.ReasonRequired, b.ReasonRequired)
			patch(&c.ForceSeconds, b.ForceSeconds)
			patch(&c.WaitSeconds, b.WaitSeconds)
			patch(&c.HeartbeatSeconds, b.HeartbeatSeconds)
			patch(&c.SignInIdleSeconds, b.SignInIdleSeconds)
			patch(&c.SignInSeconds, b.SignInSeconds)
			patch(&c.UserSessions, b.UserSessions)
			patch(&c.UserUnredeemed, b.UserUnredeemed)
			patch(&c.UserLaunchesPerMinute, b.UserLaunchesPerMinute)
			patch(&c.UserEventStreams, b.UserEventStreams)
			patch(&c.UserViewers, b.UserViewers)
			patch(&c.HostSlots, b.HostSlots)
			patch(&c.SigningKeyDays, b.SigningKeyDays)
			return nil
		})
		return record(set, err)
	})
}
