package passwords

import (
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	names := []string{"aberg", "Ann-Sofie Berg", "ann.berg@example.org"}
	for _, tt := range []struct {
		password, says string
	}{
		{"short", "at least 8"},
		{"", "at least 8"},
		{strings.Repeat("long ", 300), "at most 1000"},
		{"password", "most common"}, {"PASSWORD", "most common"}, {"Password1!", "most common"}, {"12345678", "most common"}, {"!!qwerty!!", "most common"},
		{"aaaaaaaaaaaaaa", "most common"}, {"abababababab", "most common"}, {"iloveyou", "most common"}, {"Dragon2026", "most common"},
		{"annberg1", "made of your name"}, {"AnnBerg2026", "made of your name"}, {"ABERG-aberg-2026", "made of your name"}, {"sofie.sofie", "made of your name"}, {"Example2026!", "made of your name"}, {"leasehold-2026", "made of your name"},
		{"correct horse battery", ""}, {"violet harbour 7", ""}, {"annual budget meeting", ""}, {"ваза на столе 5", ""}, {"k9#mQ2$vLp", ""}, {"bergamot and vanilla", ""},
	} {
		err := Check(tt.password, names...)
		if tt.says == "" && err != nil {
			t.Errorf("%q: %v", tt.password, err)
		}
		if tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says)) {
			t.Errorf("%q: %v, want %q", tt.password, err, tt.says)
		}
	}
	if n := len(common()); n < 10_000 {
		t.Errorf("only %d common passwords", n)
	}
}

// FuzzCheck: no password makes it panic, and none that passes is too short.
func FuzzCheck(f *testing.F) {
	f.Add("password", "ann")
	f.Add("\xff\xfe", "\u0301")
	f.Fuzz(func(t *testing.T, password, name string) {
		if err := Check(password, name); err == nil && len(password) < Min {
			t.Errorf("%q passes", password)
		}
	})
}
