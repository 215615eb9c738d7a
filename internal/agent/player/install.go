package player

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/kardianos/service"

	"leasehold/internal/agent"
)

// serviceName is the player's among the user's services.
const serviceName = "leasehold-player"

// Install makes the player run whenever this user is signed in, and makes it the handler
// of leasehold:// links on their desktop.
//
// It is a service of the user, not of the system: one of the system could not show a
// dialog on the user's desktop, nor run the user's apps. On macOS a handler of links must
// be an app bundle; there, links are opened with "leasehold player launch LINK".
func Install(ctx context.Context, dir string, out io.Writer) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("player: %w", err)
	}
	if _, err := agent.ReadIdentity(dir); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("player: %w", err)
	}
	// Each is of use without the other: a desktop without a service manager that we know
	// still opens links.
	handler := installHandler(ctx, self, dir, out)
	if handler != nil {
		handler = fmt.Errorf("player: register for leasehold:// links: %w", handler)
	}
	manager := installService(self, dir)
	if manager != nil {
		return errors.Join(handler, fmt.Errorf("player: install the service: %w; start it with: leasehold player run --state %s", manager, dir))
	}
	fmt.Fprintln(out, "The player runs whenever you are signed in.")
	return handler
}

// Uninstall undoes Install. Apps go on under their guards.
func Uninstall(ctx context.Context, out io.Writer) error {
	err := errors.Join(uninstallService(), uninstallHandler(ctx))
	if err == nil {
		fmt.Fprintln(out, "The player does not run by itself any more. Apps that run go on until their leases end.")
	}
	return err
}

// noProgram stands for the program that the service library could run; ours runs itself.
type noProgram struct{}

func (noProgram) Start(service.Service) error { return nil }
func (noProgram) Stop(service.Service) error  { return nil }

// userService describes the player to the system's service manager.
func userService(self, dir string) (service.Service, error) {
	return service.New(noProgram{}, &service.Config{
		Name:        serviceName,
		DisplayName: "Leasehold player",
		Description: "Leasehold player: runs the apps of this device",
		Executable:  self,
		Arguments:   []string{"player", "run", "--state", dir},
		Option: service.KeyValue{
			"UserService":   true,
			"RunAtLoad":     true,
			"KeepAlive":     true,
			"SystemdScript": systemdUnit,
			"LaunchdConfig": launchdAgent,
		},
	})
}

// systemdUnit ends the player's process alone (KillMode): guards and their apps go on, to
// be found again by the next player. Below the unit's cgroup the guards make those of their
// apps (Delegate).
const systemdUnit = `[Unit]
Description={{Description}}
ConditionFileIsExecutable={{Path | cmdEscape}}

[Service]
ExecStart={{Path | cmdEscape}}{{range Arguments}} {{. | cmd}}{{end}}
KillMode=process
Delegate=yes
Restart=always
RestartSec=2

[Install]
WantedBy=default.target
`

// launchdAgent does the same (AbandonProcessGroup).
const launchdAgent = `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
	<key>Label</key>
	<string>{{Name | html}}</string>
	<key>ProgramArguments</key>
	<array>
		<string>{{Path | html}}</string>
{{range Arguments}}		<string>{{. | html}}</string>
{{end}}	</array>
	<key>RunAtLoad</key>
	<true/>
	<key>KeepAlive</key>
	<true/>
	<key>AbandonProcessGroup</key>
	<true/>
	<key>LimitLoadToSessionType</key>
	<string>Aqua</string>
</dict>
</plist>
`
