package dialog

import (
	"context"
	"fmt"
	"html"
	"os/exec"
	"strings"
	"time"
)

// Question is what a dialog asks.
type Question struct {
	Title   string
	Heading string // the news, in a line that stands out
	Text    string // plain text; may have several lines
	Yes, No string // what the buttons say
	// Timeout is after how long it is answered with no; at least a second.
	Timeout time.Duration
}

// Ask puts a question on the screen and waits for its answer. Closing the dialog, letting
// its time run out and ending ctx are no. The error is [ErrNone], wrapped with what was
// tried, if nothing could be shown.
func (p *Presenter) Ask(ctx context.Context, q Question) (bool, error) {
	if !p.Available() {
		return false, fmt.Errorf("%w: no display", ErrNone)
	}
	q.Timeout = max(q.Timeout, time.Second)
	ctx, cancel := context.WithTimeout(ctx, q.Timeout+time.Second)
	defer cancel()
	var tried []string
	for _, t := range askers(p.opts.OS) {
		path, err := p.opts.LookPath(t.name)
		if err != nil {
			tried = append(tried, t.name+" is missing")
			continue
		}
		cmd := exec.CommandContext(ctx, path, t.args(q)...)
		cmd.Env = p.opts.Env
		cmd.Stderr = stderrFile(p.opts.Log)
		if t.stdin != nil {
			cmd.Stdin = strings.NewReader(t.stdin(q))
		}
		cmd.WaitDelay = time.Second
		began := time.Now()
		out, err := cmd.Output()
		if ctx.Err() != nil {
			return false, nil
		}
		// One that ends at once without a yes has shown nothing.
		if yes := err == nil && t.yes(string(out)); yes || time.Since(began) > settle {
			return yes, nil
		}
		tried = append(tried, fmt.Sprintf("%s: %v", t.name, err))
	}
	return false, fmt.Errorf("%w: %s", ErrNone, strings.Join(tried, "; "))
}

// asker is one program that can ask a question.
type asker struct {
	name  string
	args  func(Question) []string
	stdin func(Question) string
	// yes reads the answer of a program that ended well from what it wrote.
	yes func(out string) bool
}

func byCode(string) bool     { return true }
func byText(out string) bool { return strings.TrimSpace(out) == "yes" }

// byButton is for a program that writes which button was pressed, if one was, and whose code
// says that it was that for yes.
func byButton(out string) bool { return strings.TrimSpace(out) != "" }

func (q Question) plain() string { return strings.TrimSpace(q.Heading + "\n\n" + q.Text) }

func askers(goos string) []asker {
	switch goos {
	case "windows":
		return []asker{{name: "powershell.exe", yes: byText,
			args: func(Question) []string {
				return []string{"-NoProfile", "-NonInteractive", "-WindowStyle", "Hidden", "-Command",
					"$l=@([Console]::In.ReadToEnd() -split \"`0\"); " +
						"$s=New-Object -ComObject WScript.Shell; " +
						// 4 is Yes and No, 32 the question mark, 256 makes No the default, 4096 keeps it above
						// other windows; 6 is Yes.
						"if ($s.Popup($l[1],[int]$l[2],$l[0],4+32+256+4096) -eq 6) {'yes'} else {'no'}"}
			},
			stdin: func(q Question) string { return strings.Join([]string{q.Title, q.plain(), seconds(q.Timeout)}, "\x00") }}}
	case "darwin":
		return []asker{{name: "osascript", yes: byText, args: func(q Question) []string {
			return []string{
				"-e", "on run argv",
				"-e", "try",
				"-e", `set r to display dialog (item 2 of argv) with title (item 1 of argv) buttons {item 5 of argv, item 4 of argv} default button 1 with icon caution giving up after ((item 3 of argv) as integer)`,
				"-e", `if button returned of r is item 4 of argv then return "yes"`,
				"-e", "end try",
				"-e", `return "no"`,
				"-e", "end run",
				q.Title, q.plain(), seconds(q.Timeout), q.Yes, q.No,
			}
		}}}
	}
	return []asker{
		{name: "zenity", yes: byCode, args: func(q Question) []string {
			// Names come from people: escaped, "<" is shown as it is.
			return []string{"--question", "--default-cancel", "--width=440", "--title=" + q.Title, "--ok-label=" + q.Yes, "--cancel-label=" + q.No,
				"--text=<b><big>" + html.EscapeString(q.Heading) + "</big></b>\n\n" + html.EscapeString(q.Text), "--timeout=" + seconds(q.Timeout)}
		}},
		{name: "kdialog", yes: byCode, args: func(q Question) []string {
			return []string{"--title", q.Title, "--yes-label", q.Yes, "--no-label", q.No, "--warningyesno", q.plain()}
		}},
		// Its code is 0 as well when its time is over; only a button is printed.
		{name: "xmessage", yes: byButton, args: func(q Question) []string {
			return []string{"-print", "-center", "-title", q.Title, "-buttons", q.No + ":3," + q.Yes + ":0", "-default", q.No, "-timeout", seconds(q.Timeout), q.plain()}
		}},
	}
}
