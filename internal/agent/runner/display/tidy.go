package display

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"leasehold/internal/agent/guard"
)

// tidyWithin bounds one attempt to take a session away in the background.
const tidyWithin = 2 * time.Minute

// tidier takes sessions away. It goes through what they have left in a process
// of its own, with a deadline: whatever a session has prepared for that, such
// as a folder without end, the agent goes on.
type tidier struct {
	command func(dir string) []string
	log     *slog.Logger

	mu      sync.Mutex
	waiting map[string]bool // folders that are to be taken away; nil if nobody works
}

// now takes a session away, or says why that did not succeed.
func (t *tidier) now(ctx context.Context, dir string) error {
	ctx, cancel := context.WithTimeout(ctx, endWithin)
	defer cancel()
	return t.run(ctx, dir)
}

func (t *tidier) run(ctx context.Context, dir string) error {
	if !exists(dir) {
		return nil
	}
	argv := t.command(dir)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.WaitDelay = time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("take the session in %s away: %w", filepath.Base(dir), ctx.Err())
	case err != nil:
		return fmt.Errorf("take the session in %s away: %w: %s", filepath.Base(dir), err, guard.Brief(out.String()))
	}
	return nil
}

// later takes a folder away in the background, and tries until it is gone.
func (t *tidier) later(dir string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.waiting != nil {
		t.waiting[dir] = true
		return
	}
	t.waiting = map[string]bool{dir: true}
	go t.work()
}

// work takes away what waits, until nothing does.
func (t *tidier) work() {
	for pause := time.Second; ; pause = min(2*pause, time.Minute) {
		t.mu.Lock()
		var list []string
		for dir := range t.waiting {
			list = append(list, dir)
		}
		if len(list) == 0 {
			t.waiting = nil
			t.mu.Unlock()
			return
		}
		t.mu.Unlock()
		left := false
		for _, dir := range list {
			ctx, cancel := context.WithTimeout(context.Background(), tidyWithin)
			err := t.run(ctx, dir)
			cancel()
			if err != nil {
				t.log.Warn("a session could not be taken away yet", "err", err)
				left = true
				continue
			}
			t.mu.Lock()
			delete(t.waiting, dir)
			t.mu.Unlock()
		}
		if left {
			time.Sleep(pause)
		}
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}
