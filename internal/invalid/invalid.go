// Package invalid says what is wrong with an input, field by field, so that a form can
// show each message at its field and the API can name it. Whoever returns such an error
// has changed nothing.
package invalid

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"leasehold/internal/calendar"
	"leasehold/internal/fold"
)

// Field is one field that is not right.
type Field struct {
	Name    string // as in the API's JSON, with dots for what is nested: "licence.seats"
	Message string // what would be right, for people: "must be between 1 and 100"
}

// Error is every field that is not right. It is never empty when returned as an error.
type Error []Field

func (e Error) Error() string {
	var b strings.Builder
	for i, f := range e {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(f.Name + " " + f.Message)
	}
	return b.String()
}

// Add records that a field is not right.
func (e *Error) Add(field, format string, args ...any) {
	*e = append(*e, Field{field, fmt.Sprintf(format, args...)})
}

// Err is e as an error, nil if no field was added.
func (e Error) Err() error {
	if len(e) == 0 {
		return nil
	}
	return e
}

// Of is an Error of one field.
func Of(field, format string, args ...any) error {
	return Error{{field, fmt.Sprintf(format, args...)}}
}

// Text checks a text of people: trimmed by the caller, at least min and at most max
// characters, no control characters but line ends and tabs.
func (e *Error) Text(field, s string, min, max int) {
	n := utf8.RuneCountInString(s)
	switch {
	case !utf8.ValidString(s):
		e.Add(field, "must be UTF-8 text")
	case n < min && min == 1:
		e.Add(field, "is required")
	case n < min:
		e.Add(field, "must have at least %d characters", min)
	case n > max:
		e.Add(field, "must have at most %d characters", max)
	case strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' || r == 0x7f }):
		e.Add(field, "must not contain control characters")
	}
}

// Name checks a name, which people tell things apart by: a text on one line, all of whose
// characters can be seen. Which these are says [fold.Visible].
func (e *Error) Name(field, s string, min, max int) {
	n := len(*e)
	e.Text(field, s, min, max)
	if len(*e) == n && strings.ContainsFunc(s, func(r rune) bool { return !fold.Visible(r) }) {
		e.Add(field, "must not contain "+Hidden)
	}
}

// Hidden says which characters a name has none of.
const Hidden = "invisible characters, such as line ends, joiners and direction marks"

const outOfYears = "must be in the years 1 to 9999, in UTC"

// Time returns a time that was given as it can be kept, see [calendar.Moment]. One outside
// the years 1 to 9999 in UTC is a fault of the field.
func (e *Error) Time(field string, t time.Time) time.Time {
	u, ok := calendar.Moment(t)
	if !ok {
		e.Add(field, outOfYears)
		return time.Time{}
	}
	return u
}

// Period reads the fields from and to, each a date in a time zone or an RFC 3339 time, as a
// period: at or after first, before end. A date in to is whole. Either may be left out, and
// is the zero time then.
func (e *Error) Period(from, to string, zone *time.Location) (first, end time.Time) {
	first, firstDay := e.moment("from", from, zone)
	end, lastDay := e.moment("to", to, zone)
	if lastDay != nil {
		_, end = calendar.Range(*lastDay, *lastDay, zone)
		end = calendar.Clamp(end)
	}
	wrong := !first.Before(end)
	if firstDay != nil && lastDay != nil {
		// Of days that the zone skips the period is empty, though they are in order.
		wrong = firstDay.Compare(*lastDay) > 0
	}
	if wrong && !first.IsZero() && !end.IsZero() {
		e.Add("to", "must not be before from")
	}
	return first, end
}

// moment reads a date, as its first instant, or an RFC 3339 time; zero for "". day is the
// date if it is one.
func (e *Error) moment(field, s string, zone *time.Location) (t time.Time, day *calendar.Date) {
	if s == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return e.Time(field, t), nil
	}
	d, err := calendar.ParseDate(s)
	switch {
	case errors.Is(err, calendar.ErrYear):
		e.Add(field, outOfYears)
		return time.Time{}, nil
	case err != nil:
		e.Add(field, "must be a date, as 2026-03-31, or an RFC 3339 time")
		return time.Time{}, nil
	}
	return calendar.Clamp(d.Start(zone)), &d
}

// Except leaves the fields that are kept as they were stored out of an error that a Validate
// method returned: a text from before a rule must not keep the rest from being changed.
func Except(err error, kept map[string]bool) error {
	e, ok := err.(Error)
	if !ok {
		return err
	}
	return slices.DeleteFunc(slices.Clone(e), func(f Field) bool { return kept[f.Name] }).Err()
}

// Within is the error with its fields named as those of a part of the input.
func (e Error) Within(part string) Error {
	out := make(Error, len(e))
	for i, f := range e {
		out[i] = Field{part + "." + f.Name, f.Message}
	}
	return out
}

// Range checks a number.
func (e *Error) Range(field string, n, min, max int) {
	if n < min || n > max {
		e.Add(field, "must be between %d and %d", min, max)
	}
}

// OneOf checks a word against those that are known.
func (e *Error) OneOf(field, s string, words ...string) {
	for _, w := range words {
		if s == w {
			return
		}
	}
	e.Add(field, "must be one of %s", strings.Join(words, ", "))
}
