package page

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"leasehold/internal/agent"
	"leasehold/internal/browsertest"
)

func (w *site) window() *browsertest.Window {
	w.t.Helper()
	b := browsertest.New(w.t).Window("http://" + w.listener.Addr().String())
	b.Open(w.Address())
	b.Wait(`location.pathname === '` + w.base + `' && document.querySelector('table')`)
	return b
}

// The page changes by itself, its times tick, and what is clicked is done.
func TestInTheBrowser(t *testing.T) {
	w := newSite(t)
	b := w.window()
	count := `document.querySelector('.count time').textContent`
	first := b.Run(count)
	b.Wait(count + ` !== '` + fmt.Sprint(first) + `'`)
	b.Run(`document.getElementById('start-48247').focus(); 0`)
	w.mu.Lock()
	w.state.Sessions[0].Status = agent.Stopped
	w.state.Link = agent.Link{Since: time.Now().Add(-time.Hour), Error: "down"}
	w.mu.Unlock()
	b.Wait(`document.getElementById('start-48213') && document.body.innerText.includes('Offline since')`)
	if id := b.Run(`document.activeElement.id`); id != "start-48247" {
		t.Errorf("the focus went to %v", id)
	}
	b.Run(`document.getElementById('start-48213').click()`)
	b.Wait(`document.body.innerText.includes('MATLAB starts.') && !location.search`)
	b.Run(`document.getElementById('return-48213').click()`)
	b.Wait(`document.querySelector('.ask') && document.activeElement.textContent === 'Cancel'`)
	b.Run(`document.querySelector('button.danger').click()`)
	// The page's script runs once it has taken the search from the address; without it,
	// the page could not tell that its player has ended.
	b.Wait(`document.body.innerText.includes('The licence of MATLAB is returned.') && !location.search`)
	w.mu.Lock()
	if got := strings.Join(w.done, " "); got != "start return" {
		t.Errorf("done: %s", got)
	}
	w.mu.Unlock()
	b.Quiet()
	// Its player has ended.
	w.Close()
	b.Wait(`!document.getElementById('lost').hidden`)
}

// Nothing is too wide, and axe finds nothing to complain of.
func TestLooks(t *testing.T) {
	w := newSite(t)
	b := w.window()
	for _, look := range []struct {
		name  string
		path  string
		state State
	}{
		{"online", "", sample(time.Now(), false)},
		{"offline", "", sample(time.Now(), true)},
		{"remove", "sessions/48213/remove", sample(time.Now(), false)},
		{"empty", "", State{Device: "LAB-204", Server: "https://apps.example.org", Link: agent.Link{Quarantined: true}}},
	} {
		w.mu.Lock()
		w.state = look.state
		w.mu.Unlock()
		for _, width := range []int64{1440, 390} {
			b.Look(width, "light")
			b.Open(w.root() + look.path)
			b.Judge(look.name)
		}
	}
}
