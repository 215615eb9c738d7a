package control

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// A session that stays locked is counted each time, and told of once after a minute.
func TestLockedIsTold(t *testing.T) {
	var log bytes.Buffer
	c := &Control{Config: Config{Log: slog.New(slog.NewTextHandler(&log, nil))}}
	c.locked.skip(c, 7)
	c.locked.skip(c, 7)
	if log.Len() > 0 || c.Skipped() != 2 {
		t.Fatalf("%d skipped: %s", c.Skipped(), log.String())
	}
	c.locked.since[7] = time.Now().Add(-lockedFor - time.Second)
	c.locked.skip(c, 7)
	c.locked.skip(c, 7)
	if n := strings.Count(log.String(), "session=7"); n != 1 {
		t.Errorf("told %d times: %s", n, log.String())
	}
	// Once it was free, it counts anew.
	c.locked.free(7)
	c.locked.skip(c, 7)
	if n := strings.Count(log.String(), "session=7"); n != 1 || c.Skipped() != 5 {
		t.Errorf("told %d times, %d skipped", n, c.Skipped())
	}
}
