package dialog

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tempTools writes shell scripts to stand in for tools, and finds only those.
func tempTools(t *testing.T, scripts map[string]string) func(string) (string, error) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the stand-ins are shell scripts")
	}
	dir := t.TempDir()
	for name, body := range scripts {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+body+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return func(name string) (string, error) {
		path := filepath.Join(dir, name)
		_, err := os.Stat(path)
		return path, err
	}
}

func TestNoDisplay(t *testing.T) {
	p := New(Options{OS: "linux", Env: []string{"DISPLAY="}})
	if _, err := p.Show(Message{Text: "x"}); !errors.Is(err, ErrNone) {
		t.Errorf("got %v, want ErrNone", err)
	}
}

func TestFallsBackToTheNextTool(t *testing.T) {
	look := tempTools(t, map[string]string{"zenity": "exit 1", "xmessage": "exec sleep 60"})
	p := New(Options{OS: "linux", Env: []string{"DISPLAY=:0", "PATH=" + os.Getenv("PATH")}, LookPath: look})
	tool, err := p.Show(Message{Title: "t", Text: "x", Timeout: time.Minute})
	if err != nil || tool != "xmessage" {
		t.Fatalf("got %q, %v", tool, err)
	}
	p.Dismiss()
}

func TestNoToolWorks(t *testing.T) {
	look := tempTools(t, map[string]string{"zenity": "exit 1"})
	p := New(Options{OS: "linux", Env: []string{"DISPLAY=:0"}, LookPath: look})
	_, err := p.Show(Message{Text: "x"})
	if !errors.Is(err, ErrNone) || !strings.Contains(err.Error(), "kdialog is missing") {
		t.Errorf("got %v", err)
	}
}

func TestReplaceAndTimeout(t *testing.T) {
	look := tempTools(t, map[string]string{"kdialog": "exec sleep 60"})
	var started []*exec.Cmd
	p := New(Options{OS: "linux", Env: []string{"DISPLAY=:0", "PATH=" + os.Getenv("PATH")}, LookPath: look,
		Start: func(c *exec.Cmd) error { started = append(started, c); return c.Start() }})
	for range 2 {
		if _, err := p.Show(Message{Title: "t", Text: "x", Timeout: time.Second}); err != nil {
			t.Fatal(err)
		}
	}
	if len(started) != 2 || started[0].ProcessState == nil {
		t.Fatal("the first dialog was not replaced")
	}
	p.mu.Lock()
	second := p.open
	p.mu.Unlock()
	select {
	case <-second.ended:
	case <-time.After(10 * time.Second):
		t.Error("a tool without a timeout of its own was not closed")
	}
	p.Dismiss()
}

// Nothing that people write becomes a flag, markup or script.
func TestTextIsNeverCode(t *testing.T) {
	m := Message{Title: "--help", Heading: "<b>A & B</b>", Text: `"; do shell script "id`, Timeout: 90 * time.Second}
	for _, goos := range []string{"linux", "darwin", "windows"} {
		for _, tool := range tools(goos) {
			args := tool.args(m)
			switch tool.name {
			case "zenity":
				want := "--text=<b><big>&lt;b&gt;A &amp; B&lt;/b&gt;</big></b>\n\n&#34;; do shell script &#34;id"
				if !slices.Contains(args, want) || !slices.Contains(args, "--timeout=90") {
					t.Errorf("zenity %q", args)
				}
			case "osascript":
				if script := strings.Join(args[:len(args)-3], " "); strings.Contains(script, "shell") {
					t.Errorf("the text stands in the script: %s", script)
				}
			case "powershell.exe":
				if strings.Contains(strings.Join(args, " "), "shell script") || !strings.Contains(tool.stdin(m), m.Text) {
					t.Errorf("powershell %q", args)
				}
			}
		}
	}
}
