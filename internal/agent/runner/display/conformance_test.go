//go:build linux

package display_test

import (
	"testing"
	"time"

	"leasehold/internal/agent/boottime"
	"leasehold/internal/agent/runner/runnertest"
)

func TestConformance(t *testing.T) {
	runnertest.Run(t, func(t *testing.T, test func(*testing.T, runnertest.Harness)) {
		t.Parallel()
		test(t, runnertest.Harness{
			Runner: newHarness(t).Runner,
			Clock:  boottime.System,
			Lead:   5 * time.Second,
			Argv: func(app string) []string {
				switch app {
				case runnertest.Deaf:
					return []string{sample, "--ignore-term"}
				case runnertest.Brief:
					return []string{sample, "--exit-after", "3s", "--exit-code", "4"}
				case runnertest.Missing:
					return []string{"/no/such/app"}
				}
				return []string{sample}
			},
		})
	})
}
