package download_test

import (
	"testing"
	"time"

	"leasehold/internal/export"
	"leasehold/internal/server/download"
	"leasehold/internal/store"
)

func TestName(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	from := time.Date(2026, 11, 1, 0, 0, 0, 0, berlin)
	to := time.Date(2026, 11, 23, 0, 0, 0, 0, berlin)
	for _, tt := range []struct {
		q    store.SessionQuery
		o    export.Options
		want string
	}{
		{store.SessionQuery{From: from, To: to}, export.Options{Format: export.CSV, Zone: berlin}, "sessions-2026-11-01-to-2026-11-22.csv"},
		{store.SessionQuery{From: from.UTC(), To: to.UTC()}, export.Options{Format: export.NDJSON, Zone: berlin}, "sessions-2026-11-01-to-2026-11-22.ndjson"},
		{store.SessionQuery{From: from}, export.Options{Format: export.CSV, Zone: berlin}, "sessions-2026-11-01-on.csv"},
		{store.SessionQuery{To: to}, export.Options{Format: export.CSV, Zone: berlin}, "sessions-to-2026-11-22.csv"},
		{store.SessionQuery{From: from, To: from.Add(time.Hour)}, export.Options{Format: export.CSV, Zone: berlin}, "sessions-2026-11-01-to-2026-11-01.csv"},
		{store.SessionQuery{}, export.Options{Format: export.CSV, Zone: time.UTC}, "sessions.csv"},
	} {
		if got := download.Name(tt.q, tt.o); got != tt.want {
			t.Errorf("%+v: %s, want %s", tt.q, got, tt.want)
		}
	}
}
