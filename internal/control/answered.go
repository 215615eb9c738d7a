package control

import "sync"

// answeredNumbers are the numbers of the last check-ins that this node has answered, by
// agent. The database has only the last one that changed something; these keep an older
// message that arrives late from being taken for news after one that changed nothing.
// Another node, or this one after a restart, does not know them; there such a message is
// believed until the next check-in.
type answeredNumbers struct {
	mu     sync.Mutex
	number map[int64]uint64
}

// last is the number of the agent's last check-in that was answered here, 0 if none was.
func (a *answeredNumbers) last(agent int64) uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.number[agent]
}

// mark notes a check-in that was answered.
func (a *answeredNumbers) mark(agent int64, number uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.number == nil {
		a.number = map[int64]uint64{}
	}
	a.number[agent] = max(a.number[agent], number)
}
