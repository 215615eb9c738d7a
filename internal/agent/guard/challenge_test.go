package guard

import (
	"testing"
	"time"
)

// FuzzChallenge: only what a challenger gave out says a moment, and the very one.
func FuzzChallenge(f *testing.F) {
	c := newChallenger()
	f.Add(c.give(time.Hour), int64(time.Hour))
	f.Add("", int64(0))
	f.Add("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", int64(-1))
	f.Fuzz(func(t *testing.T, text string, at int64) {
		given := c.give(time.Duration(at))
		if got, ok := c.when(given); !ok || got != time.Duration(at) {
			t.Errorf("%d came back as %d, %v", at, got, ok)
		}
		if _, ok := newChallenger().when(given); ok {
			t.Error("another guard believes it")
		}
		if got, ok := c.when(text); ok && c.give(got) != text {
			t.Errorf("%q is taken for %v", text, got)
		}
	})
}
