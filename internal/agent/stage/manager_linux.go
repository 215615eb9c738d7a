package stage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// managerConfig makes openbox a window manager for one app: its windows fill
// the display and have no frame; dialogs have one, with which they can be moved
// and closed. There is no menu, nothing to hide a window with, and no key of
// its own, so that every key reaches the app.
const managerConfig = `<?xml version="1.0" encoding="UTF-8"?>
<openbox_config xmlns="http://openbox.org/3.4/rc">
  <focus><focusNew>yes</focusNew><followMouse>no</followMouse><focusLast>yes</focusLast></focus>
  <placement><policy>Smart</policy><center>yes</center></placement>
  <theme><name>Clearlooks</name><titleLayout>LC</titleLayout><animateIconify>no</animateIconify></theme>
  <desktops><number>1</number><popupTime>0</popupTime></desktops>
  <resize><popupShow>Never</popupShow></resize>
  <keyboard></keyboard>
  <mouse>
    <dragThreshold>4</dragThreshold>
    <context name="Frame"></context>
    <context name="Client">
      <mousebind button="Left" action="Press"><action name="Focus"/><action name="Raise"/></mousebind>
      <mousebind button="Middle" action="Press"><action name="Focus"/><action name="Raise"/></mousebind>
      <mousebind button="Right" action="Press"><action name="Focus"/><action name="Raise"/></mousebind>
    </context>
    <context name="Titlebar">
      <mousebind button="Left" action="Press"><action name="Focus"/><action name="Raise"/></mousebind>
      <mousebind button="Left" action="Drag"><action name="Move"/></mousebind>
    </context>
    <context name="Left Right Top Bottom TLCorner TRCorner BLCorner BRCorner">
      <mousebind button="Left" action="Drag"><action name="Resize"/></mousebind>
    </context>
    <context name="Close">
      <mousebind button="Left" action="Press"><action name="Focus"/><action name="Raise"/></mousebind>
      <mousebind button="Left" action="Click"><action name="Close"/></mousebind>
    </context>
  </mouse>
  <menu></menu>
  <applications>
    <application type="normal"><decor>no</decor><maximized>yes</maximized><focus>yes</focus></application>
    <application type="dialog"><decor>yes</decor><maximized>no</maximized><focus>yes</focus></application>
  </applications>
</openbox_config>
`

// startManager starts the window manager and returns when it is at work.
func (s *session) startManager(ctx context.Context) error {
	cmd := exec.Command("openbox", "--sm-disable", "--config-file", filepath.Join(s.dir, displayDir, managerFile))
	cmd.Dir = filepath.Join(s.dir, homeDir)
	cmd.Env = s.environment()
	var err error
	if s.manager, err = s.launcher.start(cmd, os.Stderr); err != nil {
		return err
	}
	deadline := time.After(displayWithin)
	for {
		if ready, ok := s.ask(func() int {
			if s.x.WindowManager() {
				return 1
			}
			return 0
		}); ok && ready == 1 {
			s.ask(func() int { s.x.Adopt(); return 0 })
			return nil
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-s.manager.done:
			return fmt.Errorf("the window manager ended: %s", s.manager.out.lastLine())
		case <-s.server.done:
			return errors.New("the display server ended")
		case <-deadline:
			return errors.New("the window manager does not answer")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// writeManagerConfig must come before the display's folder is protected.
func (s *session) writeManagerConfig() error {
	path := filepath.Join(s.dir, displayDir, managerFile)
	if err := os.WriteFile(path, []byte(managerConfig), 0o600); err != nil {
		return err
	}
	return s.own(path)
}
