package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	cdpbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"

	"leasehold/internal/agent/localsocket"
	"leasehold/internal/agent/tunnel"
	"leasehold/internal/auth"
	"leasehold/internal/control"
	"leasehold/internal/server/gateway"
	"leasehold/internal/session"
	"leasehold/internal/store"
)

// A stage is the viewer over a real gateway, a real tunnel and a real display with xterm on
// it; what the use cases would say of the session is the test's to say.
type stage struct {
	*site
	*gateway.Gateway
	dir     string
	display string

	mu   sync.Mutex
	view control.StreamView

	away   atomic.Bool               // the host does not dial
	refuse atomic.Bool               // nor may it
	input  atomic.Pointer[time.Time] // when the person last did anything
	cut    func()                    // cuts what connects the host
	asked  atomic.Int64              // how often anybody asked how it stands
}

func (s *stage) Stream(_ context.Context, who control.Who, id int64) (*control.StreamView, error) {
	s.asked.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if id != s.view.ID || who.UserID != s.admin.ID {
		return nil, store.ErrNotFound
	}
	v := s.view
	return &v, nil
}

func (s *stage) EndStream(ctx context.Context, who control.Who, id int64) error {
	if _, err := s.Stream(ctx, who, id); err != nil {
		return err
	}
	s.say(func(v *control.StreamView) { v.Status, v.Reason = session.Disconnected, "ended by its user" })
	s.End(id, "ended by its user")
	return nil
}

func (s *stage) Shown(ctx context.Context, who control.Who, id int64, n uint32) error {
	if _, err := s.Stream(ctx, who, id); err != nil {
		return err
	}
	s.say(func(v *control.StreamView) {
		v.Messages = slices.DeleteFunc(slices.Clone(v.Messages), func(m session.Message) bool { return m.N <= n })
	})
	return nil
}

func (s *stage) say(f func(v *control.StreamView)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.view)
}

const streamID = 48213

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{site: newSite(t), view: control.StreamView{ID: streamID, AppID: 1, AppName: "MATLAB", Status: session.Starting, Clipboard: true}}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	var hosts sync.WaitGroup
	var tickets atomic.Int64
	var mu sync.Mutex
	var wires []net.Conn
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		mu.Lock()
		defer mu.Unlock()
		wires = append(wires, conn)
		return conn, err
	}}}
	s.cut = func() {
		mu.Lock()
		defer mu.Unlock()
		for _, c := range wires {
			c.Close()
		}
		wires = nil
	}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	s.Gateway = gateway.New(gateway.Config{
		Done: done, Log: log, Wait: 2 * time.Second,
		Issue: func(context.Context, int64) (string, error) {
			ticket := fmt.Sprint(tickets.Add(1))
			if s.refuse.Load() {
				return "", &gateway.RefusedError{Reason: "The app is not running any more."}
			}
			if s.away.Load() {
				return ticket, nil
			}
			hosts.Go(func() {
				_ = tunnel.Serve(ctx, tunnel.Options{
					URL: "ws" + strings.TrimPrefix(s.http.URL, "http") + "/tunnel/" + ticket, Client: client, Input: func() { s.input.Store(new(time.Now())) },
					Dial: func(ctx context.Context) (net.Conn, error) { return localsocket.Dial(ctx, s.dir, "rfb") },
				})
			})
			return ticket, nil
		},
	})
	web, err := New(Config{Control: s.c, Log: log, Streams: s, Socket: s.Gateway})
	s.must(err)
	s.web = web
	routes := auth.NewRoutes()
	web.Register(routes)
	mux := http.NewServeMux()
	mux.Handle("/", routes)
	mux.HandleFunc("GET /tunnel/{ticket}", func(w http.ResponseWriter, r *http.Request) {
		if errors.Is(s.Tunnel(w, r, streamID, r.PathValue("ticket")), gateway.ErrNobodyWaits) {
			http.NotFound(w, r)
		}
	})
	s.http = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.down.Load() {
			panic(http.ErrAbortHandler)
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		cancel()
		hosts.Wait()
		close(done)
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		web.Close()
		s.http.Close()
	})
	s.putUp()
	return s
}

// putUp starts a display with a window on all of it that writes what is typed to a file.
func (s *stage) putUp() {
	s.t.Helper()
	for program, pkg := range map[string]string{"Xvnc": "tigervnc-standalone-server", "openbox": "openbox", "xterm": "xterm"} {
		if _, err := exec.LookPath(program); err != nil {
			s.t.Fatalf("%s is missing: apt-get install %s", program, pkg)
		}
	}
	dir, err := os.MkdirTemp("", "lh")
	s.must(err)
	s.dir, s.display = dir, fmt.Sprintf(":%d", 57000+rand.IntN(5000))
	start := func(name string, args ...string) {
		cmd := exec.Command(name, args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "DISPLAY="+s.display, "HOME="+dir, "XAUTHORITY=", "LC_ALL=C.UTF-8")
		if err := cmd.Start(); err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	}
	s.t.Cleanup(func() { os.RemoveAll(dir) })
	start("Xvnc", s.display, "-geometry", "800x600", "-depth", "24", "-nolisten", "tcp", "-rfbport", "-1", "-rfbunixpath", "rfb", "-SecurityTypes", "None",
		"-AlwaysShared=1", "-AcceptSetDesktopSize=1", "-AcceptCutText=1", "-SendCutText=1")
	s.await("the display", func() bool { _, err := os.Stat(filepath.Join(dir, "rfb")); return err == nil })
	s.must(os.WriteFile(filepath.Join(dir, "rc.xml"), []byte(`<openbox_config xmlns="http://openbox.org/3.4/rc"><applications><application class="*"><decor>no</decor><fullscreen>yes</fullscreen></application></applications></openbox_config>`), 0o600))
	start("openbox", "--config-file", "rc.xml")
	start("xterm", "-fa", "DejaVu Sans Mono", "-fs", "11", "-bg", "#fdf6e3", "-fg", "#334",
		"-xrm", `*VT100.translations: #override Ctrl Shift <Key>V: insert-selection(CLIPBOARD, PRIMARY)`, "-e", "sh", "-c", `stty -echoctl; cat > typed`)
	s.await("the app", func() bool { _, err := os.Stat(filepath.Join(dir, "typed")); return err == nil })
}

func (s *stage) await(what string, ok func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("waited in vain for %s; the app has read %q", what, s.typed())
		}
	}
}

// typed is what has reached the app.
func (s *stage) typed() string {
	b, err := os.ReadFile(filepath.Join(s.dir, "typed"))
	s.must(err)
	return string(b)
}

func (s *stage) connected() {
	s.say(func(v *control.StreamView) { v.Status = session.Connected })
}

const shown = `document.querySelector('#viewer').dataset.phase === 'shown'`

// barThere: the bar has come down.
const barThere = `new DOMMatrix(getComputedStyle(document.querySelector('#bar')).transform).m42 === 0`

// open opens the viewer and waits for the picture.
func (s *stage) open(w *window) {
	s.t.Helper()
	w.Open(fmt.Sprintf("/streams/%d", streamID))
	s.seen(w)
}

// seen waits for a picture as large as the window in which there is something.
func (s *stage) seen(w *window) {
	s.t.Helper()
	w.Wait(shown)
	w.Wait(`(() => {
		const c = document.querySelector('#screen canvas');
		if (!c || c.width !== innerWidth || c.height !== innerHeight) return false;
		const copy = new OffscreenCanvas(c.width, c.height).getContext('2d', {willReadFrequently: true});
		copy.drawImage(c, 0, 0);
		const d = copy.getImageData(0, 0, c.width, c.height).data;
		const seen = new Set();
		for (let i = 0; i < d.length; i += 4) seen.add(d[i] << 16 | d[i + 1] << 8 | d[i + 2]);
		return seen.size > 1;
	})()`)
}

func TestViewerInTheBrowser(t *testing.T) {
	s := newStage(t)
	w := s.window()
	w.Open(fmt.Sprintf("/streams/%d", streamID))
	w.Wait(`document.querySelector('#cover-title').textContent === 'Starting MATLAB…'`)
	s.connected()
	s.seen(w)

	// Typing, with what a dead key and an input method make, function keys and the rest.
	w.Run(`window.mark = true`)
	w.Wait(`document.activeElement.id === 'keys'`)
	w.Write("plot(x) A~")
	w.compose("é", "日本")
	w.Write("\r")
	s.await("what was typed", func() bool { return s.typed() == "plot(x) A~é日本\n" })
	if s.input.Load() == nil {
		t.Error("typing is no input")
	}

	// The display follows the window.
	w.Do(chromedp.EmulateViewport(1000, 700))
	s.seen(w)

	// A reload, a lost host and a restarting server come back to the same app.
	w.Do(chromedp.Reload())
	s.seen(w)
	if w.Run(`window.mark`) != nil {
		t.Error("the page was not loaded anew")
	}
	s.say(func(v *control.StreamView) { v.Status = session.Unknown })
	s.away.Store(true)
	s.cut()
	w.Wait(`document.querySelector('#viewer').dataset.phase === 'away' && !document.querySelector('#still').hidden`)
	w.Wait(`document.querySelector('#cover-title').textContent === 'Reconnecting…' && document.querySelector('#cover-text').textContent.includes('Next try in')`)
	// Whether the app goes on there nobody knows: that is not promised.
	w.Wait(`document.querySelector('#cover-text').textContent.includes('goes on while its host does') && !document.querySelector('#cover-text').textContent.includes('meanwhile')`)
	w.Hush()
	s.connected()
	s.away.Store(false)
	w.Click("#retry")
	s.seen(w)
	s.down.Store(true)
	s.cut()
	s.http.CloseClientConnections()
	w.Wait(`document.querySelector('#viewer').dataset.phase === 'away'`)
	s.down.Store(false)
	s.seen(w) // by itself
	// A network that drops everything tells the socket nothing: the page asks, and finds out.
	s.down.Store(true)
	w.Run(`document.dispatchEvent(new Event('visibilitychange'))`)
	w.Wait(`document.querySelector('#viewer').dataset.phase === 'away' && document.querySelector('#cover-title').textContent === 'Reconnecting…' && !document.querySelector('#still').hidden`)
	s.down.Store(false)
	s.seen(w) // by itself
	w.Write("y\r")
	s.await("what was typed after all that", func() bool { return strings.HasSuffix(s.typed(), "\ny\n") })
	w.Hush()

	// The bar comes when the pointer is at the top, and by the keyboard.
	w.Wait(`!document.querySelector('#viewer').classList.contains('barred')`)
	w.Run(`document.dispatchEvent(new PointerEvent('pointermove', {pointerType: 'mouse', clientX: 300, clientY: 1}))`)
	w.Wait(`document.querySelector('#viewer').classList.contains('barred')`)
	w.Run(`document.querySelector('#keys').dispatchEvent(new KeyboardEvent('keydown', {key: 'Shift', ctrlKey: true, altKey: true, shiftKey: true, cancelable: true}))`)
	w.Wait(`document.querySelector('#bar').contains(document.activeElement) && ` + barThere)

	// End asks first. Cancel goes back to the app.
	w.Click("#end")
	w.Wait(`document.activeElement.textContent === 'Cancel'`)
	w.Key("\r")
	w.Wait(`document.activeElement.id === 'keys'`)
	w.Run(`document.querySelector('#end').click()`)
	w.Click("#end-sure")
	w.Wait(`document.querySelector('#cover-title').textContent === 'MATLAB has ended' && document.querySelector('#cover-text').textContent === 'Ended by its user.'`)
	w.Wait(`document.activeElement.textContent === 'Launch again' && document.activeElement.form.getAttribute('action') === '/launch/1'`)
	w.quiet()
	// Nor does a reload bring it back.
	w.Do(chromedp.Reload())
	w.Wait(`document.querySelector('#cover-title').textContent === 'MATLAB has ended'`)
	w.quiet()
}

// quiet is Quiet but for what noVNC is told when it makes its picture larger.
func (w *window) quiet() {
	w.T.Helper()
	for _, n := range w.Hush() {
		if !strings.Contains(n, "willReadFrequently") {
			w.T.Errorf("the browser complains: %s", n)
		}
	}
}

// compose does what a dead key or an input method does: it writes in the box, and what comes
// of it is said at the end.
func (w *window) compose(texts ...string) {
	w.T.Helper()
	for _, text := range texts {
		w.Do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
			if _, err := cdp.Call(ctx, t, input.ImeSetComposition, input.ImeSetCompositionParams{Text: "´", SelectionStart: 1, SelectionEnd: 1}); err != nil {
				return err
			}
			_, err := cdp.Call(ctx, t, input.InsertText, input.InsertTextParams{Text: text})
			return err
		}))
	}
}

func TestViewerSaysWhyInTheBrowser(t *testing.T) {
	s := newStage(t)
	s.connected()
	w := s.window()
	s.open(w)
	s.say(func(v *control.StreamView) { v.Status, v.Reason = session.Killed, "exam is over" })
	s.End(streamID, "exam is over")
	w.Wait(`document.querySelector('#cover-title').textContent === 'An administrator ended MATLAB' && document.querySelector('#cover-text').textContent === 'Exam is over.'`)
	w.quiet()

	// The host knows first that it is over.
	s.say(func(v *control.StreamView) { v.Status, v.Reason = session.Connected, "" })
	s.open(w)
	s.End(streamID, "nobody used it for 1 hour")
	w.Wait(`document.querySelector('#cover-text').textContent === 'Nobody used it for 1 hour.'`)

	// No way to it: if it is over that is said, and else what the server says.
	s.refuse.Store(true)
	w.Open(fmt.Sprintf("/streams/%d", streamID))
	w.Wait(`document.querySelector('#cover-title').textContent === 'MATLAB is not shown here' && document.querySelector('#cover-text').textContent === 'The app is not running any more.'`)
	s.say(func(v *control.StreamView) { v.Status = session.Disconnected })
	w.Run(`document.querySelector('#retry').click()`) // it may be gone: the page asks by itself too
	w.Wait(`document.querySelector('#cover-title').textContent === 'MATLAB has ended'`)
	s.refuse.Store(false)
	w.Hush()

	// It never came up.
	s.say(func(v *control.StreamView) { v.Status = session.Starting })
	w.Open(fmt.Sprintf("/streams/%d", streamID))
	s.say(func(v *control.StreamView) { v.Status, v.Reason = session.Failed, "the app ended: no licence file" })
	w.Wait(`document.querySelector('#cover-title').textContent === 'MATLAB did not start' && document.querySelector('#cover-text').textContent === 'The app ended: no licence file.'`)
	w.quiet()

	// Warnings: Stay is input; what has lasted as long as it may says when it ends.
	s.say(func(v *control.StreamView) {
		v.Status, v.Reason, v.IdleAt = session.Connected, "", time.Now().Add(time.Minute)
	})
	s.open(w)
	w.Wait(`document.querySelector('#warning-text').textContent.startsWith('Still there? MATLAB ends in 0:5')`)
	clicked := time.Now()
	w.Click("#stay")
	// Input is told once a second at most.
	s.await("the host to hear of it", func() bool { at := s.input.Load(); return at != nil && at.After(clicked.Add(-time.Second)) })
	w.Wait(`document.querySelector('#warning').hidden && document.activeElement.id === 'keys'`)
	if got := s.typed(); got != "" {
		t.Errorf("staying has typed %q", got)
	}
	s.say(func(v *control.StreamView) { v.IdleAt, v.EndsAt = time.Time{}, time.Now().Add(9*time.Minute) })
	s.open(w)
	w.Wait(`document.querySelector('#warning-text').textContent.startsWith('MATLAB ends in 8:') && document.querySelector('#stay').hidden`)
	w.Wait(`document.querySelector('#left').textContent.trim().startsWith('8:')`)
	w.Click("#dismiss")
	w.Wait(`document.querySelector('#warning').hidden`)
	w.quiet()

	// What administrators say is there at once, stands over a reload, and goes when it is
	// closed; the keyboard then goes back to the app.
	left := func() int {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.view.Messages)
	}
	asked := s.asked.Load()
	s.say(func(v *control.StreamView) {
		v.EndsAt = time.Time{}
		for i, text := range []string{"The exam ends at five.\nSave your work.", "<b>Really</b>"} {
			v.Messages = append(v.Messages, session.Message{N: uint32(i + 1), By: session.Actor{Role: session.Admin, Name: "olga"}, Text: text, At: time.Now()})
		}
	})
	s.c.Hub.Changed(streamID)
	w.Wait(`document.querySelectorAll('.v-message').length === 2 && document.querySelectorAll('.v-text')[1].textContent === '<b>Really</b>'`)
	s.await("the page to report them", func() bool { return left() == 0 })
	if n := s.asked.Load() - asked; n > 3 {
		t.Errorf("the page asked %d times for one hint", n)
	}
	w.Click(".v-message:last-child button")
	w.Wait(`document.querySelectorAll('.v-message').length === 1 && document.activeElement.id === 'keys'`)
	s.open(w)
	w.Wait(`document.querySelectorAll('.v-message').length === 1 && document.querySelector('.v-from').textContent.startsWith('olga, ')`)
	w.Click(".v-message button")
	w.Wait(`document.querySelectorAll('.v-message').length === 0`)
	s.open(w)
	if n := w.Run(`document.querySelectorAll('.v-message').length`); n != 0.0 {
		t.Errorf("%v messages are back", n)
	}
	// What is below the fold is not shown before somebody gets there.
	s.say(func(v *control.StreamView) {
		for i := range 10 {
			v.Messages = append(v.Messages, session.Message{N: uint32(i + 3), By: session.Actor{Role: session.Admin, Name: "olga"}, Text: strings.Repeat("Save your work. ", 25), At: time.Now()})
		}
	})
	s.c.Hub.Changed(streamID)
	s.await("the page to report what is to be seen", func() bool { return left() < 10 })
	w.Wait(`document.querySelectorAll('.v-message').length === 10`)
	if left() == 0 {
		t.Error("messages below the fold are reported as shown")
	}
	w.Run(`document.querySelector('.v-message:last-child').scrollIntoView()`)
	s.await("the page to report the rest", func() bool { return left() == 0 })
	w.quiet()

	// Somebody else's, and nobody's.
	s.as("ann").get(fmt.Sprintf("/streams/%d", streamID)).is(404)
	s.as("ann").get(fmt.Sprintf("/streams/%d/state", streamID)).is(404)
	s.as("ann").get(fmt.Sprintf("/streams/%d/socket", streamID)).is(404)
	s.as("ann").post(fmt.Sprintf("/streams/%d/end", streamID), nil).is(404)
	w.Run(`fetch('/sign-out', {method: 'POST'})`)
	w.Run(`document.dispatchEvent(new Event('visibilitychange'))`)
	w.Wait(`document.querySelector('#cover-title').textContent === 'You are signed out' && !document.querySelector('#sign-in').hidden`)
	// Nothing is left there for whoever comes next.
	w.Wait(`document.querySelector('#end-form').hidden && document.querySelector('#left').hidden && document.querySelectorAll('.v-message').length === 0`)
	w.Hush()
}

func TestViewerClipboardInTheBrowser(t *testing.T) {
	s := newStage(t)
	s.connected()
	w := s.window()
	s.open(w)
	// From the app to here, where the browser allows it.
	for _, name := range []string{"clipboard-read", "clipboard-write"} {
		w.Do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
			_, err := cdp.Call(ctx, t, cdpbrowser.SetPermission, cdpbrowser.SetPermissionParams{Permission: &cdpbrowser.PermissionDescriptor{Name: name}, Setting: cdpbrowser.PermissionSettingGranted, BrowserContextID: chromedp.FromContext(ctx).BrowserContextID})
			return err
		}))
	}
	w.Write("linspace") // in the first line of the window, where the bar is at first
	w.Wait(`!document.querySelector('#viewer').classList.contains('barred')`)
	// The terminal selects what it has drawn by then, which on a busy machine takes a moment.
	for began := time.Now(); w.Run(`document.querySelector('#clip-text').value.includes('linspace')`) != true; time.Sleep(time.Second) {
		if time.Since(began) > 20*time.Second {
			t.Fatalf("what was selected in the app is not here: %q", w.Run(`document.querySelector('#clip-text').value`))
		}
		w.Do(chromedp.MouseClickXY(60, 12), chromedp.MouseClickXY(60, 12, chromedp.ClickCount(2)))
		w.Run(`new Promise((done) => setTimeout(done, 500))`)
	}
	w.Wait(`navigator.clipboard.readText().then((t) => window.copied = t) && window.copied?.includes('linspace')`)

	// From here to the app: first the text, then the key. xterm's is Shift+Insert.
	w.Run(`(() => {
		const box = document.querySelector('#keys');
		const key = (type, key, code) => box.dispatchEvent(new KeyboardEvent(type, {key, code, shiftKey: true, cancelable: true}));
		const data = new DataTransfer();
		data.setData('text/plain', 'from here, grüße');
		key('keydown', 'Shift', 'ShiftLeft');
		key('keydown', 'Insert', 'Insert');
		box.dispatchEvent(new ClipboardEvent('paste', {clipboardData: data, cancelable: true}));
		key('keyup', 'Insert', 'Insert');
		key('keyup', 'Shift', 'ShiftLeft');
	})()`)
	w.Wait(`document.querySelector('#clip-text').value === 'from here, grüße'`)
	// The app asks for it, and it comes after the key.
	s.await("what was pasted", func() bool { w.Write("\r"); return strings.Contains(s.typed(), "from here, grüße") })

	// A terminal's key is Ctrl+Shift+V, and reaches it after the text as well.
	w.Run(`(() => {
		const box = document.querySelector('#keys');
		const key = (type, key, code, shiftKey) => box.dispatchEvent(new KeyboardEvent(type, {key, code, ctrlKey: true, shiftKey, cancelable: true}));
		const data = new DataTransfer();
		data.setData('text/plain', 'as terminals do');
		key('keydown', 'Control', 'ControlLeft', false);
		key('keydown', 'Shift', 'ShiftLeft', true);
		key('keydown', 'V', 'KeyV', true);
		box.dispatchEvent(new ClipboardEvent('paste', {clipboardData: data, cancelable: true}));
		key('keyup', 'V', 'KeyV', true);
		key('keyup', 'Shift', 'ShiftLeft', false);
		key('keyup', 'Control', 'ControlLeft', false);
	})()`)
	s.await("what was pasted with Ctrl+Shift+V", func() bool { w.Write("\r"); return strings.Contains(s.typed(), "as terminals do") })
	w.Run(`document.querySelector('#handle').click(); document.querySelector('#clipboard').click()`)
	w.Wait(`document.querySelector('#clip-dialog[open]').innerText.includes('terminals with Ctrl+Shift+V')`)
	w.Run(`document.querySelector('#clip-dialog').close()`)
	w.quiet()

	s.say(func(v *control.StreamView) { v.Clipboard = false })
	s.open(w)
	w.Wait(`document.querySelector('#clipboard').hidden`)
}

// TestViewerIsAccessible has axe look at every state of the viewer, and keeps pictures.
func TestViewerIsAccessible(t *testing.T) {
	s := newStage(t)
	w := s.window()
	look := func(name string) {
		t.Helper()
		for _, width := range []int64{390, 1440} {
			w.Look(width, "light")
			if w.Run(shown) == true {
				s.seen(w)
				w.Run(`document.querySelector('#handle').click()`)
				w.Wait(barThere)
			}
			w.Judge("viewer-" + name)
		}
	}
	page := fmt.Sprintf("/streams/%d", streamID)
	w.Open(page)
	w.Wait(`document.querySelector('#cover-title').textContent === 'Starting MATLAB…'`)
	look("starting")

	s.say(func(v *control.StreamView) { v.Status, v.EndsAt = session.Connected, time.Now().Add(2*time.Hour) })
	s.seen(w)
	w.Write("x = linspace(0, 2*pi, 400);\rplot(x, sin(x) .* exp(-x/4))\r")
	look("shown")
	w.Run(`document.querySelector('#end').click()`)
	look("end")
	w.Run(`document.querySelector('#end-dialog').close(); document.querySelector('#clipboard').click()`)
	look("clipboard")
	w.Run(`document.querySelector('#clip-dialog').close()`)
	s.say(func(v *control.StreamView) { v.IdleAt = time.Now().Add(2 * time.Minute) })
	s.open(w)
	w.Wait(`!document.querySelector('#warning').hidden`)
	look("warning")
	s.say(func(v *control.StreamView) {
		v.IdleAt = time.Time{}
		v.Messages = []session.Message{{N: 1, By: session.Actor{Role: session.Admin, Name: "olga"}, Text: "The exam ends at five. Whoever needs more time asks at the desk in front, please.", At: time.Now()},
			{N: 2, By: session.Actor{Role: session.Admin, Name: "olga"}, Text: "Save now.", At: time.Now()}}
	})
	s.open(w)
	w.Wait(`document.querySelectorAll('.v-message').length === 2`)
	look("messages")
	w.Run(`document.querySelectorAll('.v-message button').forEach((b) => b.click())`)
	s.away.Store(true)
	s.cut()
	w.Wait(`document.querySelector('#cover-text').textContent.includes('Next try in')`)
	look("away")
	s.say(func(v *control.StreamView) { v.Status, v.Reason = session.Disconnected, "nobody used it for 1 hour" })
	w.Open(page)
	look("ended")
}
