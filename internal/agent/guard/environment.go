package guard

import (
	"net/url"
	"runtime"
	"slices"
	"strings"
)

// An app on a device gets of the player's environment only what desktop programs need to
// find their user, screen, language, network and the system's folders. The player's may
// hold tokens and passwords: of itself, or of whoever started it.

// appNames are the variables that an app gets; a name that ends in * stands for all that
// begin so. Windows compares them without case.
var appNames = []string{
	"HOME", "USER", "LOGNAME", "SHELL", "PATH", "TMPDIR", "TERM", "COLORTERM", "TZ", "LANG", "LANGUAGE", "LC_*",
	// The desktop: where the screen is, which one, its looks, sound, input and services.
	"DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "ICEAUTHORITY", "SESSION_MANAGER", "DBUS_SESSION_BUS_ADDRESS", "XDG_*",
	"DESKTOP_SESSION", "GDMSESSION", "KDE_*", "GNOME_*", "GTK_*", "GDK_*", "QT_*", "XCURSOR_*", "XMODIFIERS",
	"NO_AT_BRIDGE", "AT_SPI_BUS_ADDRESS", "PULSE_SERVER", "PIPEWIRE_*", "CUPS_SERVER",
	// Where Kerberos keeps its tickets: shares and licence servers of an organisation ask for them.
	"KRB5CCNAME", "KRB5_CONFIG",
	"http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY", "NO_PROXY",
}

// appNamesWindows are those that programs for Windows need besides.
var appNamesWindows = []string{
	"SystemRoot", "SystemDrive", "windir", "ComSpec", "PATHEXT", "OS", "TEMP", "TMP", "NUMBER_OF_PROCESSORS", "PROCESSOR_*",
	"COMPUTERNAME", "USERNAME", "USERDOMAIN*", "USERDNSDOMAIN", "USERPROFILE", "HOMEDRIVE", "HOMEPATH", "HOMESHARE", "LOGONSERVER", "SESSIONNAME",
	"APPDATA", "LOCALAPPDATA", "ALLUSERSPROFILE", "PUBLIC", "ProgramData", "ProgramFiles*", "ProgramW6432", "CommonProgram*", "DriverData",
}

// appEnvironment is what an app gets of an environment.
func appEnvironment(from []string) []string {
	return slices.DeleteFunc(slices.Clone(from), func(kv string) bool {
		name, value, ok := strings.Cut(kv, "=")
		return !ok || !forApps(name) || strings.HasSuffix(strings.ToLower(name), "_proxy") && hasPassword(value)
	})
}

func forApps(name string) bool {
	match := func(pattern string) bool {
		n := name
		if runtime.GOOS == "windows" {
			n, pattern = strings.ToUpper(n), strings.ToUpper(pattern)
		}
		begin, any := strings.CutSuffix(pattern, "*")
		return n == pattern || any && strings.HasPrefix(n, begin)
	}
	return slices.ContainsFunc(appNames, match) || runtime.GOOS == "windows" && slices.ContainsFunc(appNamesWindows, match)
}

// hasPassword reports whether a proxy's address has credentials, or cannot be read.
func hasPassword(address string) bool {
	if !strings.Contains(address, "@") {
		return false
	}
	u, err := url.Parse(address)
	return err != nil || u.User != nil || !strings.Contains(address, "://")
}
