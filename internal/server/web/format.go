package web

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// span writes a duration the way lists show it: one unit, no decimals.
func span(d time.Duration) string {
	switch d = max(d, 0); {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d/time.Second))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d/time.Minute))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d/time.Hour))
	case d < 365*24*time.Hour:
		return fmt.Sprintf("%d d", int(d/(24*time.Hour)))
	default:
		return fmt.Sprintf("%d y", int(d/(365*24*time.Hour)))
	}
}

// agoText writes how long ago t was; the script writes the same words.
func agoText(t, now time.Time) string {
	if d := now.Sub(t); d >= 5*time.Second {
		return span(d) + " ago"
	}
	return "just now"
}

// countdown writes the time left until t as minutes and seconds.
func countdown(t, now time.Time) string {
	left := max(t.Sub(now), 0).Round(time.Second)
	h, m, s := int(left/time.Hour), int(left/time.Minute)%60, int(left/time.Second)%60
	switch {
	case h >= 48:
		return fmt.Sprintf("%d d", h/24)
	case h > 0:
		return fmt.Sprintf("%d:%02d:%02d", h, m, s)
	default:
		return fmt.Sprintf("%d:%02d", m, s)
	}
}

// exact writes a time to the second with its zone. The server knows no viewer's
// zone, so it says UTC; the script rewrites it in theirs.
func exact(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// stamp writes a time for the datetime attribute.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

// words writes a duration in words: "2 minutes", "1 hour 30 minutes".
func words(d time.Duration) string {
	d = d.Round(time.Second)
	if d <= 0 {
		return "0 seconds"
	}
	var parts []string
	for _, u := range []struct {
		d    time.Duration
		name string
	}{{24 * time.Hour, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}, {time.Second, "second"}} {
		if n := d / u.d; n > 0 && len(parts) < 2 {
			parts = append(parts, plural(int(n), u.name))
			d -= n * u.d
		}
	}
	return strings.Join(parts, " ")
}

// plural writes a count and its noun: "1 session", "1,204 sessions".
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return thousands(n) + " " + noun + "s"
}

// thousands writes a number with commas.
func thousands(n int) string {
	s := strconv.Itoa(n)
	if n < 0 {
		return "-" + thousands(-n)
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// label writes a status or an action as words: renewal_requested becomes
// "renewal requested".
func label(s string) string { return strings.ReplaceAll(s, "_", " ") }

// title starts a sentence with s.
func title(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	if n == 0 {
		return s
	}
	return string(unicode.ToUpper(r)) + s[n:]
}

// letters returns the one or two letters that stand for a name in its icon.
func letters(name string) string {
	var out []rune
	for f := range strings.FieldsSeq(name) {
		r, _ := utf8.DecodeRuneInString(f)
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			out = append(out, unicode.ToUpper(r))
		}
		if len(out) == 2 {
			break
		}
	}
	if len(out) == 0 {
		return "?"
	}
	return string(out)
}

// hue picks one of twelve colours for a name, always the same one.
func hue(name string) string {
	var h uint32 = 2166136261
	for _, b := range []byte(name) {
		h = (h ^ uint32(b)) * 16777619
	}
	return "hue-" + strconv.Itoa(int(h%12))
}
