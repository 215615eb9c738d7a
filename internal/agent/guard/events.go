package guard

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"leasehold/internal/agent/boottime"
	"leasehold/internal/agent/room"
)

// EventType says what happened to a run.
type EventType string

// The events of a run, about in this order. "starting" is on disk before the
// app is; "exited" is always the last.
const (
	Starting   EventType = "starting"    // the app is about to be started: Cgroup; again if it cannot be in that
	Started    EventType = "started"     // PID
	Extended   EventType = "extended"    // Deadline, Generation
	Closing    EventType = "closing"     // an order was taken: Deadline, Reason
	Warned     EventType = "warned"      // Remaining, Text, Deadline, Reason
	CloseAsked EventType = "asked"       // the app was asked to close
	ForceUsed  EventType = "forced"      // its processes are being killed
	Resisting  EventType = "resisting"   // force has not ended them for a while, and goes on
	MainExited EventType = "main_exited" // Code, Signal; descendants are left
	Exited     EventType = "exited"      // Outcome, Code, Signal, Forced, Reason, Proof; without one Deadline
)

// Outcome is how a run ended.
type Outcome string

// The outcomes.
const (
	ByItself   Outcome = "exited"      // the app ended before it was asked to
	Closed     Outcome = "closed"      // asked to close, it did
	Killed     Outcome = "forced"      // it, or something it started, had to be killed
	NotStarted Outcome = "not started" // the app never ran; Reason says why
	GuardLost  Outcome = "guard lost"  // the guard died; what was left was killed
	Rebooted   Outcome = "reboot"      // the machine was started again
)

// Event is one line of a run's events.
type Event struct {
	Type       EventType       `json:"type"`
	At         boottime.Stamp  `json:"at"`
	PID        int             `json:"pid,omitempty"`
	Deadline   *boottime.Stamp `json:"deadline,omitempty"`
	Generation uint64          `json:"generation,omitempty"`
	// Remaining is the time to the deadline when the user was warned, in
	// nanoseconds; Warning is the configured warning that it was, zero for
	// one given at once.
	Remaining time.Duration `json:"remaining,omitempty"`
	Warning   time.Duration `json:"warning,omitempty"`
	Text      string        `json:"text,omitempty"`
	Reason    string        `json:"reason,omitempty"`
	Outcome   Outcome       `json:"outcome,omitempty"`
	Code      *int          `json:"code,omitempty"`   // exit code; nil if unknown or ended by a signal
	Signal    string        `json:"signal,omitempty"` // the signal that ended the main process
	Forced    bool          `json:"forced,omitempty"` // force was used
	// OutOfMemory: the kernel killed a process of the run because the run had
	// reached its limit of memory.
	OutOfMemory bool `json:"out_of_memory,omitempty"`
	// Cgroup is the folder of the cgroup that the app is started in; empty if
	// it is in none of its own.
	Cgroup string `json:"cgroup,omitempty"`
	// Proof is how it is known that nothing of the run is left. Where that is
	// not known, Deadline is the latest that the guard had.
	Proof Proof `json:"proof,omitempty"`
}

// eventLog appends events, each on disk before append returns.
type eventLog struct {
	mu      sync.Mutex
	f       *os.File
	size    int64         // of the events
	room    int64         // how large they may become, also on a disk that is full by then
	changed chan struct{} // closed and replaced at each append
}

// Room for events is taken in steps. The last of it is kept for the last event: how a run
// ended is told on a full disk too.
const (
	roomStep = 64 << 10
	roomLast = 8 << 10
)

func openEvents(dir string) (*eventLog, error) {
	f, err := os.OpenFile(filepath.Join(dir, eventsFile), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	// A crash can leave half a line; end it, so that it spoils none of ours.
	if size, err := f.Seek(0, io.SeekEnd); err == nil && size > 0 {
		last := make([]byte, 1)
		if _, err := f.ReadAt(last, size-1); err == nil && last[0] != '\n' {
			if _, err := f.WriteString("\n"); err != nil {
				return nil, errors.Join(err, f.Close())
			}
		}
	}
	l := &eventLog{f: f, changed: make(chan struct{})}
	if l.size, err = f.Seek(0, io.SeekEnd); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return l, syncDir(dir)
}

// makeRoom sees to it that there is room for n bytes of events, and then for the last one.
func (l *eventLog) makeRoom(n int64) error {
	if l.size+n+roomLast <= l.room {
		return nil
	}
	want := l.size + n + roomLast + roomStep
	if err := room.Take(l.f, want); err != nil {
		return err
	}
	l.room = want
	return nil
}

func (l *eventLog) append(e Event) error {
	if e.At.IsZero() {
		e.At = boottime.Now()
	}
	b, err := json.Marshal(e)
	if err != nil {
		return err
	}
	b = append(b, '\n')
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.Type != Exited {
		if err := l.makeRoom(int64(len(b))); err != nil {
			return fmt.Errorf("write an event: %w", err)
		}
	}
	if _, err := l.f.Write(b); err != nil {
		// Half a line would spoil the next. Cutting it off may give the room back too.
		l.room = 0
		return fmt.Errorf("write an event: %w", errors.Join(err, l.f.Truncate(l.size)))
	}
	l.size += int64(len(b))
	if err := l.f.Sync(); err != nil {
		return fmt.Errorf("write an event: %w", err)
	}
	close(l.changed)
	l.changed = make(chan struct{})
	return nil
}

// wait returns a channel that is closed at the next append.
func (l *eventLog) wait() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changed
}

func (l *eventLog) close() error { return l.f.Close() }

// ReadEvents returns the events of the run in dir from the offset on, and the
// offset at which to go on; the first offset is 0. A line that a crash left
// unfinished is not returned. A folder without events has none: no error.
func ReadEvents(dir string, from int64) (events []Event, next int64, err error) {
	f, err := os.Open(filepath.Join(dir, eventsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, from, nil
	}
	if err != nil {
		return nil, from, fmt.Errorf("read events: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.NewSectionReader(f, from, 1<<62))
	if err != nil {
		return nil, from, fmt.Errorf("read events: %w", err)
	}
	next = from
	for {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			return events, next, nil
		}
		var e Event
		// Half a line that a later writer ended is no event.
		if err := json.Unmarshal(b[:i], &e); err == nil && e.Type != "" {
			events = append(events, e)
		}
		b, next = b[i+1:], next+int64(i)+1
	}
}

// ended returns the Exited event of a run, if it has one.
func ended(dir string) (Event, bool, error) {
	events, _, err := ReadEvents(dir, 0)
	for _, e := range events {
		if e.Type == Exited {
			return e, true, nil
		}
	}
	return Event{}, false, err
}
