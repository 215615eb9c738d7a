//go:build unix

package guard

import (
	"os"
	"syscall"
)

// exitOf takes apart how a process ended.
func exitOf(s *os.ProcessState) (code *int, signal string) {
	if s == nil {
		return nil, ""
	}
	if ws, ok := s.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return nil, ws.Signal().String()
	}
	n := s.ExitCode()
	return &n, ""
}
