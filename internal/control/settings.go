package control

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"leasehold/internal/calendar"
	"leasehold/internal/invalid"
	"leasehold/internal/session"
	"leasehold/internal/store"
	"leasehold/internal/wire"
)

// settingAll is the setting that holds what administrators have set.
const settingAll = "settings"

// Settings are what administrators set for the whole organisation. Seconds and days are
// whole ones.
type Settings struct {
	HousekeepingHour      int    `json:"housekeeping_hour" doc:"The hour of the daily housekeeping, 0 to 23, in the time zone"`
	TimeZone              string `json:"time_zone" doc:"An IANA time zone, as Europe/Berlin: of housekeeping, and of whole days"`
	StoppedDays           int    `json:"stopped_days" doc:"A stopped session without activity for so long expires"`
	LaunchedDays          int    `json:"launched_days" doc:"A session that was launched and never added expires after so long"`
	IdleDays              int    `json:"idle_days" doc:"One that was added, evicted, or waits for its upgrade, likewise"`
	HistoryDays           int    `json:"history_days" doc:"How long the history of a deleted session is kept"`
	AuditDays             int    `json:"audit_days" doc:"How long entries of the audit log are kept"`
	ReasonRequired        bool   `json:"reason_required" doc:"Evict, expire, kill and revoke ask for a reason"`
	ForceSeconds          int    `json:"force_seconds" doc:"From the polite close of an app to its end by force"`
	WaitSeconds           int    `json:"wait_seconds" doc:"How long an app may wait for its first lease before it is warned"`
	HeartbeatSeconds      int    `json:"heartbeat_seconds" doc:"Between the check-ins of an agent with no live session"`
	SignInIdleSeconds     int    `json:"sign_in_idle_seconds" doc:"A sign-in with a browser ends when nobody has used it for so long"`
	SignInSeconds         int    `json:"sign_in_seconds" doc:"A sign-in with a browser ends after so long, however much it is used"`
	UserSessions          int    `json:"user_sessions" doc:"How many sessions that are not over a user may have"`
	UserUnredeemed        int    `json:"user_unredeemed" doc:"How many launch links that no device has opened yet a user may have"`
	UserLaunchesPerMinute int    `json:"user_launches_per_minute" doc:"How many apps a user may launch within a minute"`
	UserEventStreams      int    `json:"user_event_streams" doc:"How many pages that are kept up to date a user may have open, on a node"`
	UserViewers           int    `json:"user_viewers" doc:"How many windows that show streamed apps a user may have open, on a node"`
	SigningKeyDays        int    `json:"signing_key_days" doc:"How long a key signs leases before the next one does"`
	HostSlots             int    `json:"host_slots" doc:"How many sessions a stream host has at once at the most, whatever it says"`

	// The largest that were ever set. An app keeps those it was added with, so what may
	// still be running is reckoned with the largest, or a seat would be free too early.
	largest largest
}

type largest struct {
	Force int `json:"largest_force"`
	Wait  int `json:"largest_wait"`
}

// stored is the form in which settings are kept.
type stored struct {
	Settings
	largest
}

// defaults are the settings of an organisation that has set none.
func (c *Control) defaults() Settings {
	s := Settings{
		HousekeepingHour: 2, TimeZone: "UTC", StoppedDays: 30, LaunchedDays: 2, IdleDays: 30, HistoryDays: 400, AuditDays: 400, HostSlots: 64, SigningKeyDays: 90, SignInIdleSeconds: 2 * 3600, SignInSeconds: 12 * 3600,
		ForceSeconds: int(c.Config.Force / time.Second), WaitSeconds: int(c.Config.Wait / time.Second), HeartbeatSeconds: int(c.Config.Heartbeat / time.Second),
	}
	s.largest = largest{s.ForceSeconds, s.WaitSeconds}
	for _, l := range limits {
		*l.of(&s) = cmp.Or(*l.std(&c.Config.Limits), *l.std(&defaultLimits))
	}
	return s
}

// Validate returns an [invalid.Error] that names each field which is not right.
func (s *Settings) Validate() error {
	var e invalid.Error
	e.Range("housekeeping_hour", s.HousekeepingHour, 0, 23)
	if _, err := calendar.Zone(s.TimeZone); err != nil {
		e.Add("time_zone", "must be an IANA time zone, as Europe/Berlin or UTC")
	}
	e.Range("stopped_days", s.StoppedDays, 1, 3650)
	e.Range("launched_days", s.LaunchedDays, 1, 3650)
	e.Range("idle_days", s.IdleDays, 1, 3650)
	e.Range("history_days", s.HistoryDays, 1, 36500)
	e.Range("audit_days", s.AuditDays, 1, 36500)
	e.Range("sign_in_idle_seconds", s.SignInIdleSeconds, 60, 30*86400)
	e.Range("sign_in_seconds", s.SignInSeconds, 60, 30*86400)
	for _, l := range limits {
		e.Range(l.name, *l.of(s), 1, *l.std(&MaxLimits))
	}
	e.Range("signing_key_days", s.SigningKeyDays, 1, 3650)
	e.Range("host_slots", s.HostSlots, 1, wire.MaxSessions)
	for _, m := range margins {
		e.Range(m.name+"_seconds", *m.of(s), m.min, m.max)
	}
	return e.Err()
}

// margins are the settings whose defaults a server is started with.
var margins = []struct {
	name     string
	min, max int
	of       func(*Settings) *int
	config   func(*Config) time.Duration
}{
	{"force", 1, 600, func(s *Settings) *int { return &s.ForceSeconds }, func(c *Config) time.Duration { return c.Force }},
	{"wait", 1, 600, func(s *Settings) *int { return &s.WaitSeconds }, func(c *Config) time.Duration { return c.Wait }},
	{"heartbeat", 1, 86400, func(s *Settings) *int { return &s.HeartbeatSeconds }, func(c *Config) time.Duration { return c.Heartbeat }},
}

// Validate returns an [invalid.Error] that names each default which could not be set as a
// setting: force, wait, heartbeat.
func (c *Config) Validate() error {
	var e invalid.Error
	for _, m := range margins {
		d := m.config(c)
		if d%time.Second != 0 || d < time.Duration(m.min)*time.Second || d > time.Duration(m.max)*time.Second {
			e.Add(m.name, "must be whole seconds, between %ds and %ds", m.min, m.max)
		}
	}
	return e.Err()
}

// Periods are those of the daily cleanup.
func (s *Settings) Periods() session.Periods {
	return session.Periods{Stopped: calendar.Days(s.StoppedDays), Launched: calendar.Days(s.LaunchedDays), Idle: calendar.Days(s.IdleDays)}
}

// Location is the time zone.
func (s *Settings) Location() *time.Location {
	if l, err := calendar.Zone(s.TimeZone); err == nil {
		return l
	}
	return time.UTC
}

// force is the force margin that leases are granted with.
func (s *Settings) force() time.Duration     { return time.Duration(s.largest.Force) * time.Second }
func (s *Settings) heartbeat() time.Duration { return time.Duration(s.HeartbeatSeconds) * time.Second }

// unauthorised is how long an app may run from its start without any lease.
func (s *Settings) unauthorised(window time.Duration) time.Duration {
	return time.Duration(s.largest.Wait)*time.Second + window + s.force()
}

func (c *Control) settings(tx store.Tx) (*Settings, error) {
	s := c.defaults()
	v, err := tx.Setting(settingAll)
	if err != nil || v == "" {
		return &s, err
	}
	kept := stored{s, s.largest}
	if err := json.Unmarshal([]byte(v), &kept); err != nil {
		return nil, fmt.Errorf("control: settings: %w", err)
	}
	kept.Settings.largest = largest{max(kept.largest.Force, s.ForceSeconds), max(kept.largest.Wait, s.WaitSeconds)}
	return &kept.Settings, nil
}

// Settings returns the settings that hold.
func (c *Control) Settings(ctx context.Context) (s *Settings, err error) {
	err = c.Store.View(ctx, func(tx store.Tx) error {
		s, err = c.settings(tx)
		return err
	})
	return s, err
}

// UpdateSettings lets change alter the settings and stores them. Leases that are out keep
// the margins they were granted with.
func (c *Control) UpdateSettings(ctx context.Context, who Who, change func(*Settings) error) (s *Settings, err error) {
	err = c.admin(ctx, who, "settings.update", "", func(tx store.Tx) (string, string, error) {
		if s, err = c.settings(tx); err != nil {
			return "", "", err
		}
		if err := change(s); err != nil {
			return "", "", err
		}
		if err := s.Validate(); err != nil {
			return "", "", err
		}
		s.largest.Force, s.largest.Wait = max(s.largest.Force, s.ForceSeconds), max(s.largest.Wait, s.WaitSeconds)
		b, err := json.Marshal(stored{*s, s.largest})
		if err != nil {
			return "", "", err
		}
		return "settings", "Settings", tx.SetSetting(settingAll, string(b))
	})
	return s, err
}
