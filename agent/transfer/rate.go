package transfer

import (
	"context"
	"fmt"

	"golang.org/x/time/rate"
)

// rateChunk is how much is sent at once, in bytes: small enough that a changed rate takes effect soon.
const rateChunk = 32 << 10

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

// wait waits until n bytes may pass. A nil Rate is unlimited.
func (r *Rate) wait(ctx context.Context, n int) error {
	if r == nil {
		return nil
	}
	for n > 0 {
		step := min(n, rateChunk)
		if err := r.limiter.WaitN(ctx, step); err != nil {
			return fmt.Errorf("wait for the transfer's rate: %w", err)
		}
		n -= step
	}
	return nil
}
