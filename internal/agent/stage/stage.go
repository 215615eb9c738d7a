// Package stage is the program that a guard runs as the app of a streamed
// session: it puts up a virtual display, a window manager for one full-screen
// app, and the app; and it ends when the app does.
//
// A session is one folder, which [Prepare] makes, [Run] plays in and [Clean]
// takes away with everything that belongs to it:
//
//	stage.json    what to run, and as whom: [Config]
//	display.json  which display the session has; for Clean
//	ready.json    made when the display and the app are up: [Ready]
//	outcome.json  how it ended: [Outcome]
//	display/      the display's: rfb.sock, X authority, window manager's settings
//	home/         the home folder of the session
//	tmp/, run/    TMPDIR and XDG_RUNTIME_DIR
//
// # Accounts
//
// Where the host runs as root, display, window manager and app run under an
// account that is the session's alone (see package account), without
// privileges, and without a way to any (no_new_privs). The stage itself stays
// root: it is the one that changes to the account, and neither the account may
// signal it nor write what it reports. For the same reason the session's folder
// and display/ belong to root: an app that could put a socket of its own, or a
// link to one, in the place of rfb.sock would have root connect to it.
// Otherwise everything runs under the host's own account.
//
// # Sandboxes
//
// A session that is separate plays in a sandbox (see package sandbox), where a second
// process of this program does what is said here, under the session's account:
// see [Inside]. The stage stays outside. It believes nothing of what the one
// inside tells it but what concerns that session: an app may debug that process.
//
// # When an app is up
//
// When the window manager has a window of it; or, for one that opens none,
// when it has lived for the settling time. An app that ends before has failed
// at its start.
//
// # When an app has ended
//
// When its main process has exited and none of its descendants is left, as for
// a guard: an app whose launcher forks and exits is still running. But once the
// main process has exited and there has been no window for five seconds (for a
// minute, if there never was one), what is left are services that the app has
// started for itself, such as a message bus, and it is over too.
//
// A window manager that dies is started again, three times at most: no app
// needs it to live. When the display dies the session ends.
package stage

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"leasehold/internal/agent/account"
	"leasehold/internal/agent/sandbox"
	"leasehold/internal/agent/untrusted"
)

// The names in a session's folder.
const (
	configFile  = "stage.json"
	displayFile = "display.json"
	readyFile   = "ready.json"
	outcomeFile = "outcome.json"

	displayDir = "display"
	homeDir    = "home"
	tmpDir     = "tmp"
	runDir     = "run"

	socketFile    = "rfb.sock"
	authorityFile = "xauthority"
	managerFile   = "openbox.xml"
)

// DefaultGeometry is that of a display if nothing else is said.
const DefaultGeometry = "1280x800"

// DefaultScratch is the size of each folder in memory of a session, in bytes.
const DefaultScratch = 512 << 20

// DefaultSettle is how long an app that opens no window must live to be up.
const DefaultSettle = 2 * time.Second

// Exit codes of [Run] for what is not the app's own end. An app that a signal
// ended counts as 128 and the signal, as in a shell.
const (
	ExitStart   = 201 // it never came up
	ExitDisplay = 202 // the display server ended
	ExitManager = 203 // the window manager ended, again and again
)

// Errors of this package; compare with errors.Is.
var (
	// ErrUnsupported means that this system has no virtual displays for us.
	ErrUnsupported = errors.New("streamed apps are not supported on this system")
	// ErrInvalid means that a Config makes no sense.
	ErrInvalid = errors.New("not a session that can be run")
	// ErrExists means that the session's folder is there already.
	ErrExists = errors.New("the session's folder exists")
)

// Config says what a session runs.
type Config struct {
	App  string   `json:"app"`           // the app's name as users know it
	Argv []string `json:"argv"`          // program and arguments
	Env  []string `json:"env,omitempty"` // additions to the app's environment, KEY=VALUE
	Dir  string   `json:"dir,omitempty"` // working directory; the session's home if empty

	Geometry  string `json:"geometry,omitempty"` // WIDTHxHEIGHT in pixels; DefaultGeometry if empty
	Clipboard bool   `json:"clipboard"`          // text may be copied into the app and out of it

	// Margin is the time between SIGTERM and force: an app whose windows were
	// asked to close gets SIGTERM when half of it is over.
	Margin time.Duration `json:"margin"`
	// Settle is how long an app without a window must live to be up;
	// DefaultSettle if zero.
	Settle time.Duration `json:"settle,omitempty"`
	// Processes limits the processes and threads of the account, if that is
	// the session's own; zero is no limit.
	Processes int `json:"processes,omitempty"`

	// Separate puts the session into a sandbox; see package sandbox.
	Separate bool `json:"separate,omitempty"`
	// Inside is the command line of a program that calls [Inside]; it needs no
	// more of it than this executable. Only for a session that is separate, as
	// is what follows.
	Inside []string `json:"inside,omitempty"`
	Nested bool     `json:"nested,omitempty"` // programs may make sandboxes of their own
	Login  string   `json:"login,omitempty"`  // user name of whose session it is
	Name   string   `json:"name,omitempty"`   // and that user's name for people
	// Network is none, internet or host; internet if empty. Allow are the private
	// addresses that the session reaches with internet, as catalog.Allowance reads them, and
	// Resolvers the name servers; those of the host if there are none.
	Network   string   `json:"network,omitempty"`
	Allow     []string `json:"allow,omitempty"`
	Resolvers []string `json:"resolvers,omitempty"`
	// Shares are what the host's owner adds to what a session sees.
	Shares []sandbox.Share `json:"shares,omitempty"`
	// Scratch is the size of each of the session's folders in memory, in bytes;
	// DefaultScratch if zero.
	Scratch int64 `json:"scratch,omitempty"`

	// Account is the user and group that is the session's alone; zero is the
	// host's own account. Registry is where it is noted as lent. [Prepare]
	// sets both.
	Account  int    `json:"account,omitempty"`
	Registry string `json:"registry,omitempty"`
}

// Lending says where accounts for sessions come from. The zero value is
// account.Default and account.Registry.
type Lending struct {
	Range    account.Range
	Registry string
}

// Ready is what a session tells when it is up.
type Ready struct {
	Display string         `json:"display"` // as in DISPLAY
	Account int            `json:"account,omitempty"`
	PIDs    map[string]int `json:"pids"` // stage, display, manager, app
	Started time.Time      `json:"started"`
}

// Cause says what ended a session.
type Cause string

// The causes.
const (
	AppEnded     Cause = "app"     // the app ended
	Asked        Cause = "asked"   // it was asked to close, and did
	NotUp        Cause = "start"   // it never came up
	DisplayEnded Cause = "display" // the display server ended
	ManagerEnded Cause = "manager" // the window manager ended, again and again
)

// Outcome is how a session ended.
type Outcome struct {
	Cause  Cause     `json:"cause"`
	Code   int       `json:"code"`             // exit code of the stage
	Reason string    `json:"reason,omitempty"` // one line for people; empty if the app just ended
	At     time.Time `json:"at"`
}

// SessionUID returns the user number of a session of this host: the first of the range if
// it lends accounts, otherwise its own.
func SessionUID(r account.Range) int {
	if account.Can() {
		return r.First
	}
	return os.Getuid()
}

// Trash returns the folder in which sessions that have ended wait for their
// removal, beside those that live in the folder sessions.
func Trash(sessions string) string { return filepath.Join(sessions, ".trash") }

// Socket returns where the display of the session in dir is served by RFB. Its
// path may be too long for an address; package localsocket gets there.
func Socket(dir string) string { return filepath.Join(dir, displayDir, socketFile) }

// ReadyFile and OutcomeFile return where the session in dir says that it is
// up, and how it ended.
func ReadyFile(dir string) string { return filepath.Join(dir, readyFile) }

// OutcomeFile returns where the session in dir says how it ended.
func OutcomeFile(dir string) string { return filepath.Join(dir, outcomeFile) }

// ReadReady returns what a session has told about being up; the error is
// fs.ErrNotExist if it is not, or not any more.
func ReadReady(dir string) (Ready, error) {
	var r Ready
	return r, readJSON(ReadyFile(dir), &r)
}

// ReadOutcome returns how a session ended; one that has not, has no cause.
func ReadOutcome(dir string) (Outcome, error) {
	var o Outcome
	return o, readJSON(OutcomeFile(dir), &o)
}

// login is the name of the session's account.
func (c Config) login() string { return sandbox.Login(c.Login) }

// largest is the largest side of a display, in pixels.
const largest = 16384

var geometry = regexp.MustCompile(`^([1-9][0-9]{1,4})x([1-9][0-9]{1,4})$`)

// Valid reports what is wrong with a config; the error is [ErrInvalid].
func (c Config) Valid() error {
	if len(c.Argv) == 0 || c.Argv[0] == "" {
		return fmt.Errorf("%w: no command", ErrInvalid)
	}
	if c.Geometry == "" {
		return nil
	}
	m := geometry.FindStringSubmatch(c.Geometry)
	if m == nil {
		return fmt.Errorf("%w: the geometry is WIDTHxHEIGHT, not %q", ErrInvalid, c.Geometry)
	}
	for _, side := range m[1:] {
		if n, err := strconv.Atoi(side); err != nil || n > largest {
			return fmt.Errorf("%w: a side of %s pixels; %d is the most", ErrInvalid, side, largest)
		}
	}
	return nil
}

// recordLimit is the largest file of ours that is read. A command line may be
// long.
const recordLimit = 4 << 20

func readJSON(path string, v any) error {
	b, err := untrusted.ReadFile(path, recordLimit)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("read %s: %w", filepath.Base(path), err)
	}
	return nil
}

// writeJSON makes a file that is there whole or not at all.
func writeJSON(path string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	tmp := path + ".tmp"
	if err := os.WriteFile(tmp, append(b, '\n'), 0o600); err != nil {
		return errors.Join(err, removeIfThere(tmp))
	}
	return os.Rename(tmp, path)
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// outcomeSize is the size of every outcome: room for it is taken before the
// session starts, so that it can be told on a full disk too.
const outcomeSize = 1024

// writeOutcome writes into the room that Prepare has taken.
func writeOutcome(dir string, o Outcome) error {
	if runes := []rune(o.Reason); len(runes) > 200 {
		o.Reason = string(runes[:199]) + "…"
	}
	b, err := json.Marshal(o)
	if err != nil {
		return err
	}
	for len(b) < outcomeSize-1 {
		b = append(b, ' ')
	}
	f, err := os.OpenFile(OutcomeFile(dir), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(b, '\n'))
	return errors.Join(err, f.Close())
}
