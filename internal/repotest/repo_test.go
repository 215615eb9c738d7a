// Package repotest holds the rules of the repository itself: who may import whom, one
// package comment each, no paths of one machine, nothing left unfinished.
package repotest

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

type pkg struct {
	ImportPath string
	Dir        string
	GoFiles    []string
	Imports    []string
}

func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,GoFiles,Imports", "./...")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var list []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		err := d.Decode(&p)
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
}

// pure packages, each of which may import those before it.
var pure = []string{"calendar", "fold", "invalid", "lease", "session", "catalog", "directory", "wire"}

func TestImports(t *testing.T) {
	for _, p := range packages(t) {
		name, internal := strings.CutPrefix(p.ImportPath, "leasehold/internal/")
		for _, imp := range p.Imports {
			ours, ok := strings.CutPrefix(imp, "leasehold/internal/")
			if !ok || !internal {
				continue
			}
			top := func(s string) string { return strings.SplitN(s, "/", 2)[0] }
			switch {
			case slices.Contains(pure, name):
				if i := slices.Index(pure, ours); i < 0 || i > slices.Index(pure, name) {
					t.Errorf("%s, which is pure, imports %s", name, ours)
				}
			case name == "store":
				if !slices.Contains(pure, ours) {
					t.Errorf("store imports %s; it may import the pure packages only", ours)
				}
			case top(name) == "agent":
				if slices.Contains([]string{"store", "control", "server", "auth"}, top(ours)) {
					t.Errorf("%s imports %s: agents know the wire, not the server", name, ours)
				}
			case top(name) == "server":
				// The faces reach the database through the use cases. They may name the
				// types of the contract, not an implementation.
				if ours == "store/sqlite" || ours == "store/postgres" || ours == "store/sqldb" || top(ours) == "agent" {
					t.Errorf("%s imports %s", name, ours)
				}
			case name == "control":
				if slices.Contains([]string{"server", "agent", "simulate"}, top(ours)) || strings.HasPrefix(ours, "store/") {
					t.Errorf("control imports %s", ours)
				}
			}
		}
	}
}

func TestOnePackageCommentEach(t *testing.T) {
	for _, p := range packages(t) {
		var with []string
		for _, f := range p.GoFiles {
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, f), nil, parser.PackageClauseOnly|parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			if file.Doc != nil && !strings.HasSuffix(f, "_templ.go") {
				with = append(with, f)
			}
		}
		if len(with) != 1 && len(p.GoFiles) > 0 {
			t.Errorf("%s: %d package comments %v, want one", p.ImportPath, len(with), with)
		}
	}
}

// TestExportedIsDocumented: every exported name of the packages that others build on says
// what it is.
func TestExportedIsDocumented(t *testing.T) {
	for _, p := range packages(t) {
		name, ok := strings.CutPrefix(p.ImportPath, "leasehold/internal/")
		if !ok {
			continue
		}
		for _, f := range p.GoFiles {
			if strings.HasSuffix(f, "_templ.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, f), nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range file.Decls {
				switch d := d.(type) {
				case *ast.FuncDecl:
					if d.Name.IsExported() && d.Doc == nil && exportedReceiver(d) {
						t.Errorf("%s: %s has no comment", name, d.Name.Name)
					}
				case *ast.GenDecl:
					for _, s := range d.Specs {
						if ts, ok := s.(*ast.TypeSpec); ok && ts.Name.IsExported() && d.Doc == nil && ts.Doc == nil {
							t.Errorf("%s: type %s has no comment", name, ts.Name.Name)
						}
					}
				}
			}
		}
	}
}

func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	typ := d.Recv.List[0].Type
	if s, ok := typ.(*ast.StarExpr); ok {
		typ = s.X
	}
	id, ok := typ.(*ast.Ident)
	return ok && id.IsExported() && d.Name.Name != "Error" && d.Name.Name != "String" && d.Name.Name != "Unwrap"
}

// files calls do for every file under version control that is text of ours.
func files(t *testing.T, do func(path, text string)) {
	t.Helper()
	skip := map[string]bool{".git": true, "node_modules": true, "bin": true, "dist": true, "testdata": true}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if skip[d.Name()] {
				return fs.SkipDir
			}
			return nil
		}
		switch filepath.Ext(path) {
		case ".go", ".md", ".ts", ".css", ".templ", ".sql", ".sh", ".json", ".mod", "":
		default:
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		do(strings.TrimPrefix(path, root+"/"), string(b))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// dayRules are calls that only package calendar may make, as they are written: elsewhere
// they would be right in most zones and on most days.
var dayRules = []struct {
	bad *regexp.Regexp
	say string
}{
	{regexp.MustCompile(`^time\.Date\(.*\)$`), "a day begins at calendar.Date.Start"},
	{regexp.MustCompile(`\.AddDate\(`), "days are added by calendar.Date.AddDays, lengths of time by calendar.Days"},
	{regexp.MustCompile(`\.(Truncate|Round)\(.*(24 ?\*|[dD]ay)`), "a day begins at calendar.Date.Start"},
	{regexp.MustCompile(`^time\.(LoadLocation|ParseInLocation)\(`), "zones are read by calendar.Zone, dates by calendar.ParseDate"},
	{regexp.MustCompile(`time\.DateOnly`), "dates are written and read by calendar.Date"},
	{regexp.MustCompile(`\.(YearDay|Weekday|ISOWeek|ZoneBounds)\(\)$`), "the day of a moment is calendar.DateOf"},
}

// TestDaysAreTheCalendars: midnight does not exist in every zone, so who reckons with days
// asks package calendar. Tools and tests need not.
func TestDaysAreTheCalendars(t *testing.T) {
	for _, p := range packages(t) {
		name := strings.TrimPrefix(p.ImportPath, "leasehold/")
		if name == "internal/calendar" || strings.HasPrefix(name, "internal/tools/") || strings.HasSuffix(name, "test") {
			continue
		}
		for _, f := range p.GoFiles {
			fset := token.NewFileSet()
			src, err := os.ReadFile(filepath.Join(p.Dir, f))
			if err != nil {
				t.Fatal(err)
			}
			file, err := parser.ParseFile(fset, f, src, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				text := string(src[fset.Position(call.Pos()).Offset:fset.Position(call.End()).Offset])
				if strings.HasPrefix(text, "time.Date(") && strings.HasSuffix(text, "time.UTC)") {
					return true
				}
				for _, r := range dayRules {
					if r.bad.MatchString(text) {
						t.Errorf("%s/%s: %s: %s", name, fset.Position(call.Pos()), text, r.say)
					}
				}
				return true
			})
		}
	}
}

var (
	// What would make the repository speak of one machine, or of a registry. Written in
	// pieces, so that this file does not find itself.
	machine    = regexp.MustCompile(`/` + `work/(main|shared)|/` + `root/go|proxy\.` + `golang\.org|registry\.` + `npmjs`)
	unfinished = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`)
)

func TestNothingOfOneMachine(t *testing.T) {
	files(t, func(path, text string) {
		if m := machine.FindString(text); m != "" {
			t.Errorf("%s names %q", path, m)
		}
		if m := unfinished.FindString(text); m != "" {
			t.Errorf("%s has a %s", path, m)
		}
	})
}

// TestFilesStayReadable: beyond about five hundred lines a file is hard to find one's way in.
func TestFilesStayReadable(t *testing.T) {
	files(t, func(path, text string) {
		if filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_templ.go") || strings.HasSuffix(path, "_test.go") {
			return
		}
		if n := strings.Count(text, "\n"); n > 520 {
			t.Errorf("%s has %d lines", path, n)
		}
	})
}

// TestMigrationsMatch: both databases have the same migrations by number.
func TestMigrationsMatch(t *testing.T) {
	names := func(db string) (out []string) {
		list, err := filepath.Glob(filepath.Join(root, "internal/store", db, "migrations/*.sql"))
		if err != nil || len(list) == 0 {
			t.Fatalf("%s: %v, %v", db, list, err)
		}
		for _, f := range list {
			out = append(out, filepath.Base(f))
		}
		return out
	}
	if a, b := names("sqlite"), names("postgres"); !slices.Equal(a, b) {
		t.Errorf("sqlite has %v, postgres %v", a, b)
	}
}
