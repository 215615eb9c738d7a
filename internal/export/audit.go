package export

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"leasehold/internal/store"
)

// AuditColumns is the header of a CSV file of the audit log.
var AuditColumns = []string{"Entry", "Time", "Who", "From", "Request", "Action", "Target", "Name", "Reason", "Outcome", "Count", "Changes", "Time zone"}

// AuditWriter writes entries of the audit log. It buffers a few kilobytes until Flush.
type AuditWriter struct {
	csv   *csvWriter // nil for NDJSON
	json  *json.Encoder
	zone  *time.Location
	begun bool
}

// NewAuditWriter returns a writer of a file to w. Nothing is written before the first Write
// or Flush. The options must be valid.
func NewAuditWriter(w io.Writer, o Options) *AuditWriter {
	a := &AuditWriter{zone: o.zone()}
	if o.Format == NDJSON {
		a.json = json.NewEncoder(w)
		a.json.SetEscapeHTML(false)
		return a
	}
	a.csv = newCSV(w, o)
	return a
}

// Write adds an entry. Its error is the underlying writer's.
func (a *AuditWriter) Write(e *store.AuditEntry) error {
	if err := a.begin(); err != nil {
		return err
	}
	var err error
	if a.json != nil {
		x := *e
		x.At = x.At.In(a.zone)
		err = a.json.Encode(&x)
	} else {
		err = a.csv.line([]string{strconv.FormatInt(e.ID, 10), e.At.In(a.zone).Format(time.DateTime), Cell(e.Actor), Cell(e.From), Cell(e.RequestID),
			Cell(e.Action), Cell(e.Target), Cell(e.Name), Cell(e.Reason), Cell(e.Outcome), strconv.Itoa(e.Count), Cell(changesText(e.Changes)), a.zone.String()})
	}
	if err != nil {
		return fmt.Errorf("export: audit entry %d: %w", e.ID, err)
	}
	return nil
}

// changesText is an entry's changes in one cell, a line each.
func changesText(list []store.Change) string {
	var lines []string
	for _, c := range list {
		lines = append(lines, fmt.Sprintf("%s: %q to %q", c.Field, c.Before, c.After))
	}
	return strings.Join(lines, "\n")
}

// Flush hands everything that was written to the underlying writer: the header too.
func (a *AuditWriter) Flush() error {
	if err := a.begin(); err != nil || a.csv == nil {
		return err
	}
	if err := a.csv.flush(); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	return nil
}

func (a *AuditWriter) begin() error {
	if a.begun || a.csv == nil {
		return nil
	}
	a.begun = true
	if a.csv.bom {
		a.csv.w.WriteString("\uFEFF")
	}
	return a.csv.line(AuditColumns)
}
