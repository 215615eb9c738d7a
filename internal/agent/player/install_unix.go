//go:build unix

package player

import "errors"

// installService registers the service and starts it; one that is there already is
// replaced, as after an update that moved the program.
func installService(self, dir string) error {
	s, err := userService(self, dir)
	if err != nil {
		return err
	}
	_ = s.Stop()
	_ = s.Uninstall()
	if err := s.Install(); err != nil {
		return err
	}
	return s.Start()
}

func uninstallService() error {
	s, err := userService("", "")
	if err != nil {
		return err
	}
	return errors.Join(s.Stop(), s.Uninstall())
}
