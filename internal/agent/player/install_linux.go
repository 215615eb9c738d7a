package player

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const desktopName = "leasehold.desktop"

// desktopFile is the path of our entry among the user's applications.
func desktopFile() (string, error) {
	data := os.Getenv("XDG_DATA_HOME")
	if !filepath.IsAbs(data) {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", err
		}
		data = filepath.Join(home, ".local", "share")
	}
	return filepath.Join(data, "applications", desktopName), nil
}

// desktopEntry has the desktop open links with us.
func desktopEntry(self, dir string) string {
	return "[Desktop Entry]\n" +
		"Type=Application\n" +
		"Name=Leasehold\n" +
		"Comment=Launch an app from the Leasehold portal\n" +
		"NoDisplay=true\n" +
		"Terminal=false\n" +
		"Exec=" + quoteExec(self) + " player launch --state " + quoteExec(dir) + " -- %u\n" +
		"MimeType=x-scheme-handler/leasehold;\n"
}

// quoteExec quotes an argument of an Exec line: by the rules of its quotes first, by those
// of the file's strings around it.
func quoteExec(s string) string {
	s = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "`", "\\`", `$`, `\$`, `%`, `%%`).Replace(s)
	return `"` + strings.ReplaceAll(s, `\`, `\\`) + `"`
}

func installHandler(ctx context.Context, self, dir string, out io.Writer) error {
	path, err := desktopFile()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(path, []byte(desktopEntry(self, dir)), 0o644); err != nil {
		return err
	}
	tool, err := exec.LookPath("xdg-mime")
	if err != nil {
		fmt.Fprintf(out, "There is no xdg-mime here, so links are not opened by a click. Use: leasehold player launch LINK --state %s\n", dir)
		return nil
	}
	if b, err := exec.CommandContext(ctx, tool, "default", desktopName, "x-scheme-handler/leasehold").CombinedOutput(); err != nil {
		return fmt.Errorf("xdg-mime: %w: %s", err, strings.TrimSpace(string(b)))
	}
	fmt.Fprintln(out, "Links of the portal open with it.")
	return nil
}

func uninstallHandler(context.Context) error {
	path, err := desktopFile()
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
