package export

import (
	"encoding/csv"
	"io"
	"strconv"
	"strings"
	"time"
)

// Columns is the header of a CSV file: first what the Sessions screen shows, then the rest.
var Columns = []string{
	"Session ID", "Name", "Username", "Email", "App name", "Start time", "Duration (seconds)", "Status",
	"Kind", "Status reason", "Delivery method", "Provision", "Device or host",
	"First run", "Last activity", "Ended", "Deleted", "Time zone",
}

type csvWriter struct {
	w      *csv.Writer
	to     io.Writer
	bom    bool
	zone   *time.Location
	record []string // of the last row, used again
}

func newCSV(w io.Writer, o Options) *csvWriter {
	c := &csvWriter{w: csv.NewWriter(w), to: w, bom: o.BOM, zone: o.zone(), record: make([]string, len(Columns))}
	c.w.UseCRLF = true
	return c
}

func (c *csvWriter) header() error {
	if c.bom {
		if _, err := io.WriteString(c.to, "\uFEFF"); err != nil {
			return err
		}
	}
	return c.w.Write(Columns)
}

func (c *csvWriter) write(r *Row) error {
	at := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.In(c.zone).Format(time.DateTime)
	}
	c.record = append(c.record[:0],
		strconv.FormatInt(r.ID, 10), Cell(r.Name), Cell(r.Username), Cell(r.Email), Cell(r.App),
		at(r.StartedAt), strconv.FormatInt(int64(r.Duration/time.Second), 10), Cell(r.Status.Label()),
		Cell(string(r.Kind)), Cell(r.Reason), Cell(r.DeliveryMethod), Cell(r.Provision), Cell(r.Agent),
		at(r.FirstRunAt), at(r.LastActivityAt), at(r.EndedAt), at(r.DeletedAt), c.zone.String())
	return c.w.Write(c.record)
}

func (c *csvWriter) flush() error {
	c.w.Flush()
	return c.w.Error()
}

// lineEnds makes every line end the one that a CSV file turns into CRLF.
var lineEnds = strings.NewReplacer("\r\n", "\n", "\r", "\n")

// Cell is a text as it stands in a cell of a CSV file. What a spreadsheet would run as a
// formula gets an apostrophe before it, so that it is shown instead: a text that begins
// with = + - @, a tab or a line end, after OWASP's "CSV Injection". What is not UTF-8
// becomes U+FFFD, and every line end the same one, which the file has as CRLF.
func Cell(s string) string {
	s = lineEnds.Replace(strings.ToValidUTF8(s, "\uFFFD"))
	if s != "" && strings.IndexByte("=+-@\t\n", s[0]) >= 0 {
		return "'" + s
	}
	return s
}
