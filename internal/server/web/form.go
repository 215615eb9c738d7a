package web

import (
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"leasehold/internal/invalid"
	"leasehold/internal/store"
)

// fieldErrors turns what is wrong with an input into sentences by field. A field
// that has several faults shows the first.
func fieldErrors(e invalid.Error) map[string]string {
	m := make(map[string]string, len(e))
	for _, f := range e {
		if m[f.Name] == "" {
			m[f.Name] = title(sayOf(f)) + "."
		}
	}
	return m
}

// wrong returns the faults of a form that was not accepted, or err itself if that is
// not about the form.
func wrong(err error) (map[string]string, error) {
	var bad invalid.Error
	switch {
	case errors.As(err, &bad):
		return fieldErrors(bad), nil
	case errors.Is(err, store.ErrNameTaken):
		return map[string]string{"name": "Is taken."}, nil
	}
	return nil, err
}

// rest says what is wrong with fields that the form does not show, for its head.
func rest(errs map[string]string, shown ...string) string {
	var out []string
	for name, text := range errs {
		known := slices.ContainsFunc(shown, func(s string) bool { return s == name || strings.HasPrefix(name, s+".") })
		if !known {
			out = append(out, labelOf(name)+": "+text)
		}
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// number reads a whole number of a form; a text that is none is a fault of the field.
func number(e *invalid.Error, form url.Values, name string) int {
	s := strings.TrimSpace(form.Get(name))
	if s == "" {
		return 0
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		e.Add(name, "must be a whole number")
	}
	return n
}

// ids reads the numbers that a form sends under one name; what is none is left out.
func ids(form url.Values, name string) []int64 {
	var out []int64
	for _, s := range form[name] {
		if n, err := strconv.ParseInt(s, 10, 64); err == nil && n > 0 && !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}

// picked applies what a picker sends to a set: what it showed and has no tick any more
// goes, what is ticked comes. Members that it had no room to show stay.
func picked(have []int64, form url.Values, name string) []int64 {
	shown, ticked := ids(form, "shown_"+name), ids(form, name)
	out := slices.DeleteFunc(slices.Clone(have), func(id int64) bool {
		return slices.Contains(shown, id) && !slices.Contains(ticked, id)
	})
	for _, id := range ticked {
		if !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
