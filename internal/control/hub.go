package control

import "sync"

// Hub passes hints between the parts of one process: an agent should check in now, a
// session has changed. A hint that nobody waits for is lost; nothing depends on one.
type Hub struct {
	mu     sync.Mutex
	agents map[int64]map[chan struct{}]bool
	pages  map[chan struct{}]*changes
}

type changes struct {
	ids map[int64]bool
	all bool
}

// maxHints is how many sessions a page is told of one by one.
const maxHints = 500

func newHub() *Hub {
	return &Hub{agents: map[int64]map[chan struct{}]bool{}, pages: map[chan struct{}]*changes{}}
}

// maxWaits is how many event streams an agent has open: one, and those of before whose end
// has not been noticed.
const maxWaits = 8

// Crowded reports whether an agent has as many event streams open as it may.
func (h *Hub) Crowded(agent int64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.agents[agent]) >= maxWaits
}

// WaitAgent returns a channel that receives when the agent should check in, and what ends
// the wait.
func (h *Hub) WaitAgent(agent int64) (<-chan struct{}, func()) {
	ch := make(chan struct{}, 1)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.agents[agent] == nil {
		h.agents[agent] = map[chan struct{}]bool{}
	}
	h.agents[agent][ch] = true
	return ch, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.agents[agent], ch)
		if len(h.agents[agent]) == 0 {
			delete(h.agents, agent)
		}
	}
}

// Wake hints that the agent should check in now.
func (h *Hub) Wake(agent int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for ch := range h.agents[agent] {
		poke(ch)
	}
}

// WaitChanges returns a channel that receives when sessions have changed, a function that
// takes their ids (all: too many to name), and what ends the wait.
func (h *Hub) WaitChanges() (ready <-chan struct{}, take func() (ids []int64, all bool), stop func()) {
	ch := make(chan struct{}, 1)
	c := &changes{ids: map[int64]bool{}}
	h.mu.Lock()
	h.pages[ch] = c
	h.mu.Unlock()
	take = func() ([]int64, bool) {
		h.mu.Lock()
		defer h.mu.Unlock()
		ids := make([]int64, 0, len(c.ids))
		for id := range c.ids {
			ids = append(ids, id)
		}
		all := c.all
		c.ids, c.all = map[int64]bool{}, false
		return ids, all
	}
	stop = func() {
		h.mu.Lock()
		delete(h.pages, ch)
		h.mu.Unlock()
	}
	return ch, take, stop
}

// Changed hints that sessions have changed.
func (h *Hub) Changed(ids ...int64) {
	if len(ids) == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for ch, c := range h.pages {
		for _, id := range ids {
			if len(c.ids) >= maxHints {
				c.all = true
				break
			}
			c.ids[id] = true
		}
		poke(ch)
	}
}

func poke(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
