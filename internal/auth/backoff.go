package auth

import "time"

// Backoff is how long somebody has to wait who has tried a number of times in vain: not at
// all after the first Free tries, then First, and twice as long after each further one, up
// to Most.
type Backoff struct {
	Free        int
	First, Most time.Duration
}

// Wait is how long to wait after that many tries in vain.
func (b Backoff) Wait(tries int) time.Duration {
	if tries < b.Free || tries <= 0 {
		return 0
	}
	wait := b.First
	for range tries - b.Free {
		if wait >= b.Most/2 {
			return b.Most
		}
		wait *= 2
	}
	return min(wait, b.Most)
}
