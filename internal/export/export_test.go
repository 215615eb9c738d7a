package export_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"leasehold/internal/export"
	"leasehold/internal/invalid"
	"leasehold/internal/session"
)

var update = flag.Bool("update", false, "write the golden files anew")

func berlin(t testing.TB) *time.Location {
	z, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// rows has a plain session, a hostile one and one of which little is known.
func rows() []export.Row {
	start := time.Date(2026, 11, 1, 23, 30, 0, 123456000, time.UTC)
	return []export.Row{
		{ID: 48213, Name: "Ann Berg", Username: "ann", Email: "ann@example.org", App: "MATLAB", StartedAt: start, Duration: 90*time.Minute + 900*time.Millisecond,
			Status: session.Disconnected, Kind: session.Stream, Reason: "the app exited", DeliveryMethod: "MATLAB in the browser", Provision: "Engineering", Agent: "host-1",
			FirstRunAt: start.Add(time.Second), LastActivityAt: start.Add(time.Hour), EndedAt: start.Add(90 * time.Minute)},
		{ID: 48214, Name: "=cmd|' /C calc'!A1", Username: "+1", Email: "@evil", App: "-2+3", StartedAt: time.Date(2026, 10, 25, 1, 30, 0, 0, time.UTC), Duration: time.Second,
			Status: session.RenewalRequested, Kind: session.Device, Reason: "\t=1", DeliveryMethod: "\r=1", Provision: "a, \"b\"\r\nc\rd", Agent: "Zoë 💻 \xff",
			DeletedAt: time.Date(2026, 3, 29, 1, 0, 0, 0, time.UTC)},
		{ID: 1, Kind: session.Device, Status: session.Launched, StartedAt: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)},
	}
}

func written(t testing.TB, o export.Options, rs []export.Row) []byte {
	t.Helper()
	var b bytes.Buffer
	w := export.NewWriter(&b, o)
	for i := range rs {
		if err := w.Write(&rs[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestGolden(t *testing.T) {
	for name, o := range map[string]export.Options{
		"utc.csv":       {Format: export.CSV},
		"berlin.csv":    {Format: export.CSV, BOM: true, Zone: berlin(t)},
		"utc.ndjson":    {Format: export.NDJSON},
		"berlin.ndjson": {Format: export.NDJSON, Zone: berlin(t)},
	} {
		got, file := written(t, o, rows()), "testdata/"+name
		if *update {
			if err := os.WriteFile(file, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not as it was; if that is meant: go test ./internal/export -update\n%s", name, got)
		}
		if name == "utc.csv" {
			if n := bytes.Count(got, []byte("\n")); n != bytes.Count(got, []byte("\r\n")) {
				t.Error("a line ends without CR")
			}
		}
	}
}

// TestNoRows: a file without sessions is a file all the same.
func TestNoRows(t *testing.T) {
	if got := string(written(t, export.Options{Format: export.CSV}, nil)); got != `"`+strings.Join(export.Columns, `","`)+"\"\r\n" {
		t.Errorf("%q", got)
	}
	if got := written(t, export.Options{Format: export.NDJSON}, nil); len(got) != 0 {
		t.Errorf("%q", got)
	}
}

// TestNDJSON: every line is an object, and its times are the same moments.
func TestNDJSON(t *testing.T) {
	in := rows()
	d := json.NewDecoder(bytes.NewReader(written(t, export.Options{Format: export.NDJSON, Zone: berlin(t)}, in)))
	for i := range in {
		var got struct {
			ID        int64
			Name      string
			StartedAt time.Time `json:"started_at"`
			EndedAt   *time.Time
		}
		if err := d.Decode(&got); err != nil {
			t.Fatal(err)
		}
		if got.ID != in[i].ID || got.Name != in[i].Name || !got.StartedAt.Equal(in[i].StartedAt) {
			t.Errorf("%+v of %+v", got, in[i])
		}
	}
	if d.More() {
		t.Error("there is more")
	}
}

func TestValidate(t *testing.T) {
	for _, tt := range []struct {
		o     export.Options
		field string
	}{
		{export.Options{Format: export.CSV, BOM: true}, ""},
		{export.Options{Format: export.NDJSON}, ""},
		{export.Options{}, "format"},
		{export.Options{Format: "xlsx"}, "format"},
		{export.Options{Format: export.NDJSON, BOM: true}, "bom"},
	} {
		var bad invalid.Error
		switch err := tt.o.Validate(); {
		case tt.field == "" && err != nil:
			t.Errorf("%+v: %v", tt.o, err)
		case tt.field != "" && (!errors.As(err, &bad) || bad[0].Name != tt.field):
			t.Errorf("%+v: %v, want %s", tt.o, err, tt.field)
		}
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// TestWriteFails: that the other side is gone is said, at the flush at the latest.
func TestWriteFails(t *testing.T) {
	for _, o := range []export.Options{{Format: export.CSV}, {Format: export.CSV, BOM: true}, {Format: export.NDJSON}} {
		w := export.NewWriter(broken{}, o)
		err := w.Write(&rows()[0])
		if ferr := w.Flush(); err == nil {
			err = ferr
		}
		if !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// FuzzCSV: whatever the texts are, the file is read back as what was written, no cell
// begins as a formula does, and a text that is harmless stays as it is.
func FuzzCSV(f *testing.F) {
	f.Add("Ann", "ann@example.org", int64(0))
	f.Add("=1+1", "\r\n-1", int64(1))
	f.Add("a\rb\r\nc", "\"", int64(-1))
	f.Add("\\.", "\xff\x00,", int64(1<<40))
	f.Fuzz(func(t *testing.T, a, b string, at int64) {
		in := export.Row{ID: 7, Name: a, Username: b, Email: a + b, App: b + a, Reason: a, DeliveryMethod: b, Provision: a, Agent: b,
			Status: session.Connected, Kind: session.Stream, StartedAt: time.Unix(at%(1<<37), 0)}
		file := written(t, export.Options{Format: export.CSV}, []export.Row{in, in})
		if !utf8.Valid(file) {
			t.Fatalf("not UTF-8: %q", file)
		}
		got, err := csv.NewReader(bytes.NewReader(file)).ReadAll()
		if err != nil {
			t.Fatalf("%v in %q", err, file)
		}
		if len(got) != 3 || !slices.Equal(got[0], export.Columns) || !slices.Equal(got[1], got[2]) {
			t.Fatalf("%q", got)
		}
		for i, s := range map[int]string{1: a, 2: b, 3: a + b, 4: b + a, 9: a, 10: b, 11: a, 12: b} {
			cell := got[1][i]
			if cell != export.Cell(s) {
				t.Errorf("column %d: %q was written for %q, and read as %q", i, export.Cell(s), s, cell)
			}
			if cell != "" && strings.ContainsRune("=+-@\t\r\n", rune(cell[0])) {
				t.Errorf("column %d begins as a formula: %q", i, cell)
			}
			if harmless := utf8.ValidString(s) && !strings.ContainsAny(s, "\r\n\t;|") && !strings.HasPrefix(cell, "'"); harmless && cell != s {
				t.Errorf("column %d: %q became %q", i, s, cell)
			}
		}
	})
}

// TestCellsOfSpreadsheets: what a spreadsheet takes for a formula, or for the end of a cell,
// in whatever script and behind whatever nobody sees.
func TestCellsOfSpreadsheets(t *testing.T) {
	for _, name := range []string{"＝1+1", "＋1", "－1", "＠SUM(A1)", "\uFEFF=1+1", "\u200B=1+1", "\u2060\u00AD＝1", " =1+1", "\u00A0=1+1", "\u3164=1", "﹦1", "=1", "\t=1", "\r=1"} {
		if got := export.Cell(name); !strings.HasPrefix(got, "'") {
			t.Errorf("%q stands as %q", name, got)
		}
	}
	for _, name := range []string{"", "Ann", "a=1", "3+4", "\u00C9mile", "\u7530\u4E2D", "1-2"} {
		if got := export.Cell(name); got != name {
			t.Errorf("%q stands as %q", name, got)
		}
	}
	// Read with another separator, by a program that ends a quoted cell at its quote.
	for name, want := range map[string]string{
		"x;=1+1": "x;'=1+1", "x\t@SUM(A1);y": "x\t'@SUM(A1);y", "x;\"=1": "x;'\"=1", "a\n+1": "a\n'+1", "x;; =1": "x;;' =1", "=1;=2": "'=1;'=2", "a;b": "a;b", "a;1-2": "a;1-2",
	} {
		if got := export.Cell(name); got != want {
			t.Errorf("%q stands as %q, want %q", name, got, want)
		}
	}
	in := rows()[:1]
	in[0].Name, in[0].App = "a;b", "x\t=1;\"=2"
	file := written(t, export.Options{Format: export.CSV}, in)
	for _, separator := range []rune{';', '\t'} {
		r := csv.NewReader(bytes.NewReader(file))
		r.Comma, r.LazyQuotes, r.FieldsPerRecord = separator, true, -1
		lines, err := r.ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range lines {
			if len(l) != 1 {
				t.Errorf("separated by %q a line has %d cells: %q", separator, len(l), l)
			}
		}
	}
}
