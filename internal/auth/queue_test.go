package auth

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestBackoff(t *testing.T) {
	b := Backoff{Free: 3, First: 2 * time.Second, Most: time.Minute}
	for tries, want := range map[int]time.Duration{-1: 0, 0: 0, 2: 0, 3: 2 * time.Second, 4: 4 * time.Second, 7: 32 * time.Second, 8: time.Minute, 1 << 40: time.Minute} {
		if got := b.Wait(tries); got != want {
			t.Errorf("after %d tries: %v, want %v", tries, got, want)
		}
	}
}

// TestQueue has 80 strangers come at once: those who are known wait for two turns at the
// most, and whoever finds no place is told so at once.
func TestQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const hash = 40 * time.Millisecond
		q := NewQueue(1, 16)
		refused := make(chan error, 80)
		for range 80 {
			go func() {
				leave, err := q.Enter(t.Context(), false)
				if err == nil {
					time.Sleep(hash)
					leave()
				}
				refused <- err
			}()
		}
		synctest.Wait()
		start := time.Now()
		leave, err := q.Enter(t.Context(), true)
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took > hash {
			t.Errorf("somebody known waited %v", took)
		}
		leave()
		leave() // a second time does nothing
		n := 0
		for range 80 {
			if err := <-refused; errors.Is(err, ErrQueueFull) {
				n++
			} else if err != nil {
				t.Error(err)
			}
		}
		if n != 80-17 {
			t.Errorf("%d were refused, want all but the one in turn and the 16 who wait", n)
		}
		if _, err := q.Enter(t.Context(), false); err != nil {
			t.Errorf("once all have left: %v", err)
		}
	})
}

// TestQueueSharesTurns has both sorts wait: each gets every other turn.
func TestQueueSharesTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := NewQueue(1, 8)
		leave, _ := q.Enter(t.Context(), false)
		order := make(chan bool, 8)
		for i := range 8 {
			known := i < 4
			go func() {
				leave, err := q.Enter(t.Context(), known)
				if err != nil {
					t.Error(err)
					return
				}
				order <- known
				leave()
			}()
		}
		synctest.Wait()
		leave()
		synctest.Wait()
		for i := range 8 {
			if known := <-order; known != (i%2 == 0) {
				t.Errorf("turn %d went to known=%v", i, known)
			}
		}
	})
}

func TestQueueGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := NewQueue(1, 8)
		leave, _ := q.Enter(t.Context(), false)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := q.Enter(ctx, false); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		leave()
		if _, err := q.Enter(t.Context(), true); err != nil {
			t.Error(err)
		}
	})
}
