//go:build linux

package display_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"leasehold/internal/agent/boottime"
	"leasehold/internal/agent/guard"
	"leasehold/internal/agent/runner"
	"leasehold/internal/agent/runner/display"
	"leasehold/internal/agent/sampletest"
	"leasehold/internal/agent/sandbox"
	"leasehold/internal/agent/sessionnet"
	"leasehold/internal/agent/stage"
	"leasehold/internal/catalog"
)

// The test binary is also the guard, the stage, and an agent to be killed.
const envRole = "LEASEHOLD_TEST_ROLE"

// sample is the built sample app, where every account can run it.
var sample string

func TestMain(m *testing.M) {
	if role := os.Getenv(envRole); role != "" {
		os.Exit(play(role, os.Args[1]))
	}
	for program, pkg := range map[string]string{"Xvnc": "tigervnc-standalone-server", "openbox": "openbox", "xterm": "xterm", "xprop": "x11-utils", "bwrap": "bubblewrap"} {
		if _, err := exec.LookPath(program); err != nil {
			fmt.Fprintf(os.Stderr, "%s is missing, and these tests need it: apt-get install %s\n", program, pkg)
			os.Exit(1)
		}
	}
	os.Exit(sampletest.Run(m, &sample))
}

// play is what the test binary does in another role.
func play(role, dir string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	var err error
	code := 0
	switch role {
	case "guard":
		err = guard.Main(ctx, dir)
	case "stage":
		code, err = stage.Run(ctx, dir)
	case "attack":
		err = attack(dir)
	case "inside":
		code, err = stage.Inside(ctx)
	case "clean":
		err = stage.Clean(ctx, dir)
	case "agent":
		// Starts a session and hangs until it is killed.
		sample = os.Args[2]
		var r *display.Runner
		if r, err = display.New(config(dir)); err == nil {
			_, err = r.Start(ctx, spec(1, sample))
		}
		if err == nil {
			fmt.Println("started")
			select {}
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	return code
}

// as is the command line of this binary in another role. The race detector
// would hold each for a second at its exit.
func as(role string) func(dir string) []string {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return func(dir string) []string {
		return []string{"/usr/bin/env", "GORACE=atexit_sleep_ms=0", envRole + "=" + role, self, dir}
	}
}

func config(root string) display.Config {
	network := catalog.Internet
	if sessionnet.Check() != nil {
		network = catalog.NoNetwork // without root it takes a device that not every machine gives
	}
	return display.Config{
		Network: string(network),
		Runs:    filepath.Join(root, "runs"), Sessions: filepath.Join(root, "sessions"),
		Guard: as("guard"), Stage: as("stage"), Clean: as("clean"),
		Separate: true, Inside: as("inside")(""),
		Shares: []sandbox.Share{{Path: filepath.Dir(sample)}},
	}
}

// spec is a run of an app that lives until it is ended.
func spec(session int64, argv ...string) runner.Spec {
	return runner.Spec{
		Session: session, Run: 1, App: "The App", Argv: argv,
		Margin: 4 * time.Second, Deadline: boottime.Now().Add(5 * time.Minute),
	}
}

// harness is a runner with its folder.
type harness struct {
	*display.Runner
	t    *testing.T
	root string
	// beforeRemove is done when everything has ended.
	beforeRemove func()
}

// newHarness returns a runner in a folder that accounts of sessions can pass,
// as those of the testing package are not. At the end of the test everything
// is ended, and nothing may be left.
func newHarness(t *testing.T, change ...func(*display.Config)) *harness {
	t.Helper()
	root, err := os.MkdirTemp("", "lh")
	if err == nil {
		err = os.Chmod(root, 0o711)
	}
	if err != nil {
		t.Fatal(err)
	}
	c := config(root)
	for _, f := range change {
		f(&c)
	}
	r, err := display.New(c)
	if err != nil {
		t.Fatal(err)
	}
	h := &harness{Runner: r, t: t, root: root}
	t.Cleanup(func() {
		h.end()
		if t.Failed() {
			h.logs()
		}
		if h.beforeRemove != nil {
			h.beforeRemove()
		}
		os.RemoveAll(root)
	})
	return h
}

// end ends every run of the harness.
func (h *harness) end() {
	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
	defer cancel()
	runs, err := h.Recover(ctx)
	if err != nil {
		h.t.Error(err)
	}
	for _, run := range runs {
		_, _ = run.Stop(ctx, "end of the test")
		if _, err := run.Wait(ctx); err != nil {
			h.t.Error(err)
		}
	}
	if left, err := os.ReadDir(filepath.Join(h.root, "sessions")); err == nil && len(left) > 0 {
		h.t.Errorf("folders of sessions are left: %v", left)
	}
}

func (h *harness) logs() {
	files, _ := filepath.Glob(filepath.Join(h.root, "runs", "*", "*"))
	for _, file := range files {
		if b, err := os.ReadFile(file); err == nil {
			h.t.Logf("%s:\n%s", filepath.Base(file), b)
		}
	}
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
