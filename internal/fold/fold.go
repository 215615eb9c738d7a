// Package fold decides which spellings are one name. Names are unique, found and sorted by
// their fold, which is computed here alone and stored beside them, so that no database, and
// no locale of one, has a say in it. See docs/adr/0013. It is pure.
package fold

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Fold returns the form that all spellings of a text share which differ in case or in how
// accented letters are composed: NFC(toCasefold(NFD(s))), the canonical caseless match of
// The Unicode Standard, 3.13, D145, with full case folding and for no language in
// particular; and an i with a dot above is an i, so that İ is a capital i. Folding a fold changes nothing. Bytes that are not UTF-8 are kept or become
// U+FFFD.
func Fold(s string) string {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			// A Caser may not be shared; this one has no state and costs nothing to make.
			return norm.NFC.String(dotted(cases.Fold().String(strings.Map(cherokee, norm.NFD.String(s)))))
		}
	}
	return strings.ToLower(s)
}

// cherokee puts capital Cherokee letters in lower case. All of them fold to capitals, but
// package cases turns capitals into small ones as well, so that its fold is not stable.
func cherokee(r rune) rune {
	if r >= 0x13a0 && r <= 0x13f5 {
		return unicode.ToLower(r)
	}
	return r
}

// dotted takes the dot above from each i, which has one anyway. Lower-case functions take it
// from İ, so that people sign in as i where they are called İ.
func dotted(s string) string {
	for strings.Contains(s, "i\u0307") {
		s = strings.ReplaceAll(s, "i\u0307", "i")
	}
	return s
}

// Contains reports whether a text contains a term, as lists are searched.
func Contains(s, term string) bool { return strings.Contains(Fold(s), Fold(term)) }

// Compare compares two texts in the order in which lists are sorted: byte by byte of their
// folds.
func Compare(a, b string) int { return strings.Compare(Fold(a), Fold(b)) }

// Name returns a name as it is stored: composed, as most keyboards enter it, and without the
// space around it.
func Name(s string) string { return strings.TrimSpace(norm.NFC.String(s)) }

// Visible reports whether a character may be in a name. Those may not that nobody sees,
// because two names that look the same would be two, or that change how the text around
// them is read: controls, line ends, bidirectional controls, joiners and other characters
// that are ignored where a font has no glyph for them (Default_Ignorable_Code_Point). Nor
// may those that the Unicode version of this program has not assigned: what they fold to may
// still change.
func Visible(r rune) bool {
	return unicode.IsGraphic(r) && !unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}
