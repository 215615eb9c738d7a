//go:build unix

package pgtest

import (
	"database/sql"
	"testing"
	"time"
)

// The wall clock of a faked server is where it was set, and time goes on there.
func TestSetWall(t *testing.T) {
	s, err := StartFaked()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	db, err := sql.Open("pgx", s.url("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, off := range []time.Duration{0, 2 * time.Hour, -20 * time.Second, 0} {
		if err := s.SetWall(off); err != nil {
			t.Fatal(err)
		}
		var now time.Time
		if err := db.QueryRow("SELECT clock_timestamp()").Scan(&now); err != nil {
			t.Fatal(err)
		}
		if d := time.Until(now) - off; d < -5*time.Second || d > 5*time.Second {
			t.Errorf("set by %v it is off by %v", off, d+off)
		}
	}
}
