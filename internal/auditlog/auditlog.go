// Package auditlog writes the audit log for a collector, a JSON line an entry, to a file
// that is rotated by others or to the standard output. Nobody waits for it: entries wait in
// a bounded queue while the disk is slow or full, and what does not fit is dropped, counted
// and logged. The database keeps every entry all the same.
package auditlog

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"leasehold/internal/store"
)

const (
	// queued is how many entries wait at the most.
	queued = 4096
	// sayEvery is how often it is logged at the most that entries were dropped.
	sayEvery = 10 * time.Second
	// stopWait is how long Close waits for entries to be written.
	stopWait = 3 * time.Second
)

// Log is the audit log of a process. Its methods are safe for concurrent use.
type Log struct {
	open    func() (io.WriteCloser, error)
	log     *slog.Logger
	entries chan store.AuditEntry
	reopen  chan struct{}
	stop    chan struct{}
	done    chan struct{}
	closed  sync.Once
	dropped atomic.Int64
	torn    bool      // a line was written in part; of the writer alone, as the next two
	said    time.Time // when it was logged last that entries were dropped
	saidAt  int64     // and how many had been by then
}

// Open opens the file of a name to append to it, or for "-" takes std. A new file is
// readable by its owner alone. It returns an error if the file cannot be opened.
func Open(name string, std io.Writer, log *slog.Logger) (*Log, error) {
	if name == "-" {
		return start(func() (io.WriteCloser, error) { return nopCloser{std}, nil }, log)
	}
	return start(func() (io.WriteCloser, error) {
		// Another sort of file may keep whoever opens it waiting.
		if s, err := os.Stat(name); err == nil && !s.Mode().IsRegular() {
			return nil, fmt.Errorf("%s is not a regular file", name)
		}
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
		if err != nil {
			return nil, err // it has the name
		}
		return f, nil
	}, log)
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

func start(open func() (io.WriteCloser, error), log *slog.Logger) (*Log, error) {
	w, err := open()
	if err != nil {
		return nil, fmt.Errorf("audit log: %w", err)
	}
	l := &Log{open: open, log: log, entries: make(chan store.AuditEntry, queued), reopen: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
	go l.run(w)
	return l, nil
}

// Add queues an entry to be written. It never waits.
func (l *Log) Add(e store.AuditEntry) {
	select {
	case l.entries <- e:
	default:
		l.dropped.Add(1)
	}
}

// Reopen has the file opened anew before the next entry, after it was renamed.
func (l *Log) Reopen() {
	select {
	case l.reopen <- struct{}{}:
	default: // it will be
	}
}

// Dropped is how many entries were not written.
func (l *Log) Dropped() int64 { return l.dropped.Load() }

// Close writes what is queued and closes the file. It gives up on what takes longer than a
// few seconds, or when ctx is done.
func (l *Log) Close(ctx context.Context) error {
	l.closed.Do(func() { close(l.stop) })
	ctx, cancel := context.WithTimeout(ctx, stopWait)
	defer cancel()
	select {
	case <-l.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("audit log: entries that were not written in time: %d", len(l.entries))
	}
}

func (l *Log) run(w io.WriteCloser) {
	defer close(l.done)
	defer func() {
		if w != nil {
			w.Close()
		}
	}()
	for {
		select {
		case <-l.reopen:
			w = l.again(w)
		case e := <-l.entries:
			w = l.write(w, e)
		case <-l.stop:
			for {
				select {
				case e := <-l.entries:
					w = l.write(w, e)
				default:
					l.say(true)
					return
				}
			}
		}
	}
}

// again opens the file anew. If that fails entries are dropped until it does not.
func (l *Log) again(w io.WriteCloser) io.WriteCloser {
	if w != nil {
		w.Close()
	}
	w, err := l.open()
	if err != nil {
		l.log.Error("open the audit log again", "err", err)
		return nil
	}
	return w
}

func (l *Log) write(w io.WriteCloser, e store.AuditEntry) io.WriteCloser {
	if w == nil {
		if w, _ = l.open(); w == nil {
			l.dropped.Add(1)
			l.say(false)
			return nil
		}
	}
	var b bytes.Buffer
	if l.torn {
		b.WriteByte('\n') // this is a line of its own
	}
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.Encode(e) // of texts, numbers and a time: it cannot fail
	n, err := w.Write(b.Bytes())
	l.torn = err != nil && (n > 0 || l.torn)
	if err != nil {
		l.dropped.Add(1)
		if l.said.IsZero() || time.Since(l.said) >= sayEvery {
			l.log.Error("write the audit log", "err", err)
		}
	}
	l.say(false)
	return w
}

// say logs how many entries were dropped since it was said last.
func (l *Log) say(now bool) {
	n := l.dropped.Load()
	if n == l.saidAt || !now && !l.said.IsZero() && time.Since(l.said) < sayEvery {
		return
	}
	l.log.Error("entries of the audit log were dropped, which the database has", "dropped", n-l.saidAt)
	l.said, l.saidAt = time.Now(), n
}
