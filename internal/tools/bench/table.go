//go:build unix

package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// report is what is printed of one database.
type report struct {
	title    string
	sections []*section
}

type section struct {
	title, head string
	rows        []string
	notes       []string
}

// section begins a part of the table; head names its columns, with tabs between.
func (r *report) section(title, head string) *section {
	s := &section{title: title, head: head}
	r.sections = append(r.sections, s)
	return s
}

func (s *section) row(cells ...any) {
	texts := make([]string, len(cells))
	for i, c := range cells {
		texts[i] = text(c)
	}
	s.rows = append(s.rows, strings.Join(texts, "\t"))
	fmt.Fprintln(os.Stderr, "  ", strings.Join(texts, "  "))
}

func (s *section) note(format string, args ...any) {
	s.notes = append(s.notes, fmt.Sprintf(format, args...))
}

func text(c any) string {
	switch c := c.(type) {
	case time.Duration:
		switch {
		case c >= time.Second:
			return fmt.Sprintf("%.2f s", c.Seconds())
		case c >= 10*time.Millisecond:
			return fmt.Sprintf("%d ms", c.Milliseconds())
		}
		return fmt.Sprintf("%.2f ms", float64(c)/float64(time.Millisecond))
	case float64:
		if c >= 100 {
			return fmt.Sprintf("%.0f", c)
		}
		return fmt.Sprintf("%.2f", c)
	}
	return fmt.Sprint(c)
}

func (r *report) print(w io.Writer) {
	fmt.Fprintf(w, "\n═══ %s\n", r.title)
	for _, s := range r.sections {
		fmt.Fprintf(w, "\n%s\n", s.title)
		t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
		fmt.Fprintf(t, "  %s\n", s.head)
		for _, row := range s.rows {
			fmt.Fprintf(t, "  %s\n", row)
		}
		t.Flush()
		for _, n := range s.notes {
			fmt.Fprintf(w, "  %s\n", n)
		}
	}
}

// printMachine says what the figures were measured on.
func printMachine(w io.Writer) {
	memory, load := "", ""
	if b, err := os.ReadFile("/proc/meminfo"); err == nil {
		var kb int
		fmt.Sscanf(string(b), "MemTotal: %d kB", &kb)
		memory = fmt.Sprintf(", %.0f GB of memory", float64(kb)/1e6)
	}
	if b, err := os.ReadFile("/proc/loadavg"); err == nil {
		load = ", load before " + strings.Fields(string(b))[0]
	}
	fmt.Fprintf(w, "%s/%s, %d cores%s, %s%s\n", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), memory, runtime.Version(), load)
}

// quantile of durations, which it sorts.
func quantile(d []time.Duration, q float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	slices.Sort(d)
	return d[min(len(d)-1, int(q*float64(len(d))))]
}
