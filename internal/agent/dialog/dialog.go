// Package dialog shows a short message on the user's desktop through the
// desktop's own tool, so that Leasehold needs no graphical library: zenity,
// kdialog or xmessage where there is an X or Wayland display, osascript on
// macOS, PowerShell on Windows. A dialog closes by itself when its time is
// over, is replaced by the next one, and nothing waits for an answer.
//
// A tool that is missing, or that fails at once, is followed by the next one;
// when none is left, [ErrNone] says so and the caller uses another way, such
// as a terminal.
package dialog

import (
	"errors"
	"fmt"
	"html"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
)

// ErrNone is returned when no dialog could be shown: no display, or no tool.
var ErrNone = errors.New("no desktop dialog available")

// settle is how long a tool is given to fail. One that ends sooner without
// success has shown nothing; one that lives longer is on the screen.
const settle = 700 * time.Millisecond

// Message is what a dialog shows.
type Message struct {
	Title   string
	Heading string // the news, in a line that stands out; may be empty
	Text    string // plain text; may have several lines
	// Timeout is when the dialog closes by itself; at least a second, and
	// rounded up to whole seconds by some tools.
	Timeout time.Duration
}

// Options tell a [Presenter] where it runs. The zero value is right for a
// program that shows dialogs on its own desktop.
type Options struct {
	// Env is the environment of the tools; nil means os.Environ(). It decides
	// whether there is a display.
	Env []string
	// OS is the kind of desktop, as in runtime.GOOS; empty means this one.
	OS string
	// LookPath finds a tool; nil means exec.LookPath.
	LookPath func(name string) (string, error)
	// Start starts a tool; nil means (*exec.Cmd).Start. A caller that reaps
	// children of its own uses it to know which are the tools'.
	Start func(*exec.Cmd) error
	// Log receives what the tools write to standard error; nil discards it.
	Log io.Writer
}

// Presenter shows one dialog at a time. It is safe for concurrent use.
type Presenter struct {
	opts Options

	show sync.Mutex // held while a dialog is being put up
	mu   sync.Mutex // guards open
	open *shown
}

// shown is a dialog on the screen.
type shown struct {
	cmd   *exec.Cmd
	timer *time.Timer
	ended chan struct{} // closed when the tool has ended
	err   error         // how it ended; read after ended
}

// New returns a Presenter that shows nothing yet.
func New(opts Options) *Presenter {
	if opts.Env == nil {
		opts.Env = os.Environ()
	}
	if opts.OS == "" {
		opts.OS = runtime.GOOS
	}
	if opts.LookPath == nil {
		opts.LookPath = exec.LookPath
	}
	if opts.Start == nil {
		opts.Start = (*exec.Cmd).Start
	}
	if opts.Log == nil {
		opts.Log = io.Discard
	}
	return &Presenter{opts: opts}
}

// Available reports whether there is a display that dialogs could be shown on.
// That a tool works is known only when [Presenter.Show] has used it.
func (p *Presenter) Available() bool {
	switch p.opts.OS {
	case "windows", "darwin":
		return true
	}
	return getenv(p.opts.Env, "DISPLAY") != "" || getenv(p.opts.Env, "WAYLAND_DISPLAY") != ""
}

// Show puts m on the screen in place of the dialog that is open. It returns
// the name of the tool once the dialog stands, within a second or so for each
// tool it has to try, and does not wait for the user. The error is [ErrNone],
// wrapped with what was tried.
func (p *Presenter) Show(m Message) (tool string, err error) {
	p.show.Lock()
	defer p.show.Unlock()
	if !p.Available() {
		return "", fmt.Errorf("%w: no display", ErrNone)
	}
	m.Timeout = max(m.Timeout, time.Second)
	var tried []string
	for _, t := range tools(p.opts.OS) {
		path, err := p.opts.LookPath(t.name)
		if err != nil {
			tried = append(tried, t.name+" is missing")
			continue
		}
		next, err := p.start(path, t, m)
		if err != nil {
			tried = append(tried, t.name+": "+err.Error())
			continue
		}
		// The old one goes when the new one stands: there is always one to be seen.
		p.replace(next)
		return t.name, nil
	}
	return "", fmt.Errorf("%w: %s", ErrNone, strings.Join(tried, "; "))
}

func (p *Presenter) start(path string, t tool, m Message) (*shown, error) {
	cmd := exec.Command(path, t.args(m)...)
	cmd.Env = p.opts.Env
	cmd.Stderr = stderrFile(p.opts.Log)
	if t.stdin != nil {
		cmd.Stdin = strings.NewReader(t.stdin(m))
	}
	// A descendant that holds the tool's pipes open must not keep Wait.
	cmd.WaitDelay = time.Second
	if err := p.opts.Start(cmd); err != nil {
		return nil, err
	}
	s := &shown{cmd: cmd, ended: make(chan struct{})}
	go func() {
		s.err = cmd.Wait()
		close(s.ended)
	}()
	// Not every tool has a timeout of its own, and one may hang.
	s.timer = time.AfterFunc(m.Timeout+time.Second, s.kill)
	if !t.ownTimeout {
		s.timer.Reset(m.Timeout)
	}
	select {
	case <-s.ended:
		s.timer.Stop()
		if s.err != nil {
			return nil, s.err
		}
	case <-time.After(settle):
	}
	return s, nil
}

// stderrFile returns w as a file if it is one: the tool then writes to it
// itself and needs no copying goroutine.
func stderrFile(w io.Writer) io.Writer {
	if w == io.Discard {
		return nil
	}
	return w
}

func (p *Presenter) replace(next *shown) {
	p.mu.Lock()
	old := p.open
	p.open = next
	p.mu.Unlock()
	if old != nil {
		old.timer.Stop()
		old.kill()
		<-old.ended
	}
}

// Dismiss closes the dialog that is open, if any, and waits until it is gone.
func (p *Presenter) Dismiss() { p.replace(nil) }

func (s *shown) kill() {
	// It fails only when the tool has ended by itself, which is as good.
	_ = s.cmd.Process.Kill()
}

func getenv(env []string, key string) string {
	// The last one counts, as it does for os/exec.
	for i := len(env) - 1; i >= 0; i-- {
		if k, v, ok := strings.Cut(env[i], "="); ok && k == key {
			return v
		}
	}
	return ""
}

// tool is one program that can show a dialog.
type tool struct {
	name       string
	args       func(Message) []string
	stdin      func(Message) string
	ownTimeout bool // it closes by itself
}

// plain is all that a message says, for tools that know no heading.
func (m Message) plain() string {
	return strings.TrimSpace(m.Heading + "\n\n" + m.Text)
}

func seconds(d time.Duration) string {
	return strconv.Itoa(int((d + time.Second - 1) / time.Second))
}

// tools lists the programs of a desktop, the best first.
func tools(goos string) []tool {
	switch goos {
	case "windows":
		return []tool{{name: "powershell.exe", args: powershellArgs, stdin: powershellInput, ownTimeout: true}}
	case "darwin":
		return []tool{{name: "osascript", args: osascriptArgs, ownTimeout: true}}
	}
	return []tool{
		{name: "zenity", args: zenityArgs, ownTimeout: true},
		{name: "kdialog", args: func(m Message) []string {
			return []string{"--title", m.Title, "--sorry", m.plain()}
		}},
		{name: "xmessage", args: func(m Message) []string {
			return []string{"-center", "-title", m.Title, "-buttons", "OK:0", "-timeout", seconds(m.Timeout), m.plain()}
		}, ownTimeout: true},
	}
}

func zenityArgs(m Message) []string {
	// Names of apps come from people: escaped, "<" is shown as it is.
	text := html.EscapeString(m.Text)
	if m.Heading != "" {
		text = "<b><big>" + html.EscapeString(m.Heading) + "</big></b>\n\n" + text
	}
	return []string{"--warning", "--width=440",
		"--title=" + m.Title, "--text=" + strings.TrimSpace(text), "--timeout=" + seconds(m.Timeout)}
}

// osascriptArgs passes the text as arguments: quoted into the script it could
// be run as one.
func osascriptArgs(m Message) []string {
	return []string{
		"-e", "on run argv",
		"-e", `display dialog (item 2 of argv) with title (item 1 of argv) buttons {"OK"} default button 1 with icon caution giving up after ((item 3 of argv) as integer)`,
		"-e", "end run",
		m.Title, m.plain(), seconds(m.Timeout),
	}
}

func powershellArgs(Message) []string {
	return []string{"-NoProfile", "-NonInteractive", "-WindowStyle", "Hidden", "-Command",
		"$l=@([Console]::In.ReadToEnd() -split \"`0\"); " +
			"$s=New-Object -ComObject WScript.Shell; " +
			// 48 is the exclamation mark, 4096 keeps it above other windows.
			"[void]$s.Popup($l[1],[int]$l[2],$l[0],48+4096)"}
}

// powershellInput passes the text on standard input, for the same reason.
func powershellInput(m Message) string {
	return strings.Join([]string{m.Title, m.plain(), seconds(m.Timeout)}, "\x00")
}
