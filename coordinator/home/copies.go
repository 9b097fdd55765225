package home

import (
	"context"
	"sync"
	"time"
)

// copyTime is how long the standby may take for a scorecard.
const copyTime = 5 * time.Second

// copies are the instances whose scorecards the standby does not have yet as they are.
type copies struct {
	mu   sync.Mutex
	wait map[string]bool
	poke chan struct{}
}

func (c *copies) add(instance string) {
	c.mu.Lock()
	c.wait[instance] = true
	c.mu.Unlock()
	select {
	case c.poke <- struct{}{}:
	default:
	}
}

// next returns an instance that waits, and false when none does.
func (c *copies) next() (string, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for instance := range c.wait {
		delete(c.wait, instance)
		return instance, true
	}
	return "", false
}

// copyScores brings scorecards to the standby until ctx ends, beside everything else: a standby that is not there must not keep documents waiting.
// What it does not get it gets when the instance is next scored, within the hour.
func (h *Homes) copyScores(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.copies.poke:
		}
		for instance, ok := h.copies.next(); ok && ctx.Err() == nil; instance, ok = h.copies.next() {
			card, err := h.Scorecard(instance)
			if err == nil && card != nil {
				within, cancel := context.WithTimeout(ctx, copyTime)
				err = h.cfg.Copy(within, *card)
				cancel()
			}
			if err != nil && ctx.Err() == nil {
				h.cfg.Log.Warn("the standby has no copy of a scorecard", "instance", instance, "error", err)
			}
		}
	}
}
