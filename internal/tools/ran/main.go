// Command ran stands between go test -json and people: it prints what go test would have
// printed of packages that failed, a line for each of the others, and notes every test
// that passed in a file. With -check it reads those notes and a document instead, and
// fails unless each test that the document names, as `package/path.TestName`, exists and
// has passed.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
)

func main() {
	notes := flag.String("notes", "", "file that lists the tests that passed; added to")
	check := flag.String("check", "", "document whose tests must be in the notes")
	flag.Parse()
	if err := run(*notes, *check, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(notes, doc string, in io.Reader, out io.Writer) error {
	if doc == "" {
		passed, err := read(in, out)
		if err := note(notes, passed); err != nil {
			return err
		}
		return err
	}
	text, err := os.ReadFile(doc)
	if err != nil {
		return err
	}
	passed, err := os.ReadFile(notes)
	if err != nil {
		return err
	}
	return compare(string(text), strings.Fields(string(passed)))
}

// event is one line of go test -json; see go doc test2json.
type event struct {
	Action, Package, Test, Output string
}

// read prints the stream and returns the tests that passed. The error says which packages
// failed.
func read(in io.Reader, out io.Writer) (passed []string, err error) {
	var failed []string
	output := map[string][]string{}
	sc := bufio.NewScanner(in)
	sc.Buffer(nil, 64<<20)
	for sc.Scan() {
		var e event
		if json.Unmarshal(sc.Bytes(), &e) != nil {
			fmt.Fprintln(out, sc.Text()) // of the compiler
			continue
		}
		switch {
		case e.Action == "output" || e.Action == "build-output":
			output[e.Package] = append(output[e.Package], e.Output)
		case e.Action == "pass" && e.Test != "" && !strings.Contains(e.Test, "/"):
			passed = append(passed, strings.TrimPrefix(e.Package, "leasehold/")+"."+e.Test)
		case e.Action == "build-fail":
			failed = append(failed, e.Package)
		case e.Test == "" && (e.Action == "pass" || e.Action == "skip"):
			if lines := output[e.Package]; len(lines) > 0 {
				fmt.Fprint(out, lines[len(lines)-1])
			}
			delete(output, e.Package)
		case e.Test == "" && e.Action == "fail":
			fmt.Fprint(out, strings.Join(output[e.Package], ""))
			delete(output, e.Package)
			failed = append(failed, e.Package)
		}
	}
	for _, lines := range output {
		fmt.Fprint(out, strings.Join(lines, "")) // of what did not build, or did not end
	}
	if err := sc.Err(); err != nil {
		return passed, err
	}
	if len(failed) > 0 {
		return passed, fmt.Errorf("failed: %s", strings.Join(failed, ", "))
	}
	if len(passed) == 0 {
		return nil, fmt.Errorf("no test has run")
	}
	return passed, nil
}

func note(file string, passed []string) error {
	if file == "" {
		return nil
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	for _, p := range passed {
		fmt.Fprintln(f, p)
	}
	return f.Close()
}

var (
	named = regexp.MustCompile("`((?:internal|e2e|cmd)[a-z0-9/]*\\.Test\\w+)`")
	row   = regexp.MustCompile(`(?m)^\| [^|]+ \| [^|]+ \|(.*)\|$`)
)

// compare fails unless every row of the document's tables names tests, all of which passed.
func compare(text string, passed []string) error {
	var missing []string
	rows := 0
	for _, m := range row.FindAllStringSubmatch(text, -1) {
		if strings.TrimSpace(m[1]) == "shown by" {
			continue
		}
		rows++
		tests := named.FindAllStringSubmatch(m[1], -1)
		if len(tests) == 0 {
			missing = append(missing, "no test in: "+m[0])
		}
		for _, t := range tests {
			if !slices.Contains(passed, t[1]) && !slices.Contains(missing, t[1]) {
				missing = append(missing, t[1])
			}
		}
	}
	if rows == 0 {
		return fmt.Errorf("the document has no rows")
	}
	if len(missing) > 0 {
		return fmt.Errorf("named and not passed in this run:\n  %s", strings.Join(missing, "\n  "))
	}
	return nil
}
