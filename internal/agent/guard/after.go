package guard

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"leasehold/internal/agent/boottime"
	"leasehold/internal/agent/untrusted"
)

const (
	defaultReadyWithin = 30 * time.Second
	readyEvery         = 20 * time.Millisecond // how often to look whether an app is ready
	afterWithin        = 20 * time.Second
)

// errNoCgroup says why a limit does not hold, errCgroup why an app was not
// started: the next attempt does without the cgroup.
var (
	errNoCgroup = errors.New("the run has no cgroup of its own")
	errCgroup   = errors.New("the app cannot be started in its cgroup")
)

// unlimited says once which limits of a run do not hold.
func unlimited(spec Spec, log *slog.Logger, memory, processes, cpu error) {
	if spec.MemoryBytes > 0 && memory != nil {
		log.Warn("the memory of the run is not limited", "bytes", spec.MemoryBytes, "why", memory)
	}
	if spec.Processes > 0 && processes != nil {
		log.Warn("no cgroup limits the processes of the run", "processes", spec.Processes, "why", processes)
	}
	if spec.CPUPercent > 0 && cpu != nil {
		log.Warn("the processor time of the run is not limited", "percent", spec.CPUPercent, "why", cpu)
	}
}

func (s Spec) readyWithin() time.Duration {
	if s.ReadyWithin > 0 {
		return s.ReadyWithin
	}
	return defaultReadyWithin
}

// awaitReady tells that the app has started, once it is ready, and ends one
// that never gets there. An error ends the run.
func (g *guard) awaitReady() error {
	if g.ready {
		return nil
	}
	if g.spec.Ready != "" {
		if _, err := os.Stat(g.spec.Ready); err != nil {
			if g.state == nil && boottime.Now().At >= g.readyBy {
				g.late = true
				g.clear()
			}
			return nil
		}
	}
	if err := g.events.append(Event{Type: Started, PID: g.app.Process.Pid}); err != nil {
		// Without events the player would never know of this run: end it.
		g.endNow()
		return err
	}
	g.ready = true
	return nil
}

// clear kills what is left of a run that is over anyway; the loop comes again
// until nothing is.
func (g *guard) clear() {
	if err := g.tree.kill(); err != nil {
		g.log.Error("cannot end every process", "error", err)
	}
	g.clearWait = min(max(2*g.clearWait, 5*time.Millisecond), time.Second)
}

// whyEnded tells why the app has ended by itself, or "".
func (g *guard) whyEnded(outOfMemory bool) string {
	switch {
	case outOfMemory:
		return fmt.Sprintf("It needed more memory than the %d MiB that it may have", g.spec.MemoryBytes>>20)
	case g.late:
		return fmt.Sprintf("It was not ready within %v", g.spec.readyWithin())
	}
	reason := readReport(g.spec.Report)
	if reason == "" && !g.ready {
		return "It ended before it was ready"
	}
	return reason
}

// readReport returns the reason in the report of an app; "" if there is none.
func readReport(path string) string {
	if path == "" {
		return ""
	}
	// One that is longer than any that we write is not ours.
	b, err := untrusted.ReadFile(path, 64<<10)
	if err != nil {
		return ""
	}
	var report struct {
		Reason string `json:"reason"`
	}
	if err := json.Unmarshal(b, &report); err != nil {
		return ""
	}
	return report.Reason
}

// after runs the command that clears up behind the app.
func (g *guard) after() {
	if err := runAfter(context.Background(), g.spec); err != nil {
		g.log.Error("the run was not cleared up", "error", err)
	}
}

// runAfter runs what the spec wants to be run when nothing of the run is left.
func runAfter(ctx context.Context, spec Spec) error {
	if len(spec.After) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, afterWithin)
	defer cancel()
	cmd := exec.CommandContext(ctx, spec.After[0], spec.After[1:]...)
	cmd.WaitDelay = time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(spec.After, " "), err, Brief(out.String()))
	}
	return nil
}

// Brief is what a program printed, as much of it as a log or a message takes:
// 500 bytes.
func Brief(s string) string {
	const limit = 500
	if s = strings.TrimSpace(s); len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "") + "…"
	}
	return s
}

// sweeping keeps this process from sweeping a run twice at once.
var sweeping keyedMutex

// keyedMutex is a mutex for each key. Its zero value is ready.
type keyedMutex struct {
	mu   sync.Mutex
	held map[string]chan struct{} // closed when it is given back
}

// lock waits for the key until ctx ends.
func (m *keyedMutex) lock(ctx context.Context, key string) (unlock func(), err error) {
	for {
		m.mu.Lock()
		held, ok := m.held[key]
		if !ok {
			if m.held == nil {
				m.held = make(map[string]chan struct{})
			}
			mine := make(chan struct{})
			m.held[key] = mine
			m.mu.Unlock()
			return func() {
				m.mu.Lock()
				delete(m.held, key)
				m.mu.Unlock()
				close(mine)
			}, nil
		}
		m.mu.Unlock()
		select {
		case <-held:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
