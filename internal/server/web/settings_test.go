package web

import (
	"strings"
	"testing"
	"time"

	"leasehold/internal/session"
)

func settingsOf(pairs ...string) map[string][]string {
	v := vals("housekeeping_hour", "3", "time_zone", "Europe/Berlin", "stopped_days", "20", "launched_days", "1", "idle_days", "40", "audit_days", "200", "history_days", "100",
		"force_seconds", "20 s", "wait_seconds", "45", "heartbeat_seconds", "10 min")
	for i := 0; i+1 < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return v
}

func TestSettings(t *testing.T) {
	s := newSite(t)
	olga := s.as("olga")
	olga.get("/admin/settings").is(200).has(`aria-current="page"`, `value="UTC"`, `name="stopped_days" type="text" value="30"`, `value="30 s"`, "A reason is mandatory",
		"Dry run", "Run now", "It has not run yet.", "it begins at once")
	s.must(s.c.HousekeepDaily(t.Context()))
	olga.get("/admin/settings").has("The next one begins in", "at 02:00 UTC")

	// What is wrong is said at each field at once, and what was typed is kept.
	olga.post("/admin/settings", settingsOf("housekeeping_hour", "25", "time_zone", "Mars/Base", "stopped_days", "soon", "force_seconds", "an hour", "reason_required", "true")).is(422).
		has("Nothing was saved", `id="housekeeping_hour-error"`, `id="time_zone-error"`, "Must be an IANA time zone", `id="stopped_days-error"`, "Must be a whole number.",
			`id="force_seconds-error"`, "Must be a length of time", `value="Mars/Base"`, `value="soon"`, `value="true" checked`)
	set, err := s.c.Settings(t.Context())
	s.must(err)
	if set.HousekeepingHour != 2 || set.ReasonRequired {
		t.Errorf("a form that was refused has changed %+v", set)
	}

	olga.post("/admin/settings", settingsOf("reason_required", "true")).is(200).has("The settings are saved.", `value="Europe/Berlin"`, `value="10 min"`, `value="true" checked`, "at 03:00 Europe/Berlin")
	set, err = s.c.Settings(t.Context())
	s.must(err)
	if set.HousekeepingHour != 3 || set.WaitSeconds != 45 || set.ForceSeconds != 20 || set.HistoryDays != 100 || !set.ReasonRequired {
		t.Errorf("the settings are now %+v", set)
	}
	olga.get("/admin/audit").has("settings update")

	// A reason is asked for now, wherever a session is ended.
	app, _ := s.app("MATLAB")
	id := s.launch(app.ID, s.device("LAB-204"), true)
	page := "/admin/sessions/" + num(id)
	for _, do := range []string{"/evict", "/revoke"} {
		olga.get(page + do).is(200).has(`aria-required="true"`).lacks("optional")
		olga.post(page+do, nil).is(422).has(`id="reason-error"`, "Is required by the settings; say why.")
	}
	olga.post(page+"/evict", vals("reason", "Exam")).is(200).has("is evicted")
}

func TestHousekeepingByHand(t *testing.T) {
	s := newSite(t)
	app, _ := s.app("MATLAB")
	lab := s.device("LAB-204")
	id := s.launch(app.ID, lab, true)
	s.exit(lab, id)
	olga := s.as("olga")
	olga.post("/admin/settings/housekeeping", vals("do", "dry")).is(200).has("What a run for "+time.Now().UTC().Format(time.DateOnly), "Nothing was changed.", "0 sessions", "It has not run yet.")
	olga.get("/admin/settings/housekeeping").is(200).has("Run housekeeping now", `name="do" value="run"`).lacks("data-confirm")
	olga.post("/admin/settings/housekeeping", vals("do", "run")).is(200).has("Housekeeping ran for", "Admin olga", "Deleted 0, expired 0").lacks("It has not run yet.")
	if got := s.status(id); got != session.Stopped {
		t.Errorf("the session is %s: nothing was due", got)
	}
	s.as("ann").post("/admin/settings/housekeeping", vals("do", "run")).is(403)
	s.as("ann").get("/admin/settings").is(403)
}

// status is a session's status in the store.
func (s *site) status(id int64) session.Status {
	s.t.Helper()
	rows, _, err := s.c.SessionRows(s.t.Context(), []int64{id})
	s.must(err)
	return rows[0].Status
}

func TestSettingsInTheBrowser(t *testing.T) {
	s := newSite(t)
	w := s.window()
	w.Open("/admin/settings")
	w.Run(`document.querySelector('[name=time_zone]').value = 'Nowhere'; document.querySelector('form.settings').requestSubmit()`)
	w.Wait(`document.querySelector('#time_zone-error')`)
	w.Hush() // the browser logs the 422
	w.Run(`document.querySelector('[name=time_zone]').value = 'Asia/Tokyo'; document.querySelector('[name=reason_required]').click(); document.querySelector('form.settings').requestSubmit()`)
	w.Wait(`document.querySelector('[data-toast]')?.innerText.includes('The settings are saved')`)
	set, err := s.c.Settings(t.Context())
	s.must(err)
	if set.TimeZone != "Asia/Tokyo" || !set.ReasonRequired {
		t.Errorf("the settings are %+v", set)
	}
	// A dry run first, then the run, from its dialog.
	w.Run(`document.querySelector('[value=dry]').click()`)
	w.Wait(`document.querySelector('.notice')?.innerText.includes('would do')`)
	w.Run(`document.querySelector('.runs [data-dialog]').click()`)
	w.Wait(`document.querySelector('#dialog[open]') && document.activeElement.textContent.trim() === 'Cancel'`)
	w.Run(`document.querySelector('#dialog form').requestSubmit()`)
	w.Wait(`document.querySelector('.notice')?.innerText.includes('Housekeeping ran for') && document.querySelectorAll('.runs tbody tr').length === 1`)
	if text := w.Run(`document.querySelector('.runs tbody').innerText`).(string); !strings.Contains(text, "Admin olga") {
		t.Errorf("the runs say %q", text)
	}
	w.Quiet()
}
