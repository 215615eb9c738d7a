package web

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"leasehold/internal/control"
	"leasehold/internal/invalid"
	"leasehold/internal/session"
	"leasehold/internal/store"
)

const settingsPath = "/admin/settings"

// runsShown is how many of the last runs of the housekeeping the page shows.
const runsShown = 7

// A settingsForm is the settings as their form shows them: texts that may not be right yet.
type settingsForm struct {
	Values map[string]string
	Reason bool
	Errors map[string]string
	Error  string // about the form as a whole
	Seen   string // what the settings were like when the form was first shown
	Next   time.Time
	Zone   string
	Runs   []event
	Result *housekept
}

// A housekept is what a run of the housekeeping did, or would do.
type housekept struct {
	Dry   bool
	Title string
	Rows  []fact
	Bad   string // why it did not run
}

func settingsPage(c *call) error {
	if c.takeKept() {
		return c.settingsForm(http.StatusOK, c.typedSettings())
	}
	return c.settingsForm(http.StatusOK, settingsForm{})
}

// typedSettings is the form as it was sent.
func (c *call) typedSettings() settingsForm {
	f := settingsForm{Values: map[string]string{}, Seen: c.r.PostFormValue(seenField), Reason: c.r.PostFormValue("reason_required") == "true"}
	for name := range settingTexts(&control.Settings{}) {
		f.Values[name] = strings.TrimSpace(c.r.PostFormValue(name))
	}
	return f
}

// settingsForm fills in whatever f does not have yet and shows it.
func (c *call) settingsForm(code int, f settingsForm) error {
	ctx := c.r.Context()
	set, err := c.Control.Settings(ctx)
	if err != nil {
		return err
	}
	if f.Values == nil {
		f.Values, f.Reason = settingTexts(set), set.ReasonRequired
	}
	if f.Seen == "" {
		f.Seen = seenText(set)
	}
	f.Zone = set.TimeZone
	if f.Next, err = c.Control.NextHousekeeping(ctx); err != nil {
		return err
	}
	now := time.Now() // not before what was asked above, which may be: now
	if f.Runs, err = c.lastRuns(); err != nil {
		return err
	}
	return c.showAs(code, page{Title: "Settings", Nav: "settings", Now: now}, settingsView(f, now))
}

// settingTexts is the settings as the form writes them.
func settingTexts(s *control.Settings) map[string]string {
	return map[string]string{
		"housekeeping_hour": strconv.Itoa(s.HousekeepingHour), "time_zone": s.TimeZone,
		"stopped_days": strconv.Itoa(s.StoppedDays), "launched_days": strconv.Itoa(s.LaunchedDays), "idle_days": strconv.Itoa(s.IdleDays),
		"history_days": strconv.Itoa(s.HistoryDays), "audit_days": strconv.Itoa(s.AuditDays), "force_seconds": duration(s.ForceSeconds), "wait_seconds": duration(s.WaitSeconds),
		"heartbeat_seconds": duration(s.HeartbeatSeconds), "host_slots": strconv.Itoa(s.HostSlots), "signing_key_days": strconv.Itoa(s.SigningKeyDays),
		"user_sessions": strconv.Itoa(s.UserSessions), "user_unredeemed": strconv.Itoa(s.UserUnredeemed), "user_launches_per_minute": strconv.Itoa(s.UserLaunchesPerMinute),
		"user_event_streams": strconv.Itoa(s.UserEventStreams), "user_viewers": strconv.Itoa(s.UserViewers), "sign_in_idle_seconds": duration(s.SignInIdleSeconds), "sign_in_seconds": duration(s.SignInSeconds),
	}
}

// saveSettings stores what the form says, or shows it again with what is wrong.
func saveSettings(c *call) error {
	get := func(name string) string { return strings.TrimSpace(c.r.PostFormValue(name)) }
	_, err := c.Control.UpdateSettings(c.r.Context(), c.who(), func(s *control.Settings) error {
		if err := c.fresh(s); err != nil {
			return err
		}
		var e invalid.Error
		for _, x := range []struct {
			name string
			to   *int
			long bool // a length of time with its unit, else a number
		}{{"housekeeping_hour", &s.HousekeepingHour, false}, {"stopped_days", &s.StoppedDays, false}, {"launched_days", &s.LaunchedDays, false},
			{"idle_days", &s.IdleDays, false}, {"history_days", &s.HistoryDays, false}, {"audit_days", &s.AuditDays, false}, {"force_seconds", &s.ForceSeconds, true},
			{"wait_seconds", &s.WaitSeconds, true}, {"heartbeat_seconds", &s.HeartbeatSeconds, true},
			{"host_slots", &s.HostSlots, false}, {"signing_key_days", &s.SigningKeyDays, false}, {"user_sessions", &s.UserSessions, false}, {"user_unredeemed", &s.UserUnredeemed, false},
			{"user_launches_per_minute", &s.UserLaunchesPerMinute, false}, {"user_event_streams", &s.UserEventStreams, false}, {"user_viewers", &s.UserViewers, false}, {"sign_in_idle_seconds", &s.SignInIdleSeconds, true}, {"sign_in_seconds", &s.SignInSeconds, true}} {
			if !c.r.PostForm.Has(x.name) {
				continue // the form is of a version before, or says nothing of it
			}
			n, err := strconv.Atoi(get(x.name))
			if x.long {
				if m, ok := parseDuration(get(x.name)); ok {
					n, err = m, nil
				} else {
					e.Add(x.name, "must be a length of time, as 90 s, 5 min or 1 h")
					continue
				}
			}
			if err != nil {
				e.Add(x.name, "must be a whole number")
				continue
			}
			*x.to = n
		}
		s.TimeZone, s.ReasonRequired = get("time_zone"), get("reason_required") == "true"
		// What the rules say of the rest is said at once, and not after a second attempt.
		var bad invalid.Error
		if err := s.Validate(); errors.As(err, &bad) {
			e = append(e, bad...)
		}
		return e.Err()
	})
	if err == nil {
		c.setFlash(toast{Text: "The settings are saved."})
		return c.redirect(settingsPath)
	}
	var stale *staleError
	var errs map[string]string
	if !errors.As(err, &stale) {
		if errs, err = wrong(err); err != nil {
			return err
		}
	}
	f := c.typedSettings()
	f.Errors, f.Error = errs, "Nothing was saved. What is wrong stands at the fields."
	if stale != nil {
		f.Error, f.Seen = stale.Error(), ""
		return c.settingsForm(http.StatusConflict, f)
	}
	return c.settingsForm(http.StatusUnprocessableEntity, f)
}

// lastRuns is the latest runs of the housekeeping, from the audit log.
func (c *call) lastRuns() ([]event, error) {
	list, _, err := c.Control.Audit(c.r.Context(), store.AuditQuery{Action: control.ActionHousekeeping, Page: store.Page{Size: runsShown}})
	var out []event
	for _, e := range list {
		out = append(out, event{At: e.At, Who: e.Actor, To: e.Outcome})
	}
	return out, err
}

// housekeepPage asks before the housekeeping is run by hand.
func housekeepPage(c *call) error {
	return c.show(page{Title: "Run housekeeping now", Nav: "settings"}, confirmView(confirmation{
		Action: settingsPath + "/housekeeping", Verb: "Run now", Title: "Run housekeeping now", Back: settingsPath, NoReason: true, Page: true,
		Hidden:  [][2]string{{"do", "run"}},
		Happens: "It does now what it does each day: takes off the list what was removed or expired before today, expires what has been at rest for too long, and forgets history that is not kept any longer.",
		Not:     "It does not end an app that runs. The daily run takes place all the same.",
	}))
}

// housekeep runs the housekeeping, or says what a run would do.
func housekeep(c *call) error {
	dry := c.r.PostFormValue("do") != "run"
	did, err := c.Control.Housekeep(c.r.Context(), c.who(), dry)
	if errors.Is(err, control.ErrBusy) {
		return c.settingsForm(http.StatusConflict, settingsForm{Result: &housekept{Bad: "Housekeeping is running already, on another node of the server. Look again in a minute."}})
	}
	if err != nil {
		return err
	}
	return c.settingsForm(http.StatusOK, settingsForm{Result: housekeptOf(did)})
}

func housekeptOf(h *control.Housekept) *housekept {
	out := &housekept{Dry: h.DryRun, Title: "Housekeeping ran for " + h.Day}
	if h.DryRun {
		out.Title = "What a run for " + h.Day + " would do"
	}
	out.Rows = append(out.Rows, fact{Name: "Taken off the list", Text: plural(h.Deleted, "session")})
	var was []session.Status
	for s := range h.Expired {
		was = append(was, s)
	}
	slices.Sort(was)
	for _, s := range was {
		out.Rows = append(out.Rows, fact{Name: "Expired, was " + label(string(s)), Text: plural(h.Expired[s], "session")})
	}
	if len(was) == 0 {
		out.Rows = append(out.Rows, fact{Name: "Expired", Text: "0 sessions"})
	}
	out.Rows = append(out.Rows, fact{Name: "History forgotten", Text: plural(h.Forgotten, "session")})
	return out
}
