package repotest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	// caseCalls change or pass over the case of a text in a way of their own.
	caseCalls = regexp.MustCompile(`^(strings|bytes|unicode)\.(To(Lower|Upper|Title)|EqualFold|SimpleFold)(Special)?$|^(cases|norm)\.`)
	caseSQL   = regexp.MustCompile(`(?i)\b(lower|upper|initcap) ?\(|\bilike\b|\bcitext\b|\bcollate +nocase\b`)
)

// notNames are the places where case is changed of what is no name and nothing that people
// search, with the reason.
var notNames = map[string]string{
	"cmd/leasehold/simulate.go":             "a random word for names that the program makes",
	"cmd/leasehold/batch.go":                "a status, in a sentence",
	"cmd/leasehold/organisation.go":         "user names of the demo, which are ASCII",
	"cmd/leasehold/player.go":               "yes or no, as it was typed",
	"internal/agent/guard/environment.go":   "names of environment variables",
	"internal/agent/client.go":              "a host name of an address",
	"internal/agent/packages/packages.go":   "a host name of an address; hex digits",
	"internal/agent/packages/push.go":       "the ending .exe of a file",
	"internal/server/web/format.go":         "a capital that is shown",
	"internal/server/web/labels.go":         "names of Go fields, to find their labels",
	"internal/server/web/methods.go":        "hex digits",
	"internal/server/web/sessionfilters.go": "words of ours, in a sentence",
	"internal/server/web/sessions.go":       "a title of ours, in a sentence",
	"internal/session/status.go":            "a capital that is shown",
	"internal/store/sqldb/names.go":         "what the schema before had for a fold",
}

// TestOneFold: which spellings are one name says package fold alone. What a database says
// depends on its locale, and the functions of Go do not all agree.
func TestOneFold(t *testing.T) {
	used := map[string]bool{}
	for _, p := range packages(t) {
		name := strings.TrimPrefix(p.ImportPath, "leasehold/")
		if name == "internal/fold" || strings.HasPrefix(name, "internal/tools/") || strings.HasSuffix(name, "test") {
			continue
		}
		for _, f := range p.GoFiles {
			path := name + "/" + f
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
				bad := ""
				switch n := n.(type) {
				case *ast.SelectorExpr:
					text := string(src[fset.Position(n.Pos()).Offset:fset.Position(n.End()).Offset])
					if caseCalls.MatchString(text) {
						bad = text
					}
				case *ast.BasicLit:
					if n.Kind == token.STRING {
						bad = caseSQL.FindString(strings.Trim(n.Value, "`\""))
					}
				}
				if bad == "" {
					return true
				}
				if used[path] = true; notNames[path] == "" {
					t.Errorf("%s/%s: %s: names are compared by package fold", name, fset.Position(n.Pos()), bad)
				}
				return true
			})
		}
	}
	for path := range notNames {
		if !used[path] {
			t.Errorf("%s changes no case; take it from the list", path)
		}
	}
	files(t, func(path, text string) {
		// Migration 1 has shipped; migration 3 takes its indexes away.
		if filepath.Ext(path) != ".sql" || filepath.Base(path) == "00001_init.sql" {
			return
		}
		if m := caseSQL.FindString(text); m != "" {
			t.Errorf("%s: %s: names are compared by package fold", path, m)
		}
	})
}
