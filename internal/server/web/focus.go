package web

import "context"

// focusKey is the context's key of whether a page has given the focus to a wrong field.
const focusKey contextKey = 100

// withFocus lets the first wrong field of a page have the focus.
func withFocus(ctx context.Context) context.Context {
	return context.WithValue(ctx, focusKey, new(bool))
}

// firstWrong reports whether the field that is rendered now is the first wrong one, so that
// it gets the focus when the page is loaded, without a script too.
func firstWrong(ctx context.Context) bool {
	given, ok := ctx.Value(focusKey).(*bool)
	if !ok || *given {
		return false
	}
	*given = true
	return true
}
