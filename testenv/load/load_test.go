package load

import (
	"bufio"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// running runs something in a bubble until stop is called.
func running(t *testing.T, run func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestClientsKeepTheirPaceAndLoseNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		c := &Clients{Dial: s.dial, Count: 2, Rate: 50}
		stop := running(t, c.Run)
		time.Sleep(10 * time.Second)
		stop()
		if got := c.Stats(time.Now()); got.Acknowledged < 990 || got.Acknowledged > 1010 || got.Errors != 0 || len(got.Gaps) != 0 {
			t.Errorf("in 10 s of 2 clients with 50 records per second: %+v", got)
		}
		v, err := c.Verify(t.Context())
		if err != nil || v.Lost != 0 || v.Read != c.Stats(time.Now()).Acknowledged {
			t.Errorf("read back: %+v, %v", v, err)
		}
		s.stop()
		s.wg.Wait()
	})
}

func TestTheSilenceOfAServerThatMovesIsMeasured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		c := &Clients{Dial: s.dial, Count: 3, Rate: 100}
		stop := running(t, c.Run)
		time.Sleep(5 * time.Second)
		down := time.Now()
		s.stop()
		time.Sleep(2 * time.Second)
		s.start()
		time.Sleep(time.Second)
		stop()
		stats := c.Stats(time.Now())
		longest := stats.Longest(down, down.Add(time.Hour))
		if longest.Length() < 2*time.Second || longest.Length() > 2100*time.Millisecond {
			t.Errorf("longest silence %v after 2 s of it", longest.Length())
		}
		if len(stats.Gaps) != 3 || stats.Errors == 0 {
			t.Errorf("3 clients saw gaps %v and %d errors", stats.Gaps, stats.Errors)
		}
		if before := stats.Longest(down.Add(-time.Hour), down.Add(-time.Second)); before.Length() != 0 {
			t.Errorf("a silence before it: %v", before)
		}
		if v, err := c.Verify(t.Context()); err != nil || v.Lost != 0 {
			t.Errorf("read back: %+v, %v", v, err)
		}
		s.stop()
		s.wg.Wait()
	})
}

func TestASilenceThatGoesOnCountsAlready(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		c := &Clients{Dial: s.dial, Count: 1}
		stop := running(t, c.Run)
		time.Sleep(time.Second)
		s.stop()
		time.Sleep(3 * time.Second)
		if got := c.Stats(time.Now()).Longest(time.Now().Add(-time.Second), time.Now()).Length(); got < 3*time.Second {
			t.Errorf("silence of %v after 3 s of it", got)
		}
		stop()
		s.wg.Wait()
	})
}

func TestLostAndChangedRecordsAreFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		c := &Clients{Dial: s.dial, Count: 1, Prefix: "r"}
		stop := running(t, c.Run)
		time.Sleep(20 * time.Second)
		stop()
		s.mu.Lock()
		delete(s.data, "r:0:3")
		s.data["r:0:250"] = s.data["r:0:251"]
		s.mu.Unlock()
		v, err := c.Verify(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		want := Verified{Read: c.Stats(time.Now()).Acknowledged, Lost: 2, First: []string{"r:0:3", "r:0:250"}}
		if diff := cmp.Diff(want, v); diff != "" {
			t.Error(diff)
		}
		s.stop()
		s.wg.Wait()
	})
}

func TestAServerThatRefusesRecordsEndsTheClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		s.says = "OOM command not allowed"
		err := (&Clients{Dial: s.dial}).Run(t.Context())
		var refused ServerError
		if !errors.As(err, &refused) {
			t.Errorf("ended with %v", err)
		}
		s.stop()
		s.wg.Wait()
	})
}

func TestAServerThatIsReadingItsDataIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		s.says = "LOADING Redis is loading the dataset in memory"
		c := &Clients{Dial: s.dial, Count: 1}
		stop := running(t, c.Run)
		time.Sleep(time.Second)
		s.mu.Lock()
		s.says = ""
		s.mu.Unlock()
		time.Sleep(time.Second)
		stop()
		if got := c.Stats(time.Now()); got.Acknowledged == 0 || got.Errors == 0 {
			t.Errorf("%+v", got)
		}
		s.stop()
		s.wg.Wait()
	})
}

func TestACampaignCostsTheWantedCPU(t *testing.T) {
	for _, cost := range []time.Duration{2 * time.Millisecond, 20 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			s := newServer()
			s.cost, s.slow = cost, time.Millisecond
			c := &Campaign{Dial: s.dial, Cores: .7, Bytes: 1 << 20, GrowIn: 10 * time.Second}
			stop := running(t, c.Run)
			time.Sleep(20 * time.Second)
			s.mu.Lock()
			before, data := s.cpu, len(s.data)
			s.mu.Unlock()
			time.Sleep(10 * time.Second)
			s.mu.Lock()
			used := (s.cpu - before).Seconds() / 10
			s.mu.Unlock()
			if used < .65 || used > .75 {
				t.Errorf("at %v per request: %.2f cores instead of 0.70", cost, used)
			}
			if data != 1+(1<<20)/blobSize {
				t.Errorf("%d keys", data)
			}
			stop()
			if stats := c.Stats(); stats.TurnedAway != 0 || stats.Failed > 8 || stats.Served == 0 || stats.P99 < stats.Median {
				t.Errorf("%+v", stats)
			}
			s.mu.Lock()
			if len(s.data) != 0 {
				t.Errorf("left behind: %v", slices.Collect(maps.Keys(s.data)))
			}
			s.mu.Unlock()
			s.stop()
			s.wg.Wait()
		})
	}
}

func TestACampaignTurnsAwayWhatTheServerCantServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		s.cost, s.slow = 10*time.Millisecond, 40*time.Millisecond // a server that gets a quarter of what it needs
		c := &Campaign{Dial: s.dial, Cores: .8}
		stop := running(t, c.Run)
		time.Sleep(30 * time.Second)
		stop()
		stats := c.Stats()
		if share := float64(stats.Served) / float64(stats.Served+stats.TurnedAway); share < .2 || share > .45 {
			t.Errorf("%.2f of the requests were served: %+v", share, stats)
		}
		if stats.Median < 8*40*time.Millisecond {
			t.Errorf("median of %v", stats.Median)
		}
		s.stop()
		s.wg.Wait()
	})
}

func TestRepliesAreBounded(t *testing.T) {
	for _, text := range []string{
		"$99999999\r\n", "*99999\r\n", "$-2\r\n", "$x\r\n", ":x\r\n", "\r\n", "?\r\n", strings.Repeat("*1\r\n", 9) + ":1\r\n",
		strings.Repeat("a", 1<<20), "$5\r\nabc", "",
	} {
		if r, err := (&conn{r: bufio.NewReader(strings.NewReader(text))}).read(0); err == nil {
			t.Errorf("%.30q was read as %+v", text, r)
		}
	}
}

func FuzzReplies(f *testing.F) {
	for _, text := range []string{"+OK\r\n", "-ERR x\r\n", ":7\r\n", "$3\r\nabc\r\n", "$-1\r\n", "*2\r\n:1\r\n*0\r\n"} {
		f.Add(text)
	}
	f.Fuzz(func(_ *testing.T, text string) {
		_, _ = (&conn{r: bufio.NewReader(strings.NewReader(text))}).read(0)
	})
}

func TestFillWritesWhatItIsToldTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		if err := Fill(t.Context(), s.dial, "fill", 1<<20); err != nil {
			t.Fatal(err)
		}
		s.stop()
		s.wg.Wait()
		total := 0
		for _, v := range s.data {
			total += len(v)
		}
		if total != 1<<20 || len(s.data) != 4 {
			t.Errorf("%d bytes in %d keys", total, len(s.data))
		}
	})
}
