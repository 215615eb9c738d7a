package server_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"testing"
	"time"

	"leasehold/internal/wire"
)

// TestFilters: lists and mass actions select by the same filter, which is refused where it
// cannot be meant.
func TestFilters(t *testing.T) {
	r := newRig(t)
	app, _ := r.app("ann")
	ann := r.signIn("ann", password)
	lab := r.agent(wire.Player)
	r.agent(wire.Host)
	device, host := 1, 2
	var ids []int64
	for range 3 {
		ids = append(ids, r.added(lab, ann, app))
	}
	count := func(filter map[string]any) (list, batch int) {
		t.Helper()
		q := url.Values{}
		for k, v := range filter {
			q.Set(k, fmt.Sprint(v))
		}
		var l struct{ Total struct{ Count int } }
		r.want(200, &l, "GET", "/api/v1/sessions?"+q.Encode(), r.token, nil)
		var b struct{ Total int }
		r.want(200, &b, "POST", "/api/v1/sessions/batch", r.token, map[string]any{"action": "evict", "dry_run": true, "filter": filter})
		return l.Total.Count, b.Total
	}
	for _, tt := range []struct {
		filter map[string]any
		want   int
	}{
		{map[string]any{"device_id": device}, 3},
		{map[string]any{"device_id": device, "kind": "device"}, 3},
		{map[string]any{"host_id": device}, 0},
		{map[string]any{"device_id": host}, 0},
		{map[string]any{"older_seconds": 3600}, 0},
		{map[string]any{"silent_seconds": 3600}, 0},
		{map[string]any{"from": "2026-01-01"}, 3},
		{map[string]any{"from": "2026-01-02", "to": "2026-01-02"}, 0},
	} {
		if list, batch := count(tt.filter); list != tt.want || batch != tt.want {
			t.Errorf("%v: %d listed, %d in a batch, want %d", tt.filter, list, batch, tt.want)
		}
	}
	for _, tt := range []struct {
		field  string
		filter map[string]any
	}{
		{"to", map[string]any{"from": "2026-02-02", "to": "2026-02-01"}},
		{"to", map[string]any{"from": "2026-02-02T10:00:00Z", "to": "2026-02-02T09:00:00Z"}},
		{"older_seconds", map[string]any{"older_seconds": 0}},
		{"older_seconds", map[string]any{"older_seconds": 1 << 40}},
		{"silent_seconds", map[string]any{"silent_seconds": 0}},
		{"app_id", map[string]any{"app_id": 0}},
		{"host_id", map[string]any{"device_id": device, "host_id": host}},
		{"host_id", map[string]any{"kind": "device", "host_id": host}},
		{"device_id", map[string]any{"kind": "stream", "device_id": device}},
	} {
		q := url.Values{}
		for k, v := range tt.filter {
			q.Set(k, fmt.Sprint(v))
		}
		r.field(tt.field, "GET", "/api/v1/sessions?"+q.Encode(), nil)
		r.field("filter."+tt.field, "POST", "/api/v1/sessions/batch", map[string]any{"action": "evict", "filter": tt.filter})
	}
	// Null in a batch's filter would match everything, were it passed over.
	for _, field := range []string{"app_id", "q", "status", "silent_seconds", "history"} {
		r.field("filter."+field, "POST", "/api/v1/sessions/batch", map[string]any{"action": "evict", "filter": map[string]any{"kind": "device", field: nil}})
	}

	// The pages of a list that counts back from now are those of one list, though time passes.
	time.Sleep(2100 * time.Millisecond)
	var seen []int64
	for token := ""; ; {
		var l struct {
			Sessions []ref
			Next     string `json:"next_page_token"`
		}
		r.want(200, &l, "GET", "/api/v1/sessions?older_seconds=1&page_size=2&sort=id&page_token="+url.QueryEscape(token), r.token, nil)
		for _, s := range l.Sessions {
			seen = append(seen, s.ID)
		}
		if token = l.Next; token == "" {
			break
		}
		time.Sleep(1100 * time.Millisecond)
	}
	if !slices.Equal(seen, ids) {
		t.Errorf("page by page %v, want %v", seen, ids)
	}
	for _, token := range []string{"x", "1.x", "x.y", "."} {
		r.field("page_token", "GET", "/api/v1/sessions?older_seconds=1&page_token="+token, nil)
	}
}

// TestForgedPageTokens: a token whose place cannot be one of its list is refused by name.
func TestForgedPageTokens(t *testing.T) {
	r := newRig(t)
	app, _ := r.app("ann")
	ann := r.signIn("ann", password)
	for range 2 {
		r.want(201, nil, "POST", "/api/v1/launches", ann, map[string]any{"app_id": app})
	}
	for sort, forged := range map[string][]map[string]any{
		"duration":  {{"t": nil}, {"t": -1}, {"t": "now"}, {"t": 1e40}, {"k": "long"}, {"k": 1.5}, {"k": nil}, {"k": 1e40}, {"i": "x"}},
		"-duration": {{"t": 0}, {"k": []int{1}}},
		"user":      {{"t": 1}, {"k": 7}, {"k": "a\x00b"}},
		"since":     {{"t": 1}, {"k": "ann"}},
	} {
		list := "/api/v1/sessions?page_size=1&sort=" + sort
		var page struct {
			Next string `json:"next_page_token"`
		}
		r.want(200, &page, "GET", list, r.token, nil)
		b, err := base64.RawURLEncoding.DecodeString(page.Next)
		if err != nil {
			t.Fatal(err)
		}
		r.want(200, nil, "GET", list+"&page_token="+page.Next, r.token, nil)
		for _, change := range forged {
			place := map[string]any{}
			d := json.NewDecoder(bytes.NewReader(b))
			d.UseNumber()
			if err := d.Decode(&place); err != nil {
				t.Fatal(err)
			}
			maps.Copy(place, change)
			j, err := json.Marshal(place)
			if err != nil {
				t.Fatal(err)
			}
			r.field("page_token", "GET", list+"&page_token="+base64.RawURLEncoding.EncodeToString(j), nil)
		}
	}
}
