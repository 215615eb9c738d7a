// Package export writes sessions as files for people and programs: a table for
// spreadsheets, or a line of JSON for each session. It is pure: rows in, bytes out, and
// never more than one row at a time, so a file may be of any length.
package export

import (
	"fmt"
	"io"
	"time"

	"leasehold/internal/invalid"
	"leasehold/internal/session"
)

// Format is a kind of file.
type Format string

const (
	// CSV is RFC 4180: a header, CRLF, UTF-8. Times are 2006-01-02 15:04:05 in the zone
	// that the last column names, because that is what spreadsheets take for a time; the
	// header stays the same whatever the zone.
	CSV Format = "csv"
	// NDJSON is a JSON object a line, UTF-8. Times are RFC 3339 with the zone's offset.
	NDJSON Format = "ndjson"
)

// ContentType is the format's media type.
func (f Format) ContentType() string {
	if f == NDJSON {
		return "application/x-ndjson"
	}
	return "text/csv; charset=utf-8; header=present"
}

// Options say how a file is written.
type Options struct {
	Format Format
	BOM    bool           // begin with a byte-order mark, by which Excel knows UTF-8; CSV only
	Zone   *time.Location // of all times; nil is UTC
}

// Validate returns an [invalid.Error] that names the option which is not right.
func (o Options) Validate() error {
	var e invalid.Error
	e.OneOf("format", string(o.Format), string(CSV), string(NDJSON))
	if o.BOM && o.Format == NDJSON {
		// RFC 8259, section 8.1.
		e.Add("bom", "must be left out: JSON never begins with a byte-order mark")
	}
	return e.Err()
}

func (o Options) zone() *time.Location {
	if o.Zone == nil {
		return time.UTC
	}
	return o.Zone
}

// Row is one session as it is written. Zero times mean that it has not happened.
type Row struct {
	ID                        int64
	Name, Username, Email     string // of its user
	App                       string
	StartedAt                 time.Time
	Duration                  time.Duration // to its end or to now; written in whole seconds
	Status                    session.Status
	Kind                      session.Kind
	Reason                    string // why it has this status
	DeliveryMethod, Provision string
	Agent                     string // its device or host
	FirstRunAt                time.Time
	LastActivityAt            time.Time
	EndedAt                   time.Time
	DeletedAt                 time.Time
}

// Writer writes rows. It buffers a few kilobytes until Flush.
type Writer struct {
	rows interface {
		write(*Row) error
		flush() error
	}
	begin func() error // writes what stands before the rows; nil once it has
}

// NewWriter returns a writer of a file to w. Nothing is written before the first Write or
// Flush. The options must be valid.
func NewWriter(w io.Writer, o Options) *Writer {
	if o.Format == NDJSON {
		return &Writer{rows: newJSON(w, o)}
	}
	c := newCSV(w, o)
	return &Writer{rows: c, begin: c.header}
}

// Write adds a row. Its error is the underlying writer's.
func (w *Writer) Write(r *Row) error {
	if err := w.start(); err != nil {
		return err
	}
	if err := w.rows.write(r); err != nil {
		return fmt.Errorf("export: session %d: %w", r.ID, err)
	}
	return nil
}

// Flush hands everything that was written to the underlying writer: the header too, so that
// a file without rows has one.
func (w *Writer) Flush() error {
	if err := w.start(); err != nil {
		return err
	}
	if err := w.rows.flush(); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	return nil
}

func (w *Writer) start() error {
	if w.begin == nil {
		return nil
	}
	if err := w.begin(); err != nil {
		return fmt.Errorf("export: header: %w", err)
	}
	w.begin = nil
	return nil
}
