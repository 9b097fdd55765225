package leader

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestNoMoreIsAskedAtOnceThanMayBeAndWhatIsAskedIsJoined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a asking[int, int]
		ctx, cancel := context.WithCancel(t.Context())
		going, most, told, left := make(chan bool, 10), 0, 0, 5
		err := a.rounds(ctx, time.Second, 2, func(context.Context) error {
			for key := range a.known {
				if n, ok := a.told(key); !ok || n != 10*key {
					t.Errorf("%d, %t for %d", n, ok, key)
				}
				told++
			}
			for left > 0 {
				key := left
				if !a.ask(key, func() int {
					going <- true
					defer func() { <-going }()
					time.Sleep(3 * time.Second)
					return 10 * key
				}) {
					break
				}
				left--
			}
			most = max(most, len(going))
			if told == 4 {
				cancel() // while the last one is being asked
			}
			return nil
		})
		if err != nil || most > 2 || told != 4 || len(going) != 0 {
			t.Errorf("%v: %d at once, %d told, %d left behind", err, most, told, len(going))
		}
	})
}
