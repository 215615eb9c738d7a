package web

import (
	"strings"
	"testing"
	"time"
)

func TestAccount(t *testing.T) {
	s := newSite(t)
	b := s.as("ann")
	b.get("/account").is(200).has("Your account", "Ann Berg", `name="time_zone"`, "If it is empty, they use the browser’s").lacks("data-zone")
	b.post("/account", vals("time_zone", "Mars/Base")).is(422).has(`id="time_zone-error"`, "Must be an IANA time zone", `value="Mars/Base"`)
	b.post("/account", vals("time_zone", "Local")).is(422)
	b.post("/account", vals("time_zone", " Asia/Kathmandu ")).is(200).has(`data-zone="Asia/Kathmandu"`, `value="Asia/Kathmandu"`, "Your settings are saved.")
	b.get("/portal").is(200).has(`data-zone="Asia/Kathmandu"`)
	s.as("olga").get("/admin/sessions").is(200).lacks("data-zone")
	b.post("/account", vals("time_zone", "")).is(200).has("Your settings are saved.").lacks("data-zone")
	s.browser().get("/account").is(200).has("Sign in").lacks("Your account")
}

// The zone of the account decides, whatever the browser's is; hovering says UTC.
func TestAccountZoneInTheBrowser(t *testing.T) {
	s := newSite(t)
	app, _ := s.app("MATLAB")
	id := s.launch(app.ID, s.device("LAB-204"), true)
	w := s.window()
	w.Open("/account")
	w.Wait(`document.querySelector('#zones').options.length > 300`)
	w.Run(`document.querySelector('[name=time_zone]').value = 'Asia/Kathmandu'; document.querySelector('main form').requestSubmit()`)
	w.Wait(`document.querySelector('[data-toast]')?.innerText.includes('Your settings are saved')`)
	w.Open("/admin/sessions/" + num(id))
	at, err := time.Parse(time.RFC3339, w.Text(`document.querySelector('time.x').dateTime`))
	s.must(err)
	zone, err := time.LoadLocation("Asia/Kathmandu")
	s.must(err)
	want := at.In(zone).Format("2006-01-02 15:04:05")
	w.Wait(`document.querySelector('time.x').textContent.startsWith('` + want + `')`)
	if text := w.Text(`document.querySelector('time.x').textContent`); !strings.HasSuffix(text, "GMT+5:45") {
		t.Errorf("the zone is not said: %q", text)
	}
	// In one step: a live update takes the title away until the pointer moves again.
	if title := w.Text(`(el => { el.dispatchEvent(new MouseEvent('mouseover', {bubbles: true})); return el.title })(document.querySelector('time.x'))`); title != at.UTC().Format("2006-01-02 15:04:05 UTC") {
		t.Errorf("hovering says %q", title)
	}
	w.Quiet()
}
