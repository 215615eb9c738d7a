// Package passwords says what is wrong with a new password: one that is tried first by
// whoever guesses, because it is common or made of its user's names. The common ones are
// those of zxcvbn, most frequent of leaked passwords (Wheeler, "zxcvbn: Low-Budget Password
// Strength Estimation", USENIX Security 2016). NIST SP 800-63B, 3.1.1.2, asks for both. Pure.
package passwords

import (
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/trustelem/zxcvbn/frequency"

	"leasehold/internal/fold"
	"leasehold/internal/invalid"
)

const (
	// Min is the least length of a password, in characters (NIST SP 800-63B, 3.1.1.2, asks for
	// eight at the least), and Max the most.
	Min = 8
	Max = 1000
	// padding is how many characters around a common password do not make it another one.
	padding = 4
	// minWord is the least length of a part of a name that counts, in characters.
	minWord = 3
)

// common are the common passwords, folded. The set is made when it is first needed.
var common = sync.OnceValue(func() map[string]bool {
	list := frequency.FrequencyLists["passwords"]
	set := make(map[string]bool, len(list))
	for _, p := range list {
		set[fold.Fold(p)] = true
	}
	return set
})

// Check says what is wrong with a new password of somebody with these names, as an
// [invalid.Error] for the field "password", or nil. A name can be a user name, a display name
// or an email address.
func Check(password string, names ...string) error {
	var e invalid.Error
	e.Text("password", password, Min, Max)
	if err := e.Err(); err != nil {
		return err
	}
	p := fold.Fold(password)
	switch {
	case isCommon(p):
		e.Add("password", "is one of the most common ones, which are tried first; choose another, such as three or four words that have nothing to do with each other")
	case madeOf(p, names):
		e.Add("password", "is made of your name; choose another, such as three or four words that have nothing to do with each other")
	}
	return e.Err()
}

// isCommon reports whether a folded password is a common one, with little around it, or a
// character or two again and again.
func isCommon(p string) bool {
	distinct := map[rune]bool{}
	for _, r := range p {
		distinct[r] = true
	}
	if len(distinct) <= 2 || common()[p] {
		return true
	}
	core := strings.TrimFunc(p, func(r rune) bool { return !unicode.IsLetter(r) })
	return core != "" && utf8.RuneCountInString(p)-utf8.RuneCountInString(core) <= padding && common()[core]
}

// madeOf reports whether a folded password has a part of a name and, without all such parts,
// is too short to be one.
func madeOf(p string, names []string) bool {
	rest := p
	for _, name := range append(names, "leasehold") {
		for _, word := range strings.FieldsFunc(fold.Fold(name), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsMark(r) && !unicode.IsNumber(r) }) {
			if utf8.RuneCountInString(word) >= minWord {
				rest = strings.ReplaceAll(rest, word, "")
			}
		}
	}
	return rest != p && utf8.RuneCountInString(rest) < Min
}
