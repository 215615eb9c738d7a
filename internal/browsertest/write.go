package browsertest

import (
	"context"
	"strings"
	"unicode"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
)

// Write presses the keys of a text as a keyboard does, "\r" for Enter: the letter of a key
// comes only if the page lets it.
func (w *Window) Write(text string) {
	w.T.Helper()
	for _, r := range text {
		p := input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeKeyDown, Key: string(r), Text: string(r)}
		switch {
		case r == '\r':
			p.Key, p.Code = "Enter", "Enter"
		case unicode.IsLetter(r):
			p.Code = "Key" + strings.ToUpper(string(r))
		}
		w.Do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
			if _, err := cdp.Call(ctx, t, input.DispatchKeyEvent, p); err != nil {
				return err
			}
			p.Type, p.Text = input.DispatchKeyEventTypeKeyUp, ""
			_, err := cdp.Call(ctx, t, input.DispatchKeyEvent, p)
			return err
		}))
	}
}
