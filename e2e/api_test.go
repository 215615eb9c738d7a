//go:build linux

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"
)

// api is the REST API as another program sees it: it knows the documented names and
// nothing of the code behind them.
type api struct {
	t     testing.TB
	http  *http.Client
	url   string
	token string
}

type order struct {
	Action, Reason, Outcome string
	RequestedAt             time.Time  `json:"requested_at"`
	DeliveredAt             *time.Time `json:"delivered_at"`
	WarnedAt                *time.Time `json:"warned_at"`
	ClosedAt                *time.Time `json:"closed_at"`
	ClosedBy                string     `json:"closed_by"`
	ETA                     time.Time  `json:"eta"`
}

type session struct {
	ID           int64
	Status       string
	StatusReason string `json:"status_reason"`
	Observed     struct {
		State string
		Since time.Time
	}
	App   struct{ ID int64 }
	Lease *struct {
		Generation int
		ExpiresAt  time.Time `json:"expires_at"`
	}
	Order   *order
	Actions []string
}

type transition struct {
	From, To, Actor, Reason string
	At                      time.Time
}

// answerError is an answer that refuses.
type answerError struct {
	code int
	body string
}

func (e *answerError) Error() string { return fmt.Sprintf("%d: %s", e.code, e.body) }

// try makes a call. The error is an *answerError if the server answered.
func (a *api) try(method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequest(method, a.url+"/api/v1"+path, body)
	if err != nil {
		return err
	}
	if a.token != "" {
		req.Header.Set("Authorization", "Bearer "+a.token)
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := a.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return &answerError{resp.StatusCode, string(b)}
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(b, out)
}

func (a *api) call(method, path string, in, out any) {
	a.t.Helper()
	if err := a.try(method, path, in, out); err != nil {
		a.t.Fatalf("%s %s: %v", method, path, err)
	}
}

type object map[string]any

// signIn returns the API as somebody.
func (s *server) signIn(username, password string) *api {
	s.t.Helper()
	a := &api{t: s.t, http: s.http, url: s.url}
	var out struct{ Token string }
	a.call("POST", "/tokens", object{"username": username, "password": password}, &out)
	a.token = out.Token
	return a
}

// create creates a record and returns its number.
func (a *api) create(kind string, in object) int64 {
	a.t.Helper()
	var out struct{ ID int64 }
	a.call("POST", "/"+kind, in, &out)
	if out.ID == 0 {
		a.t.Fatalf("POST /%s gave no id", kind)
	}
	return out.ID
}

func (a *api) enrolmentKey(kind string) string {
	a.t.Helper()
	var out struct{ Key string }
	a.call("POST", "/enrolment-keys", object{"kind": kind, "approved": kind == "host"}, &out)
	return out.Key
}

// organisation seeds a user in a group, who may launch the apps that app adds.
type organisation struct {
	*api
	group int64
}

func seed(a *api) *organisation {
	a.t.Helper()
	o := &organisation{api: a}
	o.group = a.create("groups", object{"name": "Chemistry"})
	a.create("users", object{"username": "ann", "name": "Ann Berg", "email": "ann@example.org", "password": userPassword, "role": "user", "group_ids": []int64{o.group}})
	return o
}

// app adds an app that is the sample with these flags, and a provision of it.
func (o *organisation) app(name string, heartbeat int, warnings []int, flags ...string) int64 {
	o.t.Helper()
	app := o.create("apps", object{"name": name, "description": "What chemists need."})
	method := o.create("delivery-methods", object{
		"app_id": app, "name": name + ", installed", "kind": "device", "licence": object{"type": "floating"},
		"heartbeat_seconds": heartbeat, "warnings_seconds": warnings,
		"packages": []object{{"type": "command", "command": append([]string{sample, "--terminal"}, flags...)}},
	})
	o.create("provisions", object{"name": name + " for chemists", "group_ids": []int64{o.group}, "delivery_method_ids": []int64{method}, "enabled": true})
	return app
}

func (a *api) session(id int64) *session {
	a.t.Helper()
	var s session
	a.call("GET", fmt.Sprintf("/sessions/%d", id), nil, &s)
	return &s
}

func (a *api) transitions(id int64) []transition {
	a.t.Helper()
	var out struct{ Transitions []transition }
	a.call("GET", fmt.Sprintf("/sessions/%d/transitions", id), nil, &out)
	return out.Transitions
}

// sessions are all that are listed, by pages.
func (a *api) sessions() []session {
	a.t.Helper()
	var all []session
	for token := ""; ; {
		var out struct {
			Sessions []session
			Next     string `json:"next_page_token"`
		}
		a.call("GET", "/sessions?history=true&page_size=500&page_token="+token, nil, &out)
		all = append(all, out.Sessions...)
		if token = out.Next; token == "" {
			return all
		}
	}
}

type launched struct {
	Session session
	Link    string
}

// launch launches an app as the caller: by a link, or by push to a device of theirs.
func (a *api) launch(app, device int64) (*launched, error) {
	in := object{"app_id": app}
	if device != 0 {
		in["device_id"] = device
	}
	var out launched
	err := a.try("POST", "/launches", in, &out)
	return &out, err
}

func (a *api) mustLaunch(app, device int64) *launched {
	a.t.Helper()
	l, err := a.launch(app, device)
	if err != nil {
		a.t.Fatal(err)
	}
	return l
}

func (a *api) awaitStatus(id int64, want string) *session {
	a.t.Helper()
	var s *session
	ok := waitFor(40*time.Second, func() bool {
		s = a.session(id)
		return s.Status == want
	})
	if !ok {
		a.t.Fatalf("session %d is %s, not %s: %+v", id, s.Status, want, a.transitions(id))
	}
	return s
}

// awaitClosed waits until a session's order is closed by its agent, and checks its times.
func (a *api) awaitClosed(id int64) *order {
	a.t.Helper()
	eventually(a.t, 40*time.Second, "the order is closed", func() bool {
		o := a.session(id).Order
		return o != nil && o.ClosedAt != nil
	})
	o := a.session(id).Order
	if o.ClosedBy != "agent" || o.DeliveredAt == nil || o.WarnedAt == nil {
		a.t.Fatalf("the order was not carried out by the agent: %+v", o)
	}
	if o.DeliveredAt.Before(o.RequestedAt) || o.WarnedAt.Before(*o.DeliveredAt) || o.ClosedAt.Before(*o.WarnedAt) || o.ClosedAt.After(o.ETA) {
		a.t.Errorf("the order's times are not in order: %+v, delivered %v, warned %v, closed %v", o, o.DeliveredAt, o.WarnedAt, o.ClosedAt)
	}
	return o
}
