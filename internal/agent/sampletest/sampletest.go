// Package sampletest runs tests that start the sample app, as a real app that behaves as it
// is told.
package sampletest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
)

// Run builds the sample app, puts its path into sample, and runs a test binary's tests. It
// returns the exit code, which is not 0 if a goroutine is left.
func Run(m *testing.M, sample *string) int {
	dir, err := os.MkdirTemp("", "leasehold-sample")
	if err == nil {
		err = os.Chmod(dir, 0o755) // the accounts of streamed sessions run it too
	}
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	*sample = filepath.Join(dir, "leasehold-sample")
	if out, err := exec.Command("go", "build", "-o", *sample, "leasehold/cmd/leasehold-sample").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the sample app: %v\n%s", err, out)
		return 1
	}
	if code := m.Run(); code != 0 {
		return code
	}
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
