package server

import (
	"sync"
	"time"
)

// rate is a token bucket for each subject. A nil rate limits nothing.
type rate struct {
	perSecond float64
	mu        sync.Mutex
	buckets   map[string]*bucket
	swept     time.Time
}

type bucket struct {
	left float64
	at   time.Time
}

const burst = 4 // seconds' worth

func newRate(perSecond float64) *rate {
	if perSecond <= 0 {
		return nil
	}
	return &rate{perSecond: perSecond, buckets: map[string]*bucket{}}
}

// take counts a request of subject at now. If it is one too many it returns how
// long to wait.
func (r *rate) take(subject string, now time.Time) (wait time.Duration) {
	if r == nil {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Sub(r.swept) > quietSubject { // forget subjects without requests
		for name, b := range r.buckets {
			if now.Sub(b.at) > quietSubject {
				delete(r.buckets, name)
			}
		}
		r.swept = now
	}
	full := r.perSecond * burst
	b := r.buckets[subject]
	if b == nil {
		b = &bucket{full, now}
		r.buckets[subject] = b
	}
	b.left = min(full, b.left+now.Sub(b.at).Seconds()*r.perSecond)
	b.at = now
	if b.left < 1 {
		return time.Duration((1 - b.left) / r.perSecond * float64(time.Second))
	}
	b.left--
	return 0
}
