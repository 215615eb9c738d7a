package fold

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

func TestOneName(t *testing.T) {
	for _, tt := range [][2]string{
		{"Émile", "émile"}, {"ИВАН", "иван"}, {"Ünal", "ünal"}, {"jos\u00e9", "jose\u0301"}, {"JOSE\u0301", "jos\u00e9"}, {"STRASSE", "Straße"}, {"Écran", "écran"},
		{"STRAẞE", "strasse"}, {"ΣΊΣΥΦΟΣ", "σίσυφος"}, {"ﬁle", "FILE"}, {"Å", "\u212b"}, {"K", "\u212a"}, {"ԱՒԵՒ", "աւեւ"}, {"\uac00", "\u1100\u1161"},
		{"ᏣᎳᎩ", "ꮳꮃꭹ"}, {"ᾼ", "ᾳ"}, {"a\u0323\u0307", "a\u0307\u0323"}, {"α\u0345\u0301", "Α\u0301\u0345"}, {"İZMİR", "izmir"}, {"i\u0307\u0307\u0301", "Í"}, {"", ""}, {"ABC", "abc"},
	} {
		if a, b := Fold(tt[0]), Fold(tt[1]); a != b {
			t.Errorf("%q and %q are two names: %+q, %+q", tt[0], tt[1], a, b)
		}
	}
	for _, tt := range [][2]string{
		{"jose", "jos\u00e9"}, {"i", "ı"}, {"I", "ı"}, {"ss", "s"}, {"и", "й"}, {"a", "а"}, {"２", "2"}, {"²", "2"},
	} {
		if Fold(tt[0]) == Fold(tt[1]) {
			t.Errorf("%q and %q are one name", tt[0], tt[1])
		}
	}
}

func TestContains(t *testing.T) {
	if !Contains("École de José", "JOSE\u0301") || !Contains("Große Straße", "STRASS") || Contains("Ann", "b") || !Contains("x", "") {
		t.Error("Contains")
	}
	if Compare("Émile", "émile") != 0 || Compare("a", "B") >= 0 || Compare("Z", "é") >= 0 {
		t.Error("Compare")
	}
	if got := Name(" jose\u0301\u00a0"); got != "jos\u00e9" {
		t.Errorf("Name: %q", got)
	}
}

// spellings fails the test unless all spellings of a text fold to the same, and that folds
// to itself.
func spellings(t *testing.T, s string) {
	t.Helper()
	f := Fold(s)
	if again := Fold(f); again != f {
		t.Errorf("%+q folds to %+q, and that to %+q", s, f, again)
	}
	if !utf8.ValidString(s) {
		return
	}
	if !norm.NFC.IsNormalString(f) {
		t.Errorf("%+q folds to %+q, which is not NFC", s, f)
	}
	others := []string{norm.NFC.String(s), norm.NFD.String(s)}
	if strings.TrimSpace(s) == s {
		others = append(others, Name(s))
	}
	for _, other := range others {
		if got := Fold(other); got != f {
			t.Errorf("%+q folds to %+q, %+q to %+q", s, f, other, got)
		}
	}
}

// cased fails the test unless a text in upper and lower case folds to the same.
func cased(t *testing.T, s string) {
	t.Helper()
	for _, other := range []string{strings.ToUpper(s), strings.ToLower(s)} {
		if got, want := Fold(other), Fold(s); got != want {
			t.Errorf("%+q folds to %+q, %+q to %+q", s, want, other, got)
		}
	}
}

// The dotless i is a letter of its own in the folding for no language in particular, though
// it is I in upper case.
const dotless = 'ı'

// TestEveryCharacter: the fold of every character is stable, alone and beside others that
// compose with it.
func TestEveryCharacter(t *testing.T) {
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if !utf8.ValidRune(r) {
			continue
		}
		spellings(t, string(r))
		if unicode.IsMark(r) || Fold(string(r)) != string(r) {
			for _, s := range []string{"a" + string(r), string(r) + "\u0301\u0345", "\u0345" + string(r) + "\u0327"} {
				spellings(t, s)
			}
		}
		if r != dotless {
			cased(t, string(r))
		}
	}
}

func FuzzFold(f *testing.F) {
	for _, s := range []string{"Émile", "ИВАН", "jose\u0301", "Straße", "ΌΣΟΣ", "\u0345α\u0301", "İI", "i\u0307\u0307\u0327", "\xff\xc3", "\u1100\u1161\u11a8", "Ω\u0345\u0342\u0313", "ﬃ"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) { spellings(t, s) })
}

func TestVisible(t *testing.T) {
	for _, r := range "aÉßи字가ก์ا9_-.@ '’()\u00a0\u3000🙂\u0301\u0e47" {
		if !Visible(r) {
			t.Errorf("%+q may not be in a name", r)
		}
	}
	hidden := []rune{0, '\t', '\n', '\r', 0x7f, 0x85, 0xad, 0x34f, 0x61c, 0x115f, 0x1160, 0x17b4, 0x180b, 0x180e, 0x2028, 0x2029, 0x3164, 0xfe0f, 0xfeff, 0xffa0, 0xfff9, 0xfffe, 0xe000, 0x1d173, 0xe0001, 0xe0041, 0xe0100, 0x378}
	for _, span := range [][2]rune{{0x200b, 0x200f}, {0x202a, 0x202e}, {0x2060, 0x206f}} {
		for r := span[0]; r <= span[1]; r++ {
			hidden = append(hidden, r)
		}
	}
	for _, r := range hidden {
		if Visible(r) {
			t.Errorf("%U may be in a name", r)
		}
	}
}

func BenchmarkFold(b *testing.B) {
	for _, s := range []string{"Ann Berg", "Émile Zola"} {
		b.Run(s, func(b *testing.B) {
			for b.Loop() {
				Fold(s)
			}
		})
	}
}
