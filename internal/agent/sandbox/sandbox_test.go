package sandbox

import (
	"strings"
	"testing"
)

func TestLogin(t *testing.T) {
	for name, want := range map[string]string{
		"ann": "ann", "Ann.Berg@example.org": "ann.berg_example.org", "root": "root_u", "ROOT": "root_u", "daemon": "daemon_u",
		"": "user", "ИВАН": "user", "émile": "mile", "0": "user", "-x": "x", "a:b\nroot::0:0": "a_b_root__0_0",
		strings.Repeat("long", 20): strings.Repeat("long", 20)[:30], "josé ñandú": "jos___and",
	} {
		if got := Login(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

// Whatever a user is called, the account is one line of a passwd file, and not
// one that the machine has.
func FuzzLogin(f *testing.F) {
	f.Add("root")
	f.Add("a:b\n:0:0")
	f.Fuzz(func(t *testing.T, name string) {
		login := Login(name)
		if login == "" || len(login) > loginLimit || login == "root" || strings.Trim(login, "abcdefghijklmnopqrstuvwxyz0123456789._-") != "" {
			t.Errorf("%q: %q", name, login)
		}
		if g := gecos(name); strings.ContainsAny(g, ":\n\r\x00") {
			t.Errorf("%q: %q", name, g)
		}
	})
}
