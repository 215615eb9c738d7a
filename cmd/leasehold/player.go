package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/mattn/go-isatty"

	"leasehold/internal/agent"
	"leasehold/internal/agent/dialog"
	"leasehold/internal/agent/player"
	"leasehold/internal/lease"
	"leasehold/internal/wire"
)

// playerCmd is leasehold player.
type playerCmd struct {
	Enrol     playerEnrolCmd     `cmd:"" name:"enroll" aliases:"enrol" help:"Make this device one of a server's."`
	Run       playerRunCmd       `cmd:"" help:"Run the player. Ending it ends no app."`
	Launch    playerLaunchCmd    `cmd:"" help:"Launch the app of a leasehold:// link."`
	People    playerPeopleCmd    `cmd:"" help:"List who uses this device: whose launches are sent to it."`
	Forget    playerForgetCmd    `cmd:"" help:"Have a person's launches sent to this device no more."`
	List      playerListCmd      `cmd:"" help:"List the apps on this device."`
	Open      playerOpenCmd      `cmd:"" help:"Open the player's page in the browser: the apps, and what can be done with them."`
	Start     playerStartCmd     `cmd:"" help:"Start an app that is on this device."`
	Upgrade   playerUpgradeCmd   `cmd:"" help:"Bring an app to its newer version, or put that off for a day."`
	Return    playerReturnCmd    `cmd:"" help:"Give the licence of an offline app back before its lease ends; works offline too."`
	Remove    playerRemoveCmd    `cmd:"" help:"Remove an app from this device."`
	Install   playerInstallCmd   `cmd:"" help:"Run the player whenever you are signed in, and open leasehold:// links with it."`
	Uninstall playerUninstallCmd `cmd:"" help:"Undo install."`
}

// stateFlag is the state folder of every player command.
type stateFlag struct {
	State string `help:"The player's state folder; a folder of yours unless set." type:"path" env:"LEASEHOLD_STATE" placeholder:"DIR"`
}

// dir is the state folder, or where the system keeps such things.
func (f stateFlag) dir() (string, error) {
	if f.State != "" {
		return f.State, nil
	}
	d, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("--state: give a folder: %w", err)
	}
	return filepath.Join(d, "leasehold", "player"), nil
}

type playerEnrolCmd struct {
	stateFlag
	Server string `help:"Address of the server." required:"" env:"LEASEHOLD_SERVER" placeholder:"URL"`
	Key    string `help:"Enrolment key, which an administrator makes." required:"" env:"LEASEHOLD_ENROLMENT_KEY"`
	Name   string `help:"Name of this device; its host name unless set." env:"LEASEHOLD_DEVICE_NAME"`
}

// Run is leasehold player enroll.
func (c *playerEnrolCmd) Run(ctx context.Context, std *stdio) error {
	dir, err := c.dir()
	if err != nil {
		return err
	}
	name := c.Name
	if name == "" {
		if name, err = os.Hostname(); err != nil {
			return fmt.Errorf("--name: give this device a name: %w", err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	id, err := agent.Enrol(ctx, dir, c.Server, c.Key, name, version, wire.Player)
	if err != nil {
		return err
	}
	fmt.Fprintf(std.Out, "Device “%s” is enrolled with %s as number %d.\n", id.Name, id.Server, id.AgentID)
	fmt.Fprintf(std.Out, "Run it with: leasehold player run --state %s\n", dir)
	return nil
}

type playerRunCmd struct {
	stateFlag
	NoPush   bool       `help:"Learn of launches and orders at check-ins only." env:"LEASEHOLD_NO_PUSH"`
	LogLevel slog.Level `help:"debug, info, warn or error." default:"info" env:"LEASEHOLD_LOG_LEVEL"`
}

// Run is leasehold player run.
func (c *playerRunCmd) Run(ctx context.Context, std *stdio) error {
	dir, err := c.dir()
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	p, err := player.OpenWithin(ctx, player.Config{
		Dir: dir, NoPush: c.NoPush, Out: std.Out, Terminal: terminalOf(std.Out),
		Log:   slog.New(slog.NewTextHandler(std.Err, &slog.HandlerOptions{Level: c.LogLevel})),
		Guard: func(run string) []string { return []string{self, "guard", "--dir", run} },
	}, 10*time.Second)
	if err != nil {
		return err
	}
	defer p.Close()
	return p.Run(ctx)
}

// terminalOf is the terminal that w writes to, "" if it is none: a guard writes its
// warnings there even when the player has gone.
func terminalOf(w io.Writer) string {
	f, ok := w.(*os.File)
	if !ok {
		return ""
	}
	if info, err := f.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return ""
	}
	path, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	if err != nil || path == os.DevNull {
		return ""
	}
	return path
}

type playerLaunchCmd struct {
	stateFlag
	Link   string `arg:"" help:"The launch link, leasehold://launch?…"`
	Accept bool   `help:"Accept whoever made the link, without asking: they may send further launches to this device."`
}

// Run is leasehold player launch.
func (c *playerLaunchCmd) Run(ctx context.Context, std *stdio) error {
	dir, err := c.dir()
	if err != nil {
		return err
	}
	l, err := player.LaunchLink(ctx, dir, c.Link, func(who wire.Person, app string) (bool, error) {
		if c.Accept {
			return true, nil
		}
		return acceptPerson(ctx, std, who, app)
	})
	if err != nil {
		return err
	}
	switch {
	case !l.New:
		fmt.Fprintf(std.Out, "Session %d: %s is on this device already. Start it with: leasehold player start %d --state %s\n", l.Session, l.App, l.Session, dir)
	case l.Waits:
		fmt.Fprintf(std.Out, "Session %d: %s will start when the player runs: leasehold player run --state %s\n", l.Session, l.App, dir)
	default:
		fmt.Fprintf(std.Out, "Session %d: %s is being added and starts then.\n", l.Session, l.App)
	}
	return nil
}

// acceptPerson asks the user of this device, in the terminal or by a dialog, whether somebody
// who is new to it may use it.
func acceptPerson(ctx context.Context, std *stdio, who wire.Person, app string) (bool, error) {
	heading := fmt.Sprintf("%s (%s) has not used this device before", who.Name, who.Username)
	text := fmt.Sprintf("The link starts %s for them. If you accept, they can start apps on this device from the portal too, until you forget them.", app)
	if f, ok := std.In.(*os.File); ok && isatty.IsTerminal(f.Fd()) {
		fmt.Fprintf(std.Out, "%s.\n%s\nAccept? [y/N] ", heading, text)
		line, err := bufio.NewReader(std.In).ReadString('\n')
		if err != nil && line == "" {
			return false, nil
		}
		answer := strings.ToLower(strings.TrimSpace(line))
		return answer == "y" || answer == "yes", nil
	}
	yes, err := dialog.New(dialog.Options{Log: std.Err}).Ask(ctx, dialog.Question{
		Title: "Leasehold", Heading: heading, Text: text, Yes: "Accept", No: "Refuse", Timeout: 2 * time.Minute,
	})
	if errors.Is(err, dialog.ErrNone) {
		return false, fmt.Errorf("%s, and nobody can be asked here. If you know them, use --accept: %w", heading, err)
	}
	return yes, err
}

type playerPeopleCmd struct {
	stateFlag
	JSON bool `help:"As JSON." name:"json"`
}

// Run is leasehold player people.
func (c *playerPeopleCmd) Run(ctx context.Context, std *stdio) error {
	dir, err := c.dir()
	if err != nil {
		return err
	}
	list, err := player.People(ctx, dir)
	if err != nil {
		return err
	}
	if c.JSON {
		e := json.NewEncoder(std.Out)
		e.SetIndent("", "  ")
		return e.Encode(list)
	}
	if len(list) == 0 {
		fmt.Fprintln(std.Out, "Nobody has used this device yet.")
		return nil
	}
	w := tabwriter.NewWriter(std.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "USER\tNAME")
	for _, p := range list {
		fmt.Fprintf(w, "%s\t%s\n", p.Username, p.Name)
	}
	return w.Flush()
}

type playerForgetCmd struct {
	stateFlag
	User string `arg:"" help:"User name, as in people."`
}

// Run is leasehold player forget.
func (c *playerForgetCmd) Run(ctx context.Context, std *stdio) error {
	dir, err := c.dir()
	if err != nil {
		return err
	}
	if err := player.ForgetPerson(ctx, dir, c.User); err != nil {
		return err
	}
	fmt.Fprintf(std.Out, "%s is forgotten: their launches are not sent to this device any more. Apps of theirs that are here stay; see: leasehold player list\n", c.User)
	return nil
}

type playerListCmd struct {
	stateFlag
	JSON bool `help:"As JSON." name:"json"`
}

// Run is leasehold player list.
func (c *playerListCmd) Run(ctx context.Context, std *stdio) error {
	dir, err := c.dir()
	if err != nil {
		return err
	}
	l, err := player.ListSessions(ctx, dir)
	if err != nil {
		return err
	}
	if c.JSON {
		e := json.NewEncoder(std.Out)
		e.SetIndent("", "  ")
		return e.Encode(l)
	}
	fmt.Fprintf(std.Out, "%s, %s (%s)\n", l.Device, l.Server, standing(l))
	w := tabwriter.NewWriter(std.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SESSION\tAPP\tUSER\tSTATUS\tRUN\tLEASE\tNOTE")
	for _, s := range l.Sessions {
		status := s.Status
		if status == agent.Adding && s.Progress > 0 {
			status = fmt.Sprintf("%s %d %%", status, s.Progress)
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%d\t%s\t%s\n", s.Session, s.App, s.User, status, s.Run, leaseLeft(&s), note(&s))
	}
	return w.Flush()
}

// standing is how the player gets on with its server.
func standing(l *player.List) string {
	switch {
	case !l.Running:
		return "the player is not running; this is what it wrote last"
	case l.Link.Quarantined:
		return "quarantined: this state folder was copied; enrol the device again in a new folder"
	case l.Link.OK:
		return "online"
	case l.Link.Error == "":
		return "connecting"
	case l.Link.Since.IsZero():
		return "offline: " + l.Link.Error
	}
	return fmt.Sprintf("offline since %s: %s", l.Link.Since.Local().Format("2 Jan 15:04"), l.Link.Error)
}

// leaseLeft is how long an app may run: an offline one also until when.
func leaseLeft(s *agent.Info) string {
	if s.LeaseSeconds == nil {
		return "-"
	}
	d := time.Duration(*s.LeaseSeconds) * time.Second
	text := d.String() + " left"
	if s.Licence == lease.Fixed {
		text += ", offline until " + time.Now().Add(d).Format("2 Jan 15:04")
	}
	return text
}

// note is what else the user should know of an app.
func note(s *agent.Info) string {
	var list []string
	if s.ClosesSeconds != nil {
		list = append(list, "closes in "+(time.Duration(*s.ClosesSeconds)*time.Second).String())
	}
	if s.Problem != "" {
		list = append(list, s.Problem)
	}
	if u := s.Upgrade; u != nil {
		switch u.Status {
		case agent.UpgradeAdding:
			list = append(list, fmt.Sprintf("newer version is being added, %d %%", u.Progress))
		case agent.UpgradeReady:
			list = append(list, "newer version is there, waiting for the server")
		case agent.UpgradeNext:
			list = append(list, "newer version from the next start on")
		case agent.UpgradePutOff:
			list = append(list, "newer version put off for "+(time.Duration(u.Seconds)*time.Second).String())
		}
		if u.Problem != "" {
			list = append(list, u.Problem)
		}
	}
	return strings.Join(list, "; ")
}

// sessionArg is a session on this device.
type sessionArg struct {
	stateFlag
	Session int64 `arg:"" help:"Number of the session, as in list."`
}

// do carries out a command on the session and says so.
func (c sessionArg) do(ctx context.Context, std *stdio, f func(context.Context, string, int64) error, done string) error {
	dir, err := c.dir()
	if err != nil {
		return err
	}
	if err := f(ctx, dir, c.Session); err != nil {
		return err
	}
	fmt.Fprintf(std.Out, "Session %d: %s\n", c.Session, done)
	return nil
}

type playerStartCmd struct{ sessionArg }

// Run is leasehold player start.
func (c *playerStartCmd) Run(ctx context.Context, std *stdio) error {
	return c.do(ctx, std, player.StartSession, "the app starts.")
}

type playerUpgradeCmd struct {
	sessionArg
	Later bool `help:"Stay at the present version for a day."`
}

// Run is leasehold player upgrade.
func (c *playerUpgradeCmd) Run(ctx context.Context, std *stdio) error {
	if c.Later {
		return c.do(ctx, std, player.PutOffUpgrade, "the app stays at its version for a day.")
	}
	return c.do(ctx, std, player.UpgradeSession, "the newer version is brought; once it is there, the next start runs it.")
}

type playerOpenCmd struct{ stateFlag }

// Run is leasehold player open.
func (c *playerOpenCmd) Run(ctx context.Context, std *stdio) error {
	dir, err := c.dir()
	if err != nil {
		return err
	}
	address, err := player.PageAddress(ctx, dir)
	if err != nil {
		return err
	}
	if err := player.Browse(ctx, address); err != nil {
		fmt.Fprintf(std.Err, "%v. Open this address in a browser on this machine; it works once, for a few minutes:\n", err)
		fmt.Fprintln(std.Out, address)
		return nil
	}
	fmt.Fprintln(std.Out, "The player's page is open in your browser.")
	return nil
}

type playerReturnCmd struct{ sessionArg }

// Run is leasehold player return.
func (c *playerReturnCmd) Run(ctx context.Context, std *stdio) error {
	return c.do(ctx, std, player.ReturnLease, "the licence is given back. Somebody else can have it as soon as the server hears of it.")
}

type playerRemoveCmd struct{ sessionArg }

// Run is leasehold player remove.
func (c *playerRemoveCmd) Run(ctx context.Context, std *stdio) error {
	return c.do(ctx, std, player.RemoveSession, "the app is being removed; one that runs is closed first, after its warnings.")
}

type playerInstallCmd struct{ stateFlag }

// Run is leasehold player install.
func (c *playerInstallCmd) Run(ctx context.Context, std *stdio) error {
	dir, err := c.dir()
	if err != nil {
		return err
	}
	return player.Install(ctx, dir, std.Out)
}

type playerUninstallCmd struct{ stateFlag }

// Run is leasehold player uninstall.
func (c *playerUninstallCmd) Run(ctx context.Context, std *stdio) error {
	return player.Uninstall(ctx, std.Out)
}
