package export

import (
	"bufio"
	"io"
	"iter"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Columns is the header of a CSV file: first what the Sessions screen shows, then the rest.
var Columns = []string{
	"Session ID", "Name", "Username", "Email", "App name", "Start time", "Duration (seconds)", "Status",
	"Kind", "Status reason", "Delivery method", "Provision", "Device or host",
	"First run", "Last activity", "Ended", "Deleted", "Time zone",
}

type csvWriter struct {
	w      *bufio.Writer
	bom    bool
	zone   *time.Location
	record []string // of the last row, used again
}

func newCSV(w io.Writer, o Options) *csvWriter {
	return &csvWriter{w: bufio.NewWriter(w), bom: o.BOM, zone: o.zone(), record: make([]string, len(Columns))}
}

func (c *csvWriter) header() error {
	if c.bom {
		c.w.WriteString("\uFEFF")
	}
	return c.line(Columns)
}

// line writes a record. Every cell is quoted (RFC 4180, 2.5 allows it): where the list
// separator of whoever opens the file is another one, a line is then one cell, and nothing
// in a name begins a cell of its own.
func (c *csvWriter) line(cells []string) (err error) {
	for i, cell := range cells {
		if i > 0 {
			c.w.WriteByte(',')
		}
		c.w.WriteByte('"')
		c.w.WriteString(quoted.Replace(cell))
		c.w.WriteByte('"')
	}
	_, err = c.w.WriteString("\r\n") // an earlier error comes again
	return err
}

// quoted is what stands inside quotes: a quote twice, and line ends as the file has them.
var quoted = strings.NewReplacer(`"`, `""`, "\n", "\r\n")

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
	return c.line(c.record)
}

func (c *csvWriter) flush() error {
	return c.w.Flush()
}

// lineEnds makes every line end the one that a CSV file turns into CRLF.
var lineEnds = strings.NewReplacer("\r\n", "\n", "\r", "\n")

// Cell is a text as it stands in a cell of a CSV file. What a spreadsheet would run as a
// formula gets an apostrophe before it, so that it is shown instead: a text that begins
// with = + - @, a tab or a line end, after OWASP's "CSV Injection"; or with one of those in
// full width, which some spreadsheets take for the same; or has one of them behind spaces
// and characters that nobody sees, which some drop. So does what would begin a cell where
// the file is read with another separator, as in countries with a decimal comma: quotes hold
// no cell together there, because the first of a line ends at its comma. What is not UTF-8
// becomes U+FFFD, and every line end the same one, which the file has as CRLF.
func Cell(s string) string {
	s = lineEnds.Replace(strings.ToValidUTF8(s, "\uFFFD"))
	if s != "" && strings.IndexByte("\t\n", s[0]) >= 0 {
		s = "'" + s
	}
	var b strings.Builder
	for part := range splitAfter(s) {
		if runs(part, b.Len() > 0) {
			b.WriteByte('\'')
		}
		b.WriteString(part)
	}
	return b.String()
}

// splitAfter splits a text after each character that may separate cells or lines.
func splitAfter(s string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for s != "" {
			end := strings.IndexAny(s, ";\t|\n") + 1
			if end == 0 {
				end = len(s)
			}
			if !yield(s[:end]) {
				return
			}
			s = s[end:]
		}
	}
}

// runs reports whether a spreadsheet would run what begins a cell; within is that of a text
// that was split, whose quotes are dropped.
func runs(s string, within bool) bool {
	s = strings.TrimLeftFunc(s, func(r rune) bool {
		return unicode.In(r, unicode.C, unicode.Z, unicode.Other_Default_Ignorable_Code_Point) || within && r == '"'
	})
	r, _ := utf8.DecodeRuneInString(s)
	return s != "" && strings.ContainsRune("=+-@＝＋－＠﹢﹣﹦﹫−", r)
}
