package agent

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// answer is what a coordinator whose clock is ahead answers after took.
func answer(c *clock, ahead, took time.Duration) {
	sent := time.Now()
	time.Sleep(took / 2)
	r := proto.HelloReply{ReceivedAt: timeline.Of(time.Now().Add(ahead))}
	time.Sleep(took - took/2)
	c.answered(r, sent, took)
}

func offBy(t *testing.T, c *clock, ahead, most time.Duration) {
	t.Helper()
	if off := c.now().Sub(timeline.Of(time.Now().Add(ahead))); max(off, -off) > most {
		t.Errorf("the clock is off by %s", off)
	}
}

func TestTheCoordinatorsTimeIsFollowedUpToThirtySeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClock()
		offBy(t, c, 0, 0)
		answer(c, 20*time.Second, 100*time.Millisecond)
		offBy(t, c, 20*time.Second, 60*time.Millisecond)
		if _, trusted := c.ahead(); !trusted {
			t.Error("not trusted")
		}
		time.Sleep(time.Hour)
		offBy(t, c, 20*time.Second, 60*time.Millisecond)
	})
}

func TestAClockThatIsTooFarOffIsNotCorrected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClock()
		answer(c, time.Hour, 10*time.Millisecond)
		offBy(t, c, 0, 0)
		if ahead, trusted := c.ahead(); trusted || ahead < 59*time.Minute {
			t.Errorf("ahead %s, trusted %v", ahead, trusted)
		}
	})
}

func TestAHostStatesThatItsClockIsWrongFromTheAnswerOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for ahead, says := range map[time.Duration]string{0: "", 5 * time.Second: "", -5 * time.Second: "", 60 * time.Second: "it is 1m0s behind theirs", -60 * time.Second: "it is 1m0s ahead of theirs"} {
			c := newClock()
			if m := c.missing(); len(m) > 0 {
				t.Errorf("before any answer: %v", m)
			}
			answer(c, ahead, 100*time.Millisecond)
			switch m := c.missing(); {
			case says == "" && len(m) > 0:
				t.Errorf("%s: %v", ahead, m)
			case says != "" && (len(m) != 1 || m[0].What != proto.LacksClock || !strings.Contains(m[0].Remedy, says)):
				t.Errorf("%s: %v", ahead, m)
			}
		}
	})
}

func TestAJumpOfOneClockIsBelievedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClock()
		for range 8 {
			answer(c, 0, 2*time.Millisecond)
			time.Sleep(time.Minute)
		}
		answer(c, 10*time.Second, 50*time.Millisecond) // eight good exchanges say otherwise, and are wrong now
		offBy(t, c, 10*time.Second, 50*time.Millisecond)
		answer(c, time.Hour, 10*time.Millisecond)
		answer(c, 0, 10*time.Millisecond) // somebody has set it right
		offBy(t, c, 0, 10*time.Millisecond)
		if _, trusted := c.ahead(); !trusted {
			t.Error("not trusted after it was set right")
		}
	})
}
