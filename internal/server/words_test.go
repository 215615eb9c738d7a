package server_test

import (
	"testing"

	"leasehold/internal/wire"
)

// TestWords: what is wrong is said in words that help whoever reads them.
func TestWords(t *testing.T) {
	r := newRig(t)
	const huge = "99999999999999999999"
	for _, tt := range []struct{ method, path, token, body, field, says string }{
		{"GET", "/api/v1/batches/1/results?outcome=gone", r.token, "", "outcome", "must be one of applied, skipped"},
		{"POST", "/api/v1/provisions", r.token, `{"name":"P","device_ownership":"hers"}`, "device_ownership", "must be one of organisation, own"},
		{"PATCH", "/api/v1/provisions/1", r.token, `{"device_ownership":"hers"}`, "device_ownership", "must be one of organisation, own"},
		{"POST", "/api/v1/sessions/batch", r.token, `{"action":"evict","ids":[1,` + huge + `]}`, "ids", "has a number that is too large"},
		{"POST", "/api/v1/sessions/batch", r.token, `{"action":"evict","ids":[1,-1]}`, "ids", "must be the numbers of sessions, from 1 on; -1 is none"},
		{"POST", "/api/v1/sessions/batch", r.token, `{"action":"evict","filter":{"app_id":` + huge + `}}`, "filter.app_id", "has a number that is too large"},
		{"POST", "/api/v1/delivery-methods", r.token, `{"app_id":1,"name":"M","packages":[],"licence":{"type":"floating","seats":` + huge + `}}`, "licence.seats", "has a number that is too large"},
		{"GET", "/api/v1/sessions?user_id=-1", r.token, "", "user_id", "must be at least 1"},
		{"GET", "/api/v1/sessions?page_size=501", r.token, "", "page_size", "must be at most 500"},
	} {
		var body any
		if tt.body != "" {
			body = tt.body
		}
		var d struct {
			Errors []struct{ Field, Message string }
		}
		r.want(422, &d, tt.method, tt.path, tt.token, body)
		if len(d.Errors) != 1 || d.Errors[0].Field != tt.field || d.Errors[0].Message != tt.says {
			t.Errorf("%s %s %s: %+v, want %s %s", tt.method, tt.path, tt.body, d.Errors, tt.field, tt.says)
		}
	}
	// Whoever enrols gave a key, and has no credential yet.
	var d struct{ Detail string }
	r.want(401, &d, "POST", wire.PathEnrol, "", wire.Enrol{V: 1, Key: "x", Kind: wire.Player, Name: "n", OS: "linux", Arch: "amd64"})
	if want := "the enrolment key is wrong, used up, revoked or expired, or is for another kind of agent or another network; an administrator can make a new one"; d.Detail != want {
		t.Errorf("%q, want %q", d.Detail, want)
	}
}
