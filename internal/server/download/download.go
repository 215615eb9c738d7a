// Package download answers a request with a file of sessions or of the audit log, for the pages and the API
// alike: in steps as they are read, so that neither its length nor who reads it slowly
// costs memory.
package download

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"leasehold/internal/calendar"
	"leasehold/internal/control"
	"leasehold/internal/export"
	"leasehold/internal/store"
)

// patience is how long a caller may take for one step. One that takes longer is gone.
const patience = time.Minute

// Sessions sends every session that matches. What goes wrong before the first byte is
// returned, and nothing has been answered. Later the connection is broken off, by a panic
// with [http.ErrAbortHandler]: half a file must not be taken for a whole one.
func Sessions(w http.ResponseWriter, r *http.Request, c *control.Control, log *slog.Logger, who control.Who, q store.SessionQuery, o export.Options) error {
	out := export.NewWriter(w, o)
	return send(w, r, log, Name(q, o), o, func(step func(func() error) error) error {
		return c.Export(r.Context(), who, q, o, func(rows []export.Row) error {
			return step(func() error {
				for i := range rows {
					if err := out.Write(&rows[i]); err != nil {
						return err
					}
				}
				return out.Flush()
			})
		})
	})
}

// send answers with a file: walk calls step for each step, with what writes it.
func send(w http.ResponseWriter, r *http.Request, log *slog.Logger, name string, o export.Options, walk func(step func(write func() error) error) error) error {
	if r.Method == http.MethodHead {
		// Nothing would be seen of the rows, and the audit log would tell of an export.
		begin(w, name, o)
		return nil
	}
	rc := http.NewResponseController(w)
	// The server's limit on reading a request would end a download that outlives it.
	rc.SetReadDeadline(time.Time{})
	begun := false
	err := walk(func(write func() error) error {
		if !begun {
			begin(w, name, o)
			begun = true
		}
		rc.SetWriteDeadline(time.Now().Add(patience))
		if err := write(); err != nil {
			return err
		}
		return rc.Flush()
	})
	if err != nil && begun {
		if !errors.Is(err, context.Canceled) {
			log.Warn("an export was broken off", "request", w.Header().Get("X-Request-Id"), "err", err)
		}
		panic(http.ErrAbortHandler)
	}
	rc.SetWriteDeadline(time.Time{}) // the connection may be used again
	return err
}

func begin(w http.ResponseWriter, name string, o export.Options) {
	h := w.Header()
	h.Set("Content-Type", o.Format.ContentType())
	h.Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", name))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
}

// Name is the file's name: sessions-2026-11-01-to-2026-11-22.csv, with the days of the
// options' zone in which the period begins and ends, as far as it does.
func Name(q store.SessionQuery, o export.Options) string {
	return periodName("sessions", q.From, q.To, o)
}

func periodName(name string, from, to time.Time, o export.Options) string {
	day := func(t time.Time) string { return calendar.DateOf(t, o.Zone).String() }
	if !from.IsZero() {
		name += "-" + day(from)
	}
	if !to.IsZero() {
		name += "-to-" + day(to.Add(-time.Microsecond)) // the period ends before it
	} else if !from.IsZero() {
		name += "-on"
	}
	return name + "." + string(o.Format)
}
