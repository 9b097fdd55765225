package migrate

import (
	"testing"
	"time"

	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

func TestProgressFollowsTheTransfer(t *testing.T) {
	story(t, func(t *testing.T, f *fleet) {
		f.agents["a"].slow[proto.OpSyncRound] = 10 * time.Second
		f.move("m", "b", "large")
		var seen Progress
		f.await("bytes are seen in the second round", time.Minute, func(*state.View) bool {
			p, ok := f.leader.exec.Progress("m")
			seen = p
			return ok && p.Operation == proto.OpSyncRound && p.Round == 2 && p.Bytes > 10<<20
		})
		if seen.Host != "a" || seen.Sent == 0 || seen.Trouble != "" {
			t.Errorf("%+v", seen)
		}
		f.ended("m", time.Minute)
		f.settled()
		if p, ok := f.leader.exec.Progress("m"); ok {
			t.Errorf("a migration that has ended is still remembered: %+v", p)
		}
	})
}

func TestWhenTheRoundsAreEnough(t *testing.T) {
	const now = 1_000_000
	rounds := func(changed ...int64) []round {
		var out []round
		for _, c := range changed {
			out = append(out, round{proto.RoundResult{Changed: c << 20}, now - 1000})
		}
		return out
	}
	old := rounds(64, 1)
	old[1].ended = now - timeline.Time(restKeeps.Milliseconds()) - 1
	for name, c := range map[string]struct {
		rounds []round
		want   bool
	}{
		"none yet":               {nil, false},
		"the first, large":       {rounds(64), false},
		"the first, small":       {rounds(4), true},
		"shrinking":              {rounds(64, 32), false},
		"small":                  {rounds(64, 32, 4), true},
		"not shrinking":          {rounds(64, 32, 32), true},
		"five":                   {rounds(64, 50, 40, 30, 20), true},
		"small, but a while ago": {old, false},
	} {
		if got := enough(c.rounds, now); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
