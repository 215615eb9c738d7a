package sandbox

import (
	"os"
	"testing"
)

func TestCheck(t *testing.T) {
	uid := os.Getuid()
	if uid == 0 {
		uid = 61010
	}
	for _, nested := range []bool{false, true} {
		if err := Check(t.Context(), uid, nested); err != nil {
			t.Errorf("nested %v: %v", nested, err)
		}
	}
}
