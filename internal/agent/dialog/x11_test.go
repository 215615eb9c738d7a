//go:build linux

package dialog

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// need fails the test, and says how to help, when a program is missing.
func need(t *testing.T, program, pkg string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Fatalf("%s is missing, and this test needs it: apt-get install %s", program, pkg)
	}
}

// xvfb starts a virtual display and returns its name.
func xvfb(t *testing.T) string {
	t.Helper()
	need(t, "Xvfb", "xvfb")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	// Xvfb picks a free display itself and writes its number when it is ready.
	cmd := exec.Command("Xvfb", "-displayfd", "3", "-screen", "0", "800x600x24", "-nolisten", "tcp")
	cmd.ExtraFiles = []*os.File{w}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	_ = r.SetReadDeadline(time.Now().Add(20 * time.Second))
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Fatalf("Xvfb did not come up: %v", err)
	}
	return ":" + strings.TrimSpace(line)
}

func TestZenityOnARealDisplay(t *testing.T) {
	need(t, "zenity", "zenity")
	need(t, "xwininfo", "x11-utils")
	display := xvfb(t)
	var env []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "DISPLAY=") && !strings.HasPrefix(e, "WAYLAND_DISPLAY=") && !strings.HasPrefix(e, "XAUTHORITY=") {
			env = append(env, e)
		}
	}
	env = append(env, "DISPLAY="+display, "GDK_BACKEND=x11", "NO_AT_BRIDGE=1")
	p := New(Options{Env: env, Log: os.Stderr})
	defer p.Dismiss()

	titles := func() string {
		out, _ := exec.Command("xwininfo", "-display", display, "-root", "-tree").CombinedOutput()
		return string(out)
	}
	await := func(what string, ok func(string) bool) {
		t.Helper()
		deadline := time.Now().Add(20 * time.Second)
		for !ok(titles()) {
			if time.Now().After(deadline) {
				t.Fatalf("%s; windows:\n%s", what, titles())
			}
			time.Sleep(20 * time.Millisecond)
		}
	}

	if tool, err := p.Show(Message{Title: "First & <b>", Text: "MATLAB will close in 2 minutes.", Timeout: time.Minute}); err != nil || tool != "zenity" {
		t.Fatalf("Show: %q, %v", tool, err)
	}
	await("the first dialog is not there", func(s string) bool { return strings.Contains(s, "First & <b>") })
	if _, err := p.Show(Message{Title: "Second", Text: "MATLAB will close in 1 minute.", Timeout: 2 * time.Second}); err != nil {
		t.Fatal(err)
	}
	await("the second dialog did not replace the first", func(s string) bool {
		return strings.Contains(s, "Second") && !strings.Contains(s, "First")
	})
	await("the second dialog did not close by itself", func(s string) bool { return !strings.Contains(s, "Second") })
}
