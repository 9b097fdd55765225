package home

import (
	"context"
	"sync"
	"time"
)

// copyTime is how long the standby may take for a scorecard, and copyRest how long one that did not take it is left alone.
const (
	copyTime = 5 * time.Second
	copyRest = 30 * time.Second
)

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
func (h *Homes) copyScores(ctx context.Context) {
	failed := false
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
			if err == nil || ctx.Err() != nil {
				failed = false
				continue
			}
			if !failed { // once, however many there are
				h.cfg.Log.Warn("the standby does not take copies of scorecards", "instance", instance, "error", err)
			}
			failed = true
			h.copies.add(instance)
			select {
			case <-time.After(copyRest):
			case <-ctx.Done():
			}
		}
	}
}
