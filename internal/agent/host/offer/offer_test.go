//go:build linux

package offer_test

import (
	"path/filepath"
	"testing"

	"leasehold/internal/agent/host/offer"
)

// Each thing has a word for either case, what is switched off is missing, and nothing is
// left behind.
func TestOffer(t *testing.T) {
	o := offer.Of(t.Context(), 0, 100, 100)
	missing := 0
	for _, i := range o.Items {
		if i.Without == "" || i.Name == "" || i.Err == nil && i.With == "" {
			t.Errorf("%+v", i)
		}
		if i.Err != nil {
			missing++
		}
		if i.Name == "Memory" && i.Err == nil {
			t.Error("a limit of nothing holds")
		}
		if i.Name == "Separation" && i.Err != o.Separate {
			t.Errorf("%v and %v", i.Err, o.Separate)
		}
	}
	if len(o.Missing()) != missing {
		t.Errorf("%d and %v", missing, o.Missing())
	}
	if left, _ := filepath.Glob("/sys/fs/cgroup/*/leasehold-0.0-offer"); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
