package invalid

import (
	"testing"
	"time"
)

func TestMoment(t *testing.T) {
	berlin := time.FixedZone("berlin", 2*3600)
	for _, tt := range []struct {
		text string
		days int
		want time.Time
	}{
		{"", 1, time.Time{}},
		{"2026-03-31", 0, time.Date(2026, 3, 30, 22, 0, 0, 0, time.UTC)},
		{"2026-03-31", 1, time.Date(2026, 3, 31, 22, 0, 0, 0, time.UTC)}, // the whole day
		{"2026-03-31T10:00:00+02:00", 1, time.Date(2026, 3, 31, 8, 0, 0, 0, time.UTC)},
	} {
		var e Error
		if got := e.Moment("from", tt.text, berlin, tt.days); !got.Equal(tt.want) || e.Err() != nil {
			t.Errorf("%q: %v, %v", tt.text, got, e)
		}
	}
	for _, bad := range []string{"today", "2026-02-30", "2026-03-31 10:00"} {
		var e Error
		if e.Moment("from", bad, berlin, 0); len(e) != 1 || e[0].Name != "from" {
			t.Errorf("%q: %v", bad, e)
		}
	}
}
