//go:build linux

package display_test

import (
	"flag"
	"slices"
	"testing"
	"time"
)

var launches = flag.Int("launches", 0, "how many launches TestLaunch takes the time of")

// TestLaunch takes the time from a launch to the display's picture: with
// -launches=20 -v it says the median.
func TestLaunch(t *testing.T) {
	if *launches == 0 {
		t.Skip("it only takes figures: say -launches=20")
	}
	h := newHarness(t)
	var took []time.Duration
	for i := range *launches {
		began := time.Now()
		s := h.up(spec(int64(i+1), sample))
		s.rfb()
		took = append(took, time.Since(began))
		s.stop()
		s.exit()
	}
	slices.Sort(took)
	t.Logf("median %v, of %v to %v", took[len(took)/2], took[0], took[len(took)-1])
}
