package display

import (
	"fmt"
	"runtime"
)

// Capacity is what a host has for sessions, as of now.
type Capacity struct {
	Live        int    // sessions that have a display, or are getting one
	Cores       int    // processors that this process may use
	MemoryTotal uint64 // bytes of the machine
	MemoryFree  uint64 // bytes that sessions could have without swapping, caches counted as free
}

// Capacity returns what the host has.
func (r *Runner) Capacity() (Capacity, error) {
	live, err := r.Live()
	if err != nil {
		return Capacity{}, fmt.Errorf("count the sessions: %w", err)
	}
	total, free, err := memory()
	if err != nil {
		return Capacity{}, fmt.Errorf("read the memory of the host: %w", err)
	}
	return Capacity{Live: live, Cores: runtime.NumCPU(), MemoryTotal: total, MemoryFree: free}, nil
}
