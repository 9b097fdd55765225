package agent

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/glidepath/glidepath/agent/enforce"
	"github.com/glidepath/glidepath/agent/fence"
	"github.com/glidepath/glidepath/internal/durable"
	"github.com/glidepath/glidepath/internal/pki"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// pausable is the configuration of a host that has joined, with cache-1 on it.
func pausable(t *testing.T) Config {
	t.Helper()
	cfg := Config{DataDir: t.TempDir()}
	for _, dir := range []string{cfg.path(pkiDir), cfg.FenceDir()} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	ca, err := pki.NewFleet(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	node, err := ca.Issue(pki.Agent, "host-a", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := pki.NewDir(durable.OS{}, cfg.path(pkiDir)).SaveNode(node); err != nil {
		t.Fatal(err)
	}
	store, err := fence.Open(durable.OS{}, cfg.FenceDir())
	if err != nil {
		t.Fatal(err)
	}
	q := fence.Request{Instance: "cache-1", Token: fence.Token{Incarnation: 1, Fence: 1}, Units: []string{"no-such-unit.service"}, Spec: proto.InstanceSpec{Name: "cache-1"}}
	if _, err := store.Change("cache-1", func(r fence.Record) (fence.Record, error) { return r.Adopt(q) }); err != nil {
		t.Fatal(err)
	}
	return cfg
}

func TestAPauseIsKeptUntilItIsTakenBackWhileTheAgentRuns(t *testing.T) {
	cfg := pausable(t)
	agent, err := durable.LockDir(cfg.DataDir) // it runs
	if err != nil {
		t.Fatal(err)
	}
	done, err := Pause(t.Context(), cfg)
	if err != nil || !slices.Equal(done, []string{"instance cache-1 (owner): it was not limited"}) {
		t.Fatalf("%q %v", done, err)
	}
	old := time.Unix(1_800_000_000, 0)
	if err := os.Chtimes(cfg.path(pausedFile), old, old); err != nil {
		t.Fatal(err)
	}
	if _, err := Pause(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if since, err := cfg.pausedSince(); err != nil || since != timeline.Of(old) {
		t.Errorf("after a second word it is paused since %s, %v", since, err)
	}
	if said, err := newSaidHere(cfg, slog.New(slog.DiscardHandler)); err != nil || !said.paused() || said.since() != timeline.Of(old) {
		t.Errorf("an agent that starts does not know: %v", err)
	}
	for _, want := range []bool{true, false} {
		if was, running, err := Resume(cfg); err != nil || was != want || !running {
			t.Errorf("resumed: was paused %v, agent runs %v, %v", was, running, err)
		}
	}
	if err := agent.Unlock(); err != nil {
		t.Fatal(err)
	}
	if was, running, err := Resume(cfg); err != nil || was || running {
		t.Errorf("without an agent: was paused %v, agent runs %v, %v", was, running, err)
	}
	if since, err := cfg.pausedSince(); err != nil || since != 0 {
		t.Errorf("it is paused since %s, %v", since, err)
	}
}

func TestAHostOfNoFleetCanNotBePaused(t *testing.T) {
	cfg := Config{DataDir: t.TempDir()}
	if _, err := Pause(t.Context(), cfg); !errors.Is(err, ErrNotJoined) {
		t.Error(err)
	}
	if _, _, err := Resume(cfg); !errors.Is(err, ErrNotJoined) {
		t.Error(err)
	}
	if left, err := os.ReadDir(cfg.DataDir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func TestTheAgentHearsWithinSecondsWhatIsSaidOnTheHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var word atomic.Int64
		var blind atomic.Bool
		var heard atomic.Int32
		look := func() (timeline.Time, error) {
			if blind.Load() {
				return 0, errors.New("input/output error")
			}
			return timeline.Time(word.Load()), nil
		}
		s := &saidHere{look: look, changed: func() { heard.Add(1) }, log: slog.New(slog.DiscardHandler)}
		ended := make(chan error, 1)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { ended <- s.run(ctx) }()
		stored := proto.Document{Host: "host-a"}
		document := s.followed(func() (proto.Document, bool) { return stored, true })
		check := func(when string, paused bool, times int32) {
			t.Helper()
			time.Sleep(2 * time.Second)
			synctest.Wait()
			if d, ok := document(); !ok || d.Paused != paused || s.paused() != paused || heard.Load() != times {
				t.Errorf("%s: the document that is followed lifts limits: %v, heard %d times", when, d.Paused, heard.Load())
			}
		}
		check("at first", false, 0)
		word.Store(5)
		check("paused", true, 1)
		check("still", true, 1)
		blind.Store(true)
		word.Store(0)
		check("unseen", true, 1)
		blind.Store(false)
		check("resumed", false, 2)
		stored.Paused = true
		if d, _ := document(); !d.Paused || s.paused() {
			t.Error("a pause of the coordinators is lost, or taken for one that was said here")
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestPauseWaitsUntilNothingIsLimited(t *testing.T) {
	records := []fence.Record{
		{Instance: "a", State: proto.FenceOwner, Units: []string{"a.service"}},
		{Instance: "b", State: proto.FenceOwner, Units: []string{"b.service"}},
		{Instance: "gone", State: proto.FenceRetired, Units: []string{"gone.service"}},
	}
	held := map[string]bool{"a": true, "b": false}
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		seen, err := awaitLifted(t.Context(), records, held, func(unit string) (bool, error) {
			return unit == "a.service" && time.Since(began) < 3*time.Second, nil
		})
		if want := []string{"instance a (owner): its limits are lifted", "instance b (owner): it was not limited"}; err != nil || !slices.Equal(seen, want) {
			t.Errorf("%q %v", seen, err)
		}
		if took := time.Since(began); took < 3*time.Second || took > 4*time.Second {
			t.Errorf("it took %s", took)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeoutCause(t.Context(), liftedWithin, errNotLifted)
		defer cancel()
		seen, err := awaitLifted(ctx, records, held, func(unit string) (bool, error) { return unit == "a.service", nil })
		if !errors.Is(err, errNotLifted) || len(seen) != 2 || !strings.Contains(seen[0], "instance a (owner): NOT YET") {
			t.Errorf("%q %v", seen, err)
		}
	})
	if _, err := awaitLifted(t.Context(), records, held, func(string) (bool, error) { return false, os.ErrPermission }); !errors.Is(err, os.ErrPermission) {
		t.Errorf("%v", err)
	}
}

// A target that is prepared is limited at once, unless this host is paused.
func TestNoOperationLimitsWhileTheHostIsPaused(t *testing.T) {
	for _, paused := range []bool{false, true} {
		u := unlessPaused{paused: func() bool { return paused }}
		if got := u.target(enforce.Target{Limited: true}); got.Limited == paused {
			t.Errorf("paused %v: limited %v", paused, got.Limited)
		}
		if u.target(enforce.Target{}).Limited {
			t.Error("what is not to be limited is")
		}
	}
}
