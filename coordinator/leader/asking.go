package leader

import (
	"context"
	"sync"
	"time"
)

// asking is what a loop asks others, beside its rounds: what does not answer holds up what needs that, and nothing else.
type asking[K comparable, A any] struct {
	asked   map[K]bool // that has no answer yet
	known   map[K]A    // that a round has not seen to yet
	answers chan answered[K, A]
	join    sync.WaitGroup
}

type answered[K comparable, A any] struct {
	key    K
	answer A
}

// rounds calls round at once, and again each time that so long has passed or an answer has come, until ctx ends or it fails. At most so many questions are asked at once. It joins them.
func (a *asking[K, A]) rounds(ctx context.Context, every time.Duration, most int, round func(context.Context) error) error {
	a.asked, a.known, a.answers = map[K]bool{}, map[K]A{}, make(chan answered[K, A], most)
	ctx, cancel := context.WithCancel(ctx)
	defer a.join.Wait()
	defer cancel()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if err := round(ctx); err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case x := <-a.answers:
			a.take(x)
		}
		for range len(a.answers) {
			a.take(<-a.answers)
		}
	}
}

func (a *asking[K, A]) take(x answered[K, A]) {
	delete(a.asked, x.key)
	a.known[x.key] = x.answer
}

// ask asks beside the rounds, and reports whether it does: not what is being asked, and no more than may be.
func (a *asking[K, A]) ask(key K, question func() A) bool {
	if a.asked[key] || len(a.asked) == cap(a.answers) {
		return false
	}
	a.asked[key] = true
	a.join.Go(func() { a.answers <- answered[K, A]{key, question()} }) // there is room for the answers to all that is asked
	return true
}

// told returns the answer to a question, once.
func (a *asking[K, A]) told(key K) (A, bool) {
	answer, ok := a.known[key]
	delete(a.known, key)
	return answer, ok
}
