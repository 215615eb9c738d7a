package stage

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Between the stage and the process inside the sandbox goes a line of JSON a
// message, over the descriptor insideFD of the latter.
const insideFD = 3

// messageLimit is the longest message that the stage takes.
const messageLimit = 64 << 10

// task is the first message to the process inside.
type task struct {
	Dir    string `json:"dir"`
	Config Config `json:"config"`
}

// order is what the stage says later.
type order struct {
	Go    bool `json:"go,omitempty"`    // the display's folder is protected
	Close bool `json:"close,omitempty"` // the app is to be asked to close
}

// told is what the process inside says.
type told struct {
	Display string         `json:"display,omitempty"` // it is up, and waits to be let go on
	Ready   map[string]int `json:"ready,omitempty"`   // process numbers, as they are inside
	Outcome *Outcome       `json:"outcome,omitempty"` // the last
}

// Inside is the part of a session that plays inside its sandbox: it does what
// [Run] does for one that has none, and tells the stage instead of writing it
// down. It returns the exit code for the process.
func Inside(ctx context.Context) (code int, err error) {
	f := os.NewFile(insideFD, "stage")
	conn, err := net.FileConn(f)
	if err != nil {
		return ExitStart, fmt.Errorf("stage inside: %w", err)
	}
	// No program of the session has the descriptor.
	defer conn.Close()
	if err := f.Close(); err != nil {
		return ExitStart, fmt.Errorf("stage inside: %w", err)
	}
	// Nor any other that is ours, such as the one by which this program was started.
	if err := unix.CloseRange(insideFD, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return ExitStart, fmt.Errorf("stage inside: %w", err)
	}
	in := json.NewDecoder(bufio.NewReader(conn))
	out := json.NewEncoder(conn)
	var t task
	if err := in.Decode(&t); err != nil {
		return ExitStart, fmt.Errorf("stage inside: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	proceed := make(chan struct{}, 1)
	go func() {
		// When the stage is gone, so is the session.
		defer cancel()
		for {
			var o order
			if in.Decode(&o) != nil || o.Close {
				return
			}
			if o.Go {
				select {
				case proceed <- struct{}{}:
				default:
				}
			}
		}
	}()
	s := &session{dir: t.Dir, config: t.Config, inside: true, log: slog.New(slog.NewTextHandler(os.Stderr, nil)), started: time.Now()}
	s.displayUp = func() error {
		if err := out.Encode(told{Display: s.display}); err != nil {
			return err
		}
		select {
		case <-proceed:
			return nil
		case <-ctx.Done():
			return errors.New("the stage does not answer")
		}
	}
	s.tellReady = func(pids map[string]int) error {
		pids["inside"] = os.Getpid()
		return out.Encode(told{Ready: pids})
	}
	o := s.run(ctx)
	if err := out.Encode(told{Outcome: &o}); err != nil {
		return o.Code, fmt.Errorf("stage inside: tell how it ended: %w", err)
	}
	return o.Code, nil
}
