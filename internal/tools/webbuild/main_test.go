package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// project writes a small npm package with one script and one style.
func project(t *testing.T, script string) build {
	t.Helper()
	dir := t.TempDir()
	b := build{src: filepath.Join(dir, "web"), out: filepath.Join(dir, "dist"), budget: 250 << 10}
	for name, text := range map[string]string{
		"web/src/icons.txt": "clock\n", "web/node_modules/@tabler/icons/icons/outline/clock.svg": "<svg>\n  <path stroke=\"none\" d=\"M0 0h24\" />\n  <path d=\"M1 1\" />\n</svg>\n", "web/src/app.ts": script, "web/src/app.css": "body { color: red }\n",
		"web/src/viewer.ts": "console.log(2)\n", "web/src/viewer.css": "main { color: red }\n", "dist/.keep": "", "dist/app-OLD.js": "old",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func TestBuild(t *testing.T) {
	b := project(t, "const n: number = 1;\nconsole.log(n);\n")
	var out bytes.Buffer
	if err := run(b, &out); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "JavaScript and CSS") {
		t.Errorf("no sizes are told:\n%s", out.String())
	}
	data, err := os.ReadFile(filepath.Join(b.out, "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	var manifest map[string]string
	if err := json.Unmarshal(data, &manifest); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"app.js", "app.css"} {
		for _, file := range []string{manifest[name], manifest[name] + ".gz"} {
			if _, err := os.Stat(filepath.Join(b.out, file)); err != nil || manifest[name] == name {
				t.Errorf("%s: %q: %v", name, file, err)
			}
		}
	}
	if _, err := os.Stat(filepath.Join(b.out, "app-OLD.js")); err == nil {
		t.Error("what an earlier build made is still there")
	}
	if _, err := os.Stat(filepath.Join(b.out, ".keep")); err != nil {
		t.Error("the folder's place in a bare clone is gone")
	}
}

func TestBuildFails(t *testing.T) {
	b := project(t, "const n: number = ;\n")
	if err := run(b, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "app.ts") {
		t.Errorf("a broken script: %v", err)
	}
	b = project(t, "console.log(1)\n")
	b.budget = 10
	if err := run(b, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "over the budget") {
		t.Errorf("over the budget: %v", err)
	}
	os.RemoveAll(filepath.Join(b.src, "node_modules"))
	if err := run(b, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "npm ci") {
		t.Errorf("nothing installed: %v", err)
	}
}

func TestLogicalName(t *testing.T) {
	for name, want := range map[string]string{"app-AB12CD34.css": "app.css", "inter-latin-wght-normal-AB12CD34.woff2": "inter-latin-wght-normal.woff2", "plain.js": "plain.js"} {
		if got := logicalName(name); got != want {
			t.Errorf("logicalName(%q) = %q, want %q", name, got, want)
		}
	}
}
