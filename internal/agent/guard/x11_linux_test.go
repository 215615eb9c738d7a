package guard_test

import (
	"bufio"
	"bytes"
	"fmt"
	"image/color"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jezek/xgb"
	"github.com/jezek/xgb/xproto"
	"github.com/jezek/xgb/xtest"

	"leasehold/internal/agent/boottime"
	"leasehold/internal/agent/guard"
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

// picture fails if nothing is drawn on the display, and keeps a screenshot in
// LEASEHOLD_SCREENSHOTS, where that is set.
func picture(t *testing.T, display, name string) {
	t.Helper()
	need(t, "import", "imagemagick")
	// A window is drawn a moment after it is there.
	var b []byte
	await(t, "a picture of the dialog", func() bool {
		out, err := exec.Command("import", "-display", display, "-window", "root", "png:-").Output()
		if err != nil {
			return false
		}
		img, err := png.Decode(bytes.NewReader(out))
		if err != nil {
			return false
		}
		colours := map[color.Color]bool{}
		for y := range img.Bounds().Dy() {
			for x := range img.Bounds().Dx() {
				colours[img.At(x, y)] = true
			}
		}
		b = out
		return len(colours) > 50 // smooth letters; the app's own window has few
	})
	if dir := os.Getenv("LEASEHOLD_SCREENSHOTS"); dir != "" {
		if err := os.WriteFile(filepath.Join(dir, name+".png"), b, 0o644); err != nil {
			t.Error(err)
		}
	}
}

// On a desktop: the app's window is asked to close by its own protocol, and
// warnings are dialogs that go when they are no longer true. The dialogs are
// the guard's children and no part of the run.
func TestOnADesktop(t *testing.T) {
	t.Parallel()
	need(t, "zenity", "zenity")
	need(t, "xwininfo", "x11-utils")
	display := xvfb(t)
	s := spec(0)
	s.Argv = []string{sample, "--title", "The App"}
	s.Env = []string{"DISPLAY=" + display, "XAUTHORITY=", "WAYLAND_DISPLAY=", "GDK_BACKEND=x11", "NO_AT_BRIDGE=1"}
	s.Title = "Closing soon"
	s.Dialogs = true
	s.Warnings = []time.Duration{time.Minute}
	s.Margin = 20 * time.Second
	s.Deadline = boottime.Now().Add(time.Minute + 300*time.Millisecond)
	h := spawn(t, s)
	windows := func() string {
		out, _ := exec.Command("xwininfo", "-display", display, "-root", "-tree").CombinedOutput()
		return string(out)
	}
	shows := func(title string) func() bool { return func() bool { return strings.Contains(windows(), title) } }
	await(t, "the app's window", shows("The App"))
	await(t, "the dialog", shows("Closing soon"))
	picture(t, display, "first-warning")
	if _, err := extend(t, h, boottime.Now().Add(time.Hour), 1); err != nil {
		t.Fatal(err)
	}
	await(t, "the dialog to go", func() bool { return !shows("Closing soon")() })
	if _, err := h.Close(t.Context(), orderIn(2*time.Second)); err != nil {
		t.Fatal(err)
	}
	await(t, "the next dialog", shows("Evicted"))
	if shows("Closing soon")() {
		t.Error("the first dialog is still there")
	}
	events := follow(t, h)
	wantTypes(t, events, "starting started warned extended closing warned asked exited")
	asked, exited := events[6], events[7]
	if took := exited.At.Sub(asked.At); took > s.Margin/2 {
		t.Errorf("closed %v after it was asked: by a signal, not by its window", took)
	}
	if exited.Code == nil || *exited.Code != 0 {
		t.Errorf("exited %+v", exited)
	}
	await(t, "the last dialog to go", func() bool { return !shows("Evicted")() })
}

// An app with unsaved work asks before it closes: its user has until half of the margin is
// over to answer. If nobody does it is told to end, and saves by itself.
func TestAnAppAsksBeforeItCloses(t *testing.T) {
	t.Parallel()
	for _, answered := range []bool{true, false} {
		t.Run(fmt.Sprintf("answered=%v", answered), func(t *testing.T) {
			t.Parallel()
			display := xvfb(t)
			file := filepath.Join(t.TempDir(), "work")
			s := spec(0)
			s.Argv = []string{sample, "--unsaved", file}
			s.Env = []string{"DISPLAY=" + display, "XAUTHORITY="}
			s.Warnings, s.Margin = nil, 4*time.Second
			if answered {
				s.Margin = time.Minute
			}
			s.Deadline = boottime.Now().Add(2 * time.Second)
			h := spawn(t, s)
			status := func() guard.Status {
				st, err := h.Status(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				return st
			}
			await(t, "the app is asked", func() bool { return status().Phase == "asked" })
			if answered {
				await(t, "the answer is taken", func() bool {
					pressKey(t, display)
					_, err := os.Stat(file)
					return err == nil
				})
			}
			events := follow(t, h)
			wantTypes(t, events, "starting started asked exited")
			last := events[3]
			if last.Outcome != guard.Closed || last.Code == nil || *last.Code != 0 {
				t.Errorf("exited %+v", last)
			}
			if took := last.At.Sub(events[2].At); answered != (took < s.Margin/2) {
				t.Errorf("closed after %v of %v", took, s.Margin)
			}
			if b, err := os.ReadFile(file); err != nil || string(b) != "the work\n" {
				t.Errorf("saved %q, %v", b, err)
			}
		})
	}
}

// pressKey presses the space bar over the window, as its user would.
func pressKey(t *testing.T, display string) {
	t.Helper()
	conn, err := xgb.NewConnDisplay(display)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := xtest.Init(conn); err != nil {
		t.Fatal(err)
	}
	root := xproto.Setup(conn).DefaultScreen(conn).Root
	xproto.WarpPointer(conn, 0, root, 0, 0, 0, 0, 100, 100)
	for _, what := range []byte{xproto.KeyPress, xproto.KeyRelease} {
		if err := xtest.FakeInputChecked(conn, what, 65, 0, root, 0, 0, 0).Check(); err != nil {
			t.Fatal(err)
		}
	}
}
