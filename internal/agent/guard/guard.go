// Package guard is the small process that each app runs under, as containerd's
// shim is for a container. It outlives the player that started it, holds the
// deadline of the run, warns the user, asks the app to close, and then ends
// every process that the app has left behind. So an app ends on time even if
// the player was killed and never comes back.
//
// One run is one folder, which the player makes and both sides share:
//
//	spec.json     what to run and until when; written by the player before
//	guard.json    which process is the guard; made once, so that a run never
//	              has two guards, nor one after it was swept
//	events.jsonl  what happened, appended and synced to disk before anything
//	              is told to anybody: the player reads it when it can
//	guard.sock    orders: challenge, extend, close, stop, status
//	guard.log     what went wrong, for people
//	app.log       what the app printed, its last mebibytes
//
// The guard verifies the signed lease itself (see [Authority]): any process of
// the user can speak to it, and can only shorten what the lease says. Deadlines are moments of the boot clock (see
// package boottime), so suspend and a changed wall clock do not move them.
//
// # When a run ends
//
// A run has ended when the app's main process has exited and none of its
// descendants is left. An app whose launcher forks and exits is still
// running; [Status].MainExited tells. That none is left is what the kernel
// says, not what a walk over the processes does not find: while it walks, a
// process that forks a successor and exits is missed. The event Exited has the
// [Proof]; where a system gives none it says so, and then the run may not be
// taken for one that holds nothing any more (docs/adr/0005). At the deadline the main process and
// its process group get a close request for their windows (and SIGTERM when
// they have none, or half a margin later); at the deadline plus the margin
// everything that is left is killed.
//
// # How far "every process" goes
//
//   - Linux: the guard is a subreaper, so whatever the app starts stays below
//     it, process sessions and double forks included, and the run is over when
//     the guard has no child left. Where there is a cgroup to be had, of
//     version 2 or of version 1's freezer, the app is started in it, it is
//     killed as a whole, and the run is over when that is empty as well.
//     Without one the processes are killed over and over until none is left,
//     which against a fork bomb may take for ever; the guard then stays, and
//     tells so (Resisting). Services that the app asks systemd or D-Bus to
//     start are not its descendants and not ended. Processes of another user
//     (setuid) are beyond a player that is not root.
//   - Windows: a job object that nothing breaks away from and that ends with
//     the guard. The run is over when the job has no active process.
//   - macOS and other systems: there is no subreaper. The guard looks at the
//     process table once a second and remembers what it saw below the app;
//     on macOS also by the marker. A process that leaves between two looks
//     and clears its environment gets away, so there is no proof.
//
// A user who kills the guard takes at least the app's main process with it on
// Linux, and all of it on Windows; [Sweep] ends the rest when the player sees
// it, and only the run's cgroup is proof that it did. A user who kills guard
// and player is out of scope.
package guard

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"leasehold/internal/agent/boottime"
)

// The names of the files of a run.
const (
	specFile   = "spec.json"
	claimFile  = "guard.json"
	eventsFile = "events.jsonl"
	socketFile = "guard.sock"
	logFile    = "guard.log"
	outputFile = "app.log"
)

// Names in the environment of an app.
const (
	// EnvRun tells an app its session and run, as "SESSION.RUN".
	EnvRun = "LEASEHOLD_RUN"
	// EnvToken marks the processes of a run; unlike EnvRun it is different
	// for two players on one machine.
	EnvToken = "LEASEHOLD_RUN_TOKEN"
	// envDialog marks the guard's own dialogs, which are no part of the run.
	envDialog = "LEASEHOLD_DIALOG_TOKEN"
)

// Errors of this package; compare with errors.Is.
var (
	// ErrGone means that no guard is alive for the folder.
	ErrGone = errors.New("guard is gone")
	// ErrAlive means that a guard is alive where none may be.
	ErrAlive = errors.New("guard is alive")
	// ErrUnresponsive means that the guard is alive but does not answer. The
	// run must be taken as running.
	ErrUnresponsive = errors.New("guard does not answer")
	// ErrExists means that the folder of the run is there already.
	ErrExists = errors.New("run exists")
	// ErrRefused is an order that makes no sense to the guard.
	ErrRefused = errors.New("guard refused the order")
	// ErrNotStarted means that the app could not be started.
	ErrNotStarted = errors.New("app did not start")
)

// Spec says what a guard runs. The player writes it once.
type Spec struct {
	Session int64  `json:"session"`
	Run     int64  `json:"run"`             // number of the run within the session
	App     string `json:"app"`             // the app's name as users know it
	Title   string `json:"title,omitempty"` // title of the dialogs; App if empty

	Argv []string `json:"argv"`          // program and arguments
	Env  []string `json:"env,omitempty"` // additions to what apps get of the player's environment, KEY=VALUE
	Dir  string   `json:"dir,omitempty"` // working directory; the player's if empty

	Warnings []time.Duration `json:"warnings"` // before the deadline, in nanoseconds
	Margin   time.Duration   `json:"margin"`   // from the deadline to force
	Deadline boottime.Stamp  `json:"deadline"` // the first deadline; of this boot

	// Authority is whose leases extend the run; without it none does.
	Authority *Authority `json:"authority,omitempty"`
	// Lease is the signed lease that the run begins under, "" if it has none yet.
	Lease string `json:"lease,omitempty"`

	// Dialogs allows desktop dialogs. Without them, or without a display, a
	// warning is written to Terminal.
	Dialogs bool `json:"dialogs"`
	// Terminal is a file or terminal that takes a line for each warning; may
	// be empty. It is opened for each line and never made a controlling one.
	Terminal string `json:"terminal,omitempty"`

	// NoCgroup leaves cgroups alone even where there is one to be had.
	NoCgroup bool `json:"no_cgroup,omitempty"`

	// MemoryBytes and Processes limit the run as a whole, threads counted as
	// processes; zero is no limit. They hold where the run has a cgroup with
	// the controllers for them; where not, guard.log says so once.
	MemoryBytes int64 `json:"memory_bytes,omitempty"`
	Processes   int   `json:"processes,omitempty"`
	// CPUPercent limits its processor time; 100 is one processor, 0 no limit.
	CPUPercent int `json:"cpu_percent,omitempty"`

	// Ready is a file that the app makes when it is of use. The event Started
	// waits for it, at most ReadyWithin (30 s if that is zero); an app that
	// ends before, or is not ready by then, has not started. If empty, an app
	// is ready as soon as its process runs.
	Ready       string        `json:"ready,omitempty"`
	ReadyWithin time.Duration `json:"ready_within,omitempty"`
	// Report is a JSON file that the app may leave behind, with a "reason" for
	// people. The event Exited tells it where no order gave a reason.
	Report string `json:"report,omitempty"`
	// EndsWithMain ends the run with the app's main process: what that leaves
	// behind is killed at once.
	EndsWithMain bool `json:"ends_with_main,omitempty"`
	// After is a command that clears up behind the app. It is run once no
	// process of the run is left and before Exited is written, by [Sweep] if
	// the guard has died. It may be run more than once, and gets 20 seconds.
	After []string `json:"after,omitempty"`

	// Stream is what the runner of streamed apps keeps of a run; the guard does
	// not look at it.
	Stream *Stream `json:"stream,omitempty"`

	// Token marks the run's processes; [Spawn] makes one up.
	Token string `json:"token"`
}

// Stream says how an app is streamed. For such a run the Argv of a guard is
// the program that owns the display, and App what that runs.
type Stream struct {
	Geometry  string     `json:"geometry,omitempty"`  // WIDTHxHEIGHT in pixels; 1280x800 if empty
	Clipboard bool       `json:"clipboard,omitempty"` // text may be copied into the app and out of it
	Nested    bool       `json:"nested,omitempty"`    // the app may make sandboxes of its own
	Network   string     `json:"network,omitempty"`   // none, internet or host; internet if empty
	Allow     []string   `json:"allow,omitempty"`     // what a session reaches besides the internet
	Login     string     `json:"login,omitempty"`     // user name of whose session it is
	Name      string     `json:"name,omitempty"`      // and that user's name for people
	App       *StreamApp `json:"app,omitempty"`       // set by the runner
}

// StreamApp is the command of a streamed app, as in [Spec].
type StreamApp struct {
	Argv []string `json:"argv"`
	Env  []string `json:"env,omitempty"`
	Dir  string   `json:"dir,omitempty"`
}

// Order is a close: evicted, expired, refused, not authorised.
type Order struct {
	// Deadline is when the app is asked to close; the zero Stamp means after
	// the largest warning. The guard keeps its present deadline if that is
	// earlier.
	Deadline boottime.Stamp `json:"deadline"`
	// Reason is shown in the warnings; may be empty.
	Reason string `json:"reason,omitempty"`
	// Title is that of the dialogs from now on; empty keeps it.
	Title string `json:"title,omitempty"`
}

// Status is what a guard says of its run.
type Status struct {
	Session    int64          `json:"session"`
	Run        int64          `json:"run"`
	Guard      int            `json:"guard"`      // pid
	PID        int            `json:"pid"`        // of the app's main process
	Phase      string         `json:"phase"`      // running, asked, forced
	Deadline   boottime.Stamp `json:"deadline"`   // when it is asked to close
	Generation uint64         `json:"generation"` // of the lease it runs under; 0 before the first
	Ordered    bool           `json:"ordered"`    // a close was ordered: nothing extends it
	Reason     string         `json:"reason,omitempty"`
	MainExited bool           `json:"main_exited"` // only descendants are left
	Left       int            `json:"left"`        // processes counted after the main one exited
	Ended      bool           `json:"ended"`       // the run is over
}

func readSpec(dir string) (Spec, error) {
	var s Spec
	b, err := os.ReadFile(filepath.Join(dir, specFile))
	if err != nil {
		return s, fmt.Errorf("read the spec of a run: %w", err)
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return s, fmt.Errorf("read the spec of a run: %w", err)
	}
	return s, nil
}

// writeFile makes a file that is there whole or not at all.
func writeFile(path string, v any) error {
	b, err := json.MarshalIndent(v, "", "\t")
	if err != nil {
		return err
	}
	tmp := fmt.Sprintf("%s.%d.tmp", path, os.Getpid())
	if err := writeSynced(tmp, append(b, '\n')); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func writeSynced(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}

// claim says which process is the guard of a folder.
type claim struct {
	PID   int            `json:"pid"`
	Start string         `json:"start"` // when the process started, in the system's own words
	At    boottime.Stamp `json:"at"`
	// Cgroups are the folders that may be the run's cgroup; which one is, and
	// whether the app is in it, tells the event [Starting].
	Cgroups []string `json:"cgroups,omitempty"`
	Swept   bool     `json:"swept,omitempty"` // taken so that no guard starts here any more
}

// take claims a folder for ever; the error is os.ErrExist if it was claimed.
func take(dir string, c claim) error {
	b, err := json.Marshal(c)
	if err != nil {
		return err
	}
	tmp := filepath.Join(dir, fmt.Sprintf("%s.%d.tmp", claimFile, os.Getpid()))
	if err := writeSynced(tmp, append(b, '\n')); err != nil {
		return err
	}
	defer os.Remove(tmp)
	// A link, unlike a rename, fails if the name is taken.
	if err := os.Link(tmp, filepath.Join(dir, claimFile)); err != nil {
		return err
	}
	return syncDir(dir)
}

func readClaim(dir string) (claim, error) {
	var c claim
	b, err := os.ReadFile(filepath.Join(dir, claimFile))
	if err != nil {
		return c, err
	}
	return c, json.Unmarshal(b, &c)
}

// alive reports whether the guard of the claim is: the same process, not
// another one with its number, and not a zombie.
func (c claim) alive() bool {
	if c.Swept || !c.At.SameBoot(boottime.Now()) {
		return false
	}
	start, err := processStart(c.PID)
	return err == nil && start == c.Start
}
