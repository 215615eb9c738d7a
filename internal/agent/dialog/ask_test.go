//go:build linux

package dialog

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

var question = Question{Title: "Leasehold", Heading: "Mal <Ory> has not used this device before", Text: "The link starts “R & D” for them.", Yes: "Accept", No: "Refuse", Timeout: time.Minute}

func TestAskWithTools(t *testing.T) {
	env := []string{"DISPLAY=:0", "PATH=" + os.Getenv("PATH")}
	for _, x := range []struct {
		name    string
		scripts map[string]string
		yes     bool
		err     error
	}{
		{"yes", map[string]string{"zenity": "exit 0"}, true, nil},
		{"no", map[string]string{"zenity": "sleep 0.8; exit 1"}, false, nil},
		{"the first fails", map[string]string{"zenity": "exit 1", "xmessage": "sleep 0.8; echo Accept; exit 0"}, true, nil},
		{"nobody answers", map[string]string{"xmessage": "sleep 0.8; exit 0"}, false, nil},
		{"none works", map[string]string{"zenity": "exit 1"}, false, ErrNone},
	} {
		p := New(Options{OS: "linux", Env: env, LookPath: tempTools(t, x.scripts)})
		if yes, err := p.Ask(t.Context(), question); yes != x.yes || !errors.Is(err, x.err) {
			t.Errorf("%s: %v, %v", x.name, yes, err)
		}
	}
	if _, err := New(Options{OS: "linux", Env: []string{"DISPLAY="}}).Ask(t.Context(), question); !errors.Is(err, ErrNone) {
		t.Errorf("no display: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	p := New(Options{OS: "linux", Env: env, LookPath: tempTools(t, map[string]string{"zenity": "exec sleep 60"})})
	if yes, err := p.Ask(ctx, question); yes || err != nil {
		t.Errorf("given up: %v, %v", yes, err)
	}
}

// Each program takes silence for no.
func TestNobodyAnswers(t *testing.T) {
	env := append(os.Environ(), "DISPLAY="+xvfb(t), "WAYLAND_DISPLAY=", "XAUTHORITY=", "GDK_BACKEND=x11", "NO_AT_BRIDGE=1")
	for _, tool := range []string{"zenity", "xmessage"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Logf("%s is not installed", tool)
			continue
		}
		q := question
		q.Timeout = 2 * time.Second
		p := New(Options{Env: env, Log: os.Stderr, LookPath: func(name string) (string, error) {
			if name != tool {
				return "", exec.ErrNotFound
			}
			return exec.LookPath(name)
		}})
		if yes, err := p.Ask(t.Context(), q); yes || err != nil {
			t.Errorf("%s: %v, %v", tool, yes, err)
		}
	}
}

// A real question: Enter refuses, because the button for no has the focus; Accept accepts.
func TestAskOnARealDisplay(t *testing.T) {
	need(t, "zenity", "zenity")
	need(t, "xdotool", "xdotool")
	env := append(os.Environ(), "DISPLAY="+xvfb(t), "WAYLAND_DISPLAY=", "XAUTHORITY=", "GDK_BACKEND=x11", "NO_AT_BRIDGE=1")
	for keys, want := range map[string]bool{"Return": false, "Escape": false, "Tab Return": true} {
		go func() {
			for range 100 {
				find := exec.Command("xdotool", "search", "--onlyvisible", "--name", "^Leasehold$")
				find.Env = env
				if out, err := find.Output(); err == nil && len(out) > 0 {
					time.Sleep(time.Second) // it takes keys a moment after it is there
					press := exec.Command("xdotool", append([]string{"windowfocus", strings.Fields(string(out))[0], "key", "--delay", "200"}, strings.Fields(keys)...)...)
					press.Env = env
					_ = press.Run()
					return
				}
				time.Sleep(100 * time.Millisecond)
			}
		}()
		q := question
		q.Timeout = 15 * time.Second
		began := time.Now()
		yes, err := New(Options{Env: env, Log: os.Stderr}).Ask(t.Context(), q)
		if err != nil || yes != want || time.Since(began) > 14*time.Second {
			t.Errorf("%s: %v, %v after %v", keys, yes, err, time.Since(began))
		}
	}
}
