package web

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"leasehold/internal/control"
	"leasehold/internal/session"
	"leasehold/internal/wire"
)

// TestMessage: one to the user of an app on a device, from the session's page, and what its
// timeline says of it.
func TestMessage(t *testing.T) {
	s := newSite(t)
	app, _ := s.app("MATLAB")
	lab := s.device("LAB-204")
	id := s.launch(app.ID, lab, true)
	olga := s.as("olga")
	path := "/admin/sessions/" + num(id)
	olga.get(path).is(200).has(`href="` + path + `/message"`)
	olga.get(path+"/message").is(200).has("Message to Ann Berg</h1>", "It is shown on LAB-204 as soon as it hears of it", "is not shown later", `<textarea`, `name="text"`, ">Send</button>").lacks("Revoke access", `name="reason"`)
	for text, want := range map[string]string{"": "Is required.", strings.Repeat("x", 501): "Must have at most 500 characters.", "a\x00b": "control characters"} {
		olga.post(path+"/message", vals("text", text)).is(422).has(want, `aria-invalid="true"`)
	}
	olga.post(path+"/message", vals("text", "<b>Save</b>\nnow"), "HX-Request", "true").is(200).has("data-toast", "The message to Ann Berg is on its way.").lacks("<html")
	olga.get(path).has("running", "“&lt;b&gt;Save&lt;/b&gt;\nnow” Not shown yet.").lacks("message shown", "Evict, asked by")

	ag := s.agentOf(lab)
	ans := ag.report(t, id, session.IsRunning, wire.Observation{Type: session.ObsStarted, Run: 1})
	i := slices.IndexFunc(ans.Directives, func(d wire.Directive) bool { return d.Type == wire.DirMessage })
	if i < 0 || ans.Directives[i].Message.Text != "<b>Save</b>\nnow" || ans.Directives[i].Message.From != "olga" {
		t.Fatalf("the device is told %+v", ans.Directives)
	}
	ag.report(t, id, session.IsRunning, wire.Observation{Type: session.ObsTold, Run: 1, UpTo: 1})
	olga.get(path).has("message shown", "LAB-204").lacks("Not shown")
	olga.post(path+"/message", vals("text", "too late"))
	s.exit(lab, id)
	olga.get(path).has("“too late” Not shown: the app ended first.").lacks(`href="` + path + `/message"`)
	olga.post(path+"/message", vals("text", "x")).is(409).has("Nothing was changed: the session is stopped; message applies to").lacks(">Send</button>")
	olga.get(path + "/message").has("The session is stopped. Message does not apply to it.")
	olga.get("/admin/audit").has("session message", "too late")
	s.as("ann").post(path+"/message", vals("text", "x")).is(403)
}

// TestMessageToMany: both lists offer it, a text is asked for, and each session says what
// became of it.
func TestMessageToMany(t *testing.T) {
	s := newSite(t)
	app, _ := s.app("MATLAB")
	lab := s.device("LAB-204")
	runs, idle := s.launch(app.ID, lab, true), s.launch(app.ID, 0, false)
	h := s.streams()
	ann := control.WhoIs(s.ann, "test")
	var streams []int64
	for i := range 3 {
		streams = append(streams, h.launch(ann, i > 0))
	}
	olga := s.as("olga")
	olga.get("/admin/sessions").has(`<option value="message">Message</option>`)
	olga.post("/admin/batches", vals("action", "message", "of", "ticked", "session", num(runs), "session", num(idle), "return", "/admin/sessions")).
		is(200).has("Message 1 session</h1>", "1 session skipped", "message applies to", `name="text"`, "Send to 1 session</button>")
	olga.post("/admin/batches/1/run", vals("text", " ", "return", "/admin/sessions")).is(422).has("Is required.", `aria-invalid="true"`)
	olga.post("/admin/batches/1/run", vals("text", "Save now", "return", "/admin/sessions")).is(200).has("1 session messaged, 1 skipped.")
	olga.get("/admin/batches/1").has("Message 2 sessions", "messaged", "Save now", "done")
	olga.get("/admin/sessions/" + num(runs)).has("“Save now” Not shown yet.")

	// What is for all is for all of this list's kind.
	olga.get("/admin/streams").has(`value="ticked message"`, `value="filter message"`, `<input type="hidden" name="kind" value="stream">`)
	form := vals("kind", "stream", "action", "kill", "of", "filter message", "filter", "", "return", "/admin/streams")
	olga.post("/admin/batches", form).is(200).has("Message 2 sessions</h1>", "1 session skipped").lacks("Kill")
	olga.post("/admin/batches/2/run", vals("text", "Bye", "return", "/admin/streams")).is(200).has("2 sessions messaged, 1 skipped.")
	olga.post("/admin/batches", vals("kind", "stream", "action", "kill", "of", "filter", "filter", "")).is(200).has("Kill 2 sessions</h1>", "Blender").lacks("MATLAB")
	olga.post("/admin/batches", vals("kind", "x", "action", "kill", "of", "filter", "filter", "")).is(400).has("Kind")
	for i, id := range streams {
		a := olga.get(fmt.Sprintf("/admin/sessions/%d", id))
		if i > 0 {
			a.has("“Bye” Not shown yet.", `href="/admin/streams" data-back`)
		} else {
			a.lacks("“Bye”")
		}
	}
}
