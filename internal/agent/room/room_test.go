package room

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestGone(t *testing.T) {
	for _, full := range fulls {
		if !Gone(&os.PathError{Op: "write", Path: "x", Err: full}) {
			t.Errorf("%v is no full disk", full)
		}
	}
	for _, err := range []error{nil, errors.New("another"), os.ErrNotExist} {
		if Gone(err) {
			t.Errorf("%v is a full disk", err)
		}
	}
}

func TestTake(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := Take(f, 1<<16); err != nil {
		t.Error(err)
	}
	if info, err := f.Stat(); err != nil || info.Size() != 0 {
		t.Errorf("it is %d bytes long, %v", info.Size(), err)
	}
}
