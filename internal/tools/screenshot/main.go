// Command screenshot takes the pictures in docs/screenshots from a running demo:
//
//	leasehold demo
//	go run ./internal/tools/screenshot -url http://127.0.0.1:8420 -password … -out docs/screenshots
//
// It drives headless Chromium, changes nothing but one session that it evicts, and fails if
// a page complains or a picture would be large.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// largest is how large a picture may be: they are kept with the source.
const largest = 250_000

// picture is one page to take.
type picture struct {
	name  string
	who   string
	path  string
	dark  bool
	ready string // what must hold in the page
}

var pictures = []picture{
	{name: "sessions-light", who: "admin", path: "/admin/sessions", ready: `document.querySelectorAll('tbody tr').length >= 20`},
	{name: "sessions-dark", who: "admin", path: "/admin/sessions", dark: true, ready: `document.querySelectorAll('tbody tr').length >= 20`},
	{name: "session", who: "admin", path: "/admin/sessions/", ready: `document.querySelector('.order')`},
	{name: "portal", who: "ann", path: "/", ready: `document.querySelector('.tile')`},
}

func main() {
	url := flag.String("url", "http://127.0.0.1:8420", "address of the demo")
	out := flag.String("out", "docs/screenshots", "folder of the pictures")
	password := flag.String("password", "", "password of the demo's accounts, which it prints")
	flag.Parse()
	if err := run(strings.TrimSuffix(*url, "/"), *out, *password); err != nil {
		fmt.Fprintln(os.Stderr, "screenshot:", err)
		os.Exit(1)
	}
}

func run(url, out, password string) error {
	path, err := exec.LookPath("chromium")
	if err != nil {
		return errors.New("chromium is missing: apt-get install chromium")
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox,
		chromedp.Flag("disable-gpu", true), chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true))
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	ctx, cancel = chromedp.NewExecAllocator(ctx, opts...)
	defer cancel()
	browser, cancel := chromedp.NewContext(ctx)
	defer cancel()
	if err := chromedp.Do(browser, chromedp.Navigate("about:blank")); err != nil {
		return err
	}
	tabs := map[string]*tab{}
	for _, who := range []string{"admin", "ann"} {
		ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
		defer cancel()
		t := &tab{ctx, url}
		if err := t.signIn(who, password); err != nil {
			return fmt.Errorf("sign in as %s: %w", who, err)
		}
		tabs[who] = t
	}
	// The lists first: the page of one session shows an order on its way.
	for _, p := range pictures {
		t := tabs[p.who]
		if p.path == "/admin/sessions/" {
			if p.path, err = t.evict("Field Report"); err != nil {
				return fmt.Errorf("evict: %w", err)
			}
		}
		for _, width := range []int64{1440, 390} {
			if err := t.take(p, width, out); err != nil {
				return fmt.Errorf("%s at %d: %w", p.name, width, err)
			}
		}
	}
	return nil
}

// tab is somebody's window.
type tab struct {
	ctx context.Context
	url string
}

func (t *tab) open(path string) error { return chromedp.Do(t.ctx, chromedp.Navigate(t.url+path)) }

// wait waits until an expression holds in the page.
func (t *tab) wait(js string) error {
	for deadline := time.Now().Add(20 * time.Second); ; {
		v, err := chromedp.Run(t.ctx, chromedp.Evaluate[any]("!!("+js+")"))
		if err == nil && v == true {
			return nil
		}
		if time.Now().After(deadline) {
			return errors.Join(fmt.Errorf("never came true: %s", js), err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (t *tab) signIn(username, password string) error {
	if err := t.open("/"); err != nil {
		return err
	}
	if err := t.wait(`document.querySelector('[name=username]')`); err != nil {
		return err
	}
	if err := chromedp.Do(t.ctx, chromedp.SendKeys(`[name=username]`, username), chromedp.SendKeys(`[name=password]`, password), chromedp.Click(`button[type=submit]`)); err != nil {
		return err
	}
	return t.wait(`document.querySelector('.user-button')`)
}

// evict evicts the running session of an app and returns the path of its page.
func (t *tab) evict(app string) (string, error) {
	// Where there is room, the actions stand in the row.
	if err := chromedp.Do(t.ctx, chromedp.EmulateViewport(1440, 900)); err != nil {
		return "", err
	}
	if err := t.open("/admin/sessions?q=" + strings.ReplaceAll(app, " ", "+")); err != nil {
		return "", err
	}
	if err := t.wait(`document.querySelector('[data-act]')`); err != nil {
		return "", err
	}
	path, err := chromedp.Run(t.ctx, chromedp.Evaluate[string](`document.querySelector('tbody .w-no a').getAttribute('href')`))
	if err != nil {
		return "", err
	}
	evicted, err := chromedp.Run(t.ctx, chromedp.Evaluate[bool](`document.querySelector('[data-act=evict]') === null`))
	if err != nil || evicted {
		return path, err // in an earlier run
	}
	if err := chromedp.Do(t.ctx, chromedp.Click(`[data-act=evict]`)); err != nil {
		return "", err
	}
	if err := t.wait(`document.querySelector('#dialog[open] form[data-confirm]')`); err != nil {
		return "", err
	}
	if err := chromedp.Do(t.ctx, chromedp.SendKeys(`#dialog [name=reason]`, "Licence needed for the exam"), chromedp.Click(`#dialog button[type=submit]`)); err != nil {
		return "", err
	}
	return path, t.wait(`!document.querySelector('#dialog[open]')`)
}

// take takes a picture of a page at a width.
func (t *tab) take(p picture, width int64, out string) error {
	name, height := p.name, int64(900)
	var opts []chromedp.EmulateViewportOption
	if width < 500 {
		name, height = name+"-narrow", 844
		opts = append(opts, chromedp.EmulateMobile, chromedp.EmulateTouch)
	}
	theme := "light"
	if p.dark {
		theme = "dark"
	}
	look := chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		// A picture has nothing to scroll.
		if _, err := cdp.Call(ctx, target, emulation.SetScrollbarsHidden, emulation.SetScrollbarsHiddenParams{Hidden: true}); err != nil {
			return err
		}
		_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}}})
		return err
	})
	if err := chromedp.Do(t.ctx, chromedp.EmulateViewport(width, height, opts...), look); err != nil {
		return err
	}
	if err := t.open(p.path); err != nil {
		return err
	}
	// Nor room beside it for a scroll bar.
	if _, err := chromedp.Run(t.ctx, chromedp.Evaluate[any](`document.documentElement.style.scrollbarGutter = 'auto'`)); err != nil {
		return err
	}
	for _, js := range []string{p.ready, `document.fonts.status === 'loaded'`, `!document.querySelector('.live.wait')`,
		`document.getAnimations().every((a) => a.playState !== 'running')`} {
		if err := t.wait(js); err != nil {
			return err
		}
	}
	png, err := chromedp.Run(t.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		return err
	}
	if len(png) > largest {
		return fmt.Errorf("%d bytes, more than %d", len(png), largest)
	}
	file := filepath.Join(out, name+".png")
	fmt.Printf("%s, %d kB\n", file, len(png)/1000)
	return os.WriteFile(file, png, 0o644)
}
