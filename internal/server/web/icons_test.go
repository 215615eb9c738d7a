package web

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// Every icon that a template names, and no other, is in the bundle.
func TestIcons(t *testing.T) {
	if len(iconPaths) == 0 {
		t.Fatal("the pages' bundle is not built: run make web")
	}
	sources, err := filepath.Glob("*.templ")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	text := ""
	for _, name := range append(sources, more...) {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text += string(b)
	}
	for _, m := range regexp.MustCompile(`\b(?:icon|notice)\("([a-z0-9-]+)"\)`).FindAllStringSubmatch(text, -1) {
		if iconPaths[m[1]] == "" {
			t.Errorf("icon %q is drawn and not in web/src/icons.txt", m[1])
		}
	}
	for name, paths := range iconPaths {
		if paths == "" {
			t.Errorf("icon %q is empty", name)
		}
		if !regexp.MustCompile(`"` + regexp.QuoteMeta(name) + `"`).MatchString(text) {
			t.Errorf("icon %q of web/src/icons.txt is drawn nowhere", name)
		}
	}
}
