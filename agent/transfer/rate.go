package transfer

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/time/rate"
)

const (
	rateChunk = 32 << 10 // what is sent at once, in bytes: small enough that a changed rate takes effect soon

	// rateLead is how far ahead of its rate a transfer may be: a fast one sleeps every few chunks instead of after each, since a timer and a wake-up cost
	// more than a chunk does.
	rateLead = 20 * time.Millisecond
)

// Rate limits a transfer by a token bucket and can be changed while it runs. It is safe for concurrent use.
type Rate struct{ limiter *rate.Limiter }

// NewRate returns a limit in bits per second; 0 or less is unlimited.
func NewRate(bitsPerSecond int64) *Rate {
	r := &Rate{rate.NewLimiter(0, rateChunk)}
	r.SetRate(bitsPerSecond)
	return r
}

// SetRate changes the limit, in bits per second; 0 or less is unlimited.
func (r *Rate) SetRate(bitsPerSecond int64) {
	limit := rate.Inf
	if bitsPerSecond > 0 {
		limit = rate.Limit(bitsPerSecond) / 8
	}
	r.limiter.SetLimit(limit)
}

// wait waits until n bytes may pass, or nearly. A nil Rate is unlimited.
func (r *Rate) wait(ctx context.Context, n int) error {
	if r == nil {
		return nil
	}
	for ; n > 0; n -= rateChunk {
		chunk := r.limiter.ReserveN(time.Now(), min(n, rateChunk))
		debt := chunk.Delay()
		if debt < rateLead {
			continue
		}
		over := time.NewTimer(debt)
		select {
		case <-over.C:
		case <-ctx.Done():
			over.Stop()
			chunk.Cancel() // the next round does not owe it
			return fmt.Errorf("wait for the transfer's rate: %w", ctx.Err())
		}
	}
	return nil
}
