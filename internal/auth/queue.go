package auth

import (
	"context"
	"errors"
	"sync"
)

// ErrQueueFull is returned by [Queue.Enter] if too many wait already.
var ErrQueueFull = errors.New("auth: too many wait to be checked")

// Queue bounds how many password hashes are computed at once, because each costs memory and
// a processor, and how many callers wait for that. Callers who are known have places of
// their own and every other turn, so that strangers cannot keep them waiting.
type Queue struct {
	waiting int // of each sort, at most

	mu   sync.Mutex
	free int
	// strangers and known wait in order; a channel that is closed has its turn.
	strangers, known []chan struct{}
	last             bool // the last turn went to somebody who is known
}

// NewQueue returns a queue for workers hashes at once, in which waiting strangers and as many
// known callers can wait.
func NewQueue(workers, waiting int) *Queue { return &Queue{free: workers, waiting: waiting} }

// Enter waits for a turn and returns what ends it. It returns ErrQueueFull at once if too many
// wait, and the context's error if that is done first.
func (q *Queue) Enter(ctx context.Context, known bool) (leave func(), err error) {
	q.mu.Lock()
	if q.free > 0 {
		q.free--
		q.mu.Unlock()
		return sync.OnceFunc(q.leave), nil
	}
	line := &q.strangers
	if known {
		line = &q.known
	}
	if len(*line) >= q.waiting {
		q.mu.Unlock()
		return nil, ErrQueueFull
	}
	turn := make(chan struct{})
	*line = append(*line, turn)
	q.mu.Unlock()
	select {
	case <-turn:
		return sync.OnceFunc(q.leave), nil
	case <-ctx.Done():
	}
	q.mu.Lock()
	for i, ch := range *line {
		if ch == turn {
			*line = append((*line)[:i:i], (*line)[i+1:]...)
			q.mu.Unlock()
			return nil, ctx.Err()
		}
	}
	q.mu.Unlock()
	q.leave() // the turn came at the same moment
	return nil, ctx.Err()
}

// leave hands the turn to the next who waits.
func (q *Queue) leave() {
	q.mu.Lock()
	defer q.mu.Unlock()
	line := &q.strangers
	if len(q.known) > 0 && (!q.last || len(q.strangers) == 0) {
		line = &q.known
	}
	if len(*line) == 0 {
		q.free++
		return
	}
	q.last = line == &q.known
	close((*line)[0])
	*line = (*line)[1:]
}
