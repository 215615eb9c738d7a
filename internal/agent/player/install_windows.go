package player

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"syscall"

	"golang.org/x/sys/windows/registry"
)

// A service of Windows runs in a session of its own, without the user's desktop, so the
// player starts with the user's sign-in instead.
const (
	runKey    = `Software\Microsoft\Windows\CurrentVersion\Run`
	schemeKey = `Software\Classes\leasehold`
)

func installService(self, dir string) error {
	k, _, err := registry.CreateKey(registry.CURRENT_USER, runKey, registry.SET_VALUE)
	if err != nil {
		return err
	}
	defer k.Close()
	line := fmt.Sprintf(`%s player run --state %s`, syscall.EscapeArg(self), syscall.EscapeArg(dir))
	if err := k.SetStringValue(serviceName, line); err != nil {
		return err
	}
	return exec.Command(self, "player", "run", "--state", dir).Start()
}

func uninstallService() error {
	k, err := registry.OpenKey(registry.CURRENT_USER, runKey, registry.SET_VALUE)
	if err != nil {
		return err
	}
	defer k.Close()
	if err := k.DeleteValue(serviceName); err != nil && !errors.Is(err, registry.ErrNotExist) {
		return err
	}
	return nil
}

func installHandler(_ context.Context, self, dir string, out io.Writer) error {
	scheme, _, err := registry.CreateKey(registry.CURRENT_USER, schemeKey, registry.SET_VALUE)
	if err != nil {
		return err
	}
	defer scheme.Close()
	command, _, err := registry.CreateKey(registry.CURRENT_USER, schemeKey+`\shell\open\command`, registry.SET_VALUE)
	if err != nil {
		return err
	}
	defer command.Close()
	err = errors.Join(
		scheme.SetStringValue("", "URL:Leasehold"),
		scheme.SetStringValue("URL Protocol", ""),
		command.SetStringValue("", fmt.Sprintf(`%s player launch --state %s -- "%%1"`, syscall.EscapeArg(self), syscall.EscapeArg(dir))))
	if err == nil {
		fmt.Fprintln(out, "Links of the portal open with it.")
	}
	return err
}

func uninstallHandler(context.Context) error {
	var errs []error
	for _, k := range []string{`\shell\open\command`, `\shell\open`, `\shell`, ``} {
		if err := registry.DeleteKey(registry.CURRENT_USER, schemeKey+k); err != nil && !errors.Is(err, registry.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
