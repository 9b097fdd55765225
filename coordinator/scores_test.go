package coordinator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/glidepath/glidepath/coordinator/api/apitest"
	"github.com/glidepath/glidepath/coordinator/consensus"
	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/coordinator/history"
	"github.com/glidepath/glidepath/coordinator/home"
	"github.com/glidepath/glidepath/coordinator/metrics"
	"github.com/glidepath/glidepath/coordinator/session"
	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/durable"
	"github.com/glidepath/glidepath/internal/pki"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/internal/wire"
	"github.com/glidepath/glidepath/proto"
)

// keeping are coordinators without Raft that know the same tables and reach each other over pipes: what homes and standbys do for each other.
type keeping struct {
	t       *testing.T
	all     map[string]*Coordinator
	serving sync.WaitGroup
}

// keepers returns c1, the home of host-a, c2, its standby, and c3, the home of host-c; cache-1 runs on host-a.
func keepers(t *testing.T) *keeping {
	t.Helper()
	f := apitest.New(t)
	for _, name := range []string{"c2", "c3"} {
		f.Must(&proto.CoordinatorPut{Coordinator: proto.Coordinator{Name: name, RPCAddr: name + ":7647", Commands: proto.KnownCommands()}})
	}
	f.Must(&proto.HostHome{Host: "host-a", From: "c1", Home: "c1", Standby: "c2"})
	f.Must(&proto.HostHome{Host: "host-c", From: "c1", Home: "c3"})
	f.Must(&proto.InstanceApply{Spec: apitest.Spec("cache-1"), Envelope: proto.Envelope{{Span: timeline.Span{End: timeline.Forever}}}})
	f.Adopt("cache-1")
	var tables bytes.Buffer
	if err := f.View().Export(&tables); err != nil {
		t.Fatal(err)
	}
	k := &keeping{t: t, all: map[string]*Coordinator{}}
	t.Cleanup(k.serving.Wait)
	for _, name := range []string{"c1", "c2", "c3"} {
		k.add(name, tables.Bytes())
	}
	return k
}

func (k *keeping) add(name string, tables []byte) {
	k.t.Helper()
	cfg := Default()
	cfg.Name, cfg.DataDir = name, k.t.TempDir()
	c := newCoordinator(cfg, Process{Version: "test", Log: slog.New(slog.DiscardHandler), Audit: io.Discard})
	var err error
	if c.metrics, err = metrics.New(metrics.Reads{
		Name: name, View: func() *state.View { return c.tables.View() }, Raft: func() consensus.Stats { return consensus.Stats{} }, Agents: func() int { return 0 },
		Space: func() (int64, int64, error) { return 0, 0, errors.New("unknown") }, Scores: func() []proto.ScoreSummary { return c.homes.Summaries() },
	}, time.Now()); err != nil {
		k.t.Fatal(err)
	}
	c.tables = newTables(c.metrics.Applied)
	if err := c.tables.Restore(bytes.NewReader(tables)); err != nil {
		k.t.Fatal(err)
	}
	if c.cards, err = home.OpenCards(durable.OS{}, filepath.Join(cfg.DataDir, scoresDir)); err != nil {
		k.t.Fatal(err)
	}
	if c.history, err = history.Open(filepath.Join(cfg.DataDir, historyDir), c.log); err != nil {
		k.t.Fatal(err)
	}
	c.peers = session.NewPeers(func(_ context.Context, to, _ string) (net.Conn, wire.Peer, error) {
		other := k.all[to]
		if other == nil {
			return nil, wire.Peer{}, fmt.Errorf("%s is not there", to)
		}
		here, there := net.Pipe()
		k.serving.Go(func() {
			_ = other.hub.Serve(context.Background(), there, wire.Peer{Identity: pki.Identity{Kind: pki.Coordinator, Name: name}})
		})
		return here, wire.Peer{Identity: pki.Identity{Kind: pki.Coordinator, Name: to}}, nil
	}, nil, c.log)
	k.t.Cleanup(func() {
		if err := errors.Join(c.peers.Close(), c.history.Close()); err != nil {
			k.t.Error(err)
		}
	})
	c.wire()
	k.all[name] = c
}

// seed gives c1 four days of history of cache-1, makes a forecast, and returns the scorecard that c1 then has.
func (k *keeping) seed() proto.Scorecard {
	k.t.Helper()
	start := timeline.Of(time.Now()).Add(-4 * 24 * time.Hour).Floor(history.BlockStep)
	var h forecast.History
	h[resource.CPU] = forecast.Series{Start: start, Step: history.BlockStep, Values: make([]float64, 4*288+1)}
	for i := range h[resource.CPU].Values {
		h[resource.CPU].Values[i] = float64(100 + i%7)
	}
	c := k.all["c1"]
	if _, _, err := c.history.Import(k.t.Context(), "cache-1", h, h); err != nil {
		k.t.Fatal(err)
	}
	if err := c.history.ImportSignals(k.t.Context(), "cache-1", []forecast.Signal{{Name: "requests", Series: h[resource.CPU]}}); err != nil {
		k.t.Fatal(err)
	}
	if _, err := c.Forecast(k.t.Context(), proto.ForecastRequest{Instance: "cache-1"}); err != nil {
		k.t.Fatal(err)
	}
	card, err := c.homes.Scorecard("cache-1")
	if err != nil || card == nil || len(card.Issued) != 2 {
		k.t.Fatalf("%+v %v", card, err)
	}
	return *card
}

func (k *keeping) has(name string) *proto.Scorecard {
	k.t.Helper()
	card, err := k.all[name].homes.Scorecard("cache-1")
	if err != nil {
		k.t.Fatal(err)
	}
	return card
}

func TestAScorecardIsCopiedToTheStandbyAndGoesWithAMove(t *testing.T) {
	k := keepers(t)
	card := k.seed()
	if k.has("c2") != nil || k.has("c3") != nil {
		t.Fatal("others have it already")
	}
	if err := k.all["c1"].copyScores(t.Context(), card); err != nil {
		t.Fatal(err)
	}
	if got := k.has("c2"); got == nil || got.UpdatedAt != card.UpdatedAt || len(got.Issued) != 2 {
		t.Errorf("the standby has %+v", got)
	}
	if err := k.all["c1"].handover(t.Context(), "cache-1", "host-a", "host-c"); err != nil {
		t.Fatal(err)
	}
	if got := k.has("c3"); got == nil || got.UpdatedAt != card.UpdatedAt || len(got.Issued) != 2 {
		t.Errorf("where it moves to there is %+v", got)
	}
	h, err := k.all["c3"].history.Demand(t.Context(), "cache-1", timeline.Span{Start: timeline.Of(time.Now()).Add(-time.Hour), End: timeline.Of(time.Now())}, true)
	if err != nil || len(h[resource.CPU].Values) < 10 {
		t.Errorf("and of the history %d blocks, %v", len(h[resource.CPU].Values), err)
	}
	at := timeline.Span{Start: timeline.Of(time.Now()).Add(-5 * 24 * time.Hour), End: timeline.Of(time.Now())}
	was, _ := k.all["c1"].history.Signals(t.Context(), "cache-1", at)
	is, err := k.all["c3"].history.Signals(t.Context(), "cache-1", at)
	if err != nil || len(was) != 1 || len(was[0].Series.Values) < 4*288 || !reflect.DeepEqual(was, is) {
		t.Errorf("of signals %+v became %+v, %v", was, is, err)
	}
}

func TestScoresAreAnsweredByTheHomeWhoeverIsAsked(t *testing.T) {
	k := keepers(t)
	card := k.seed()
	for _, name := range []string{"c1", "c2", "c3"} {
		s, err := k.all[name].Scores(t.Context(), "cache-1")
		if err != nil || s.UpdatedAt != card.UpdatedAt || len(s.Periods) != 3 {
			t.Errorf("%s: %+v %v", name, s, err)
		}
		all, silent := k.all[name].AllScores(t.Context())
		if len(all) != 1 || all[0].Instance != "cache-1" || len(silent) != 0 {
			t.Errorf("%s: %+v %q", name, all, silent)
		}
	}
	if _, err := k.all["c2"].Scores(t.Context(), "nothing"); wire.CodeOf(err) != wire.NotFound {
		t.Errorf("of an instance that is not there: %v", err)
	}
}

func TestAHomeThatDoesNotAnswerIsNamed(t *testing.T) {
	k := keepers(t)
	k.seed()
	delete(k.all, "c3")
	if all, silent := k.all["c1"].AllScores(t.Context()); len(all) != 1 || len(silent) != 1 || silent[0] != "c3" {
		t.Errorf("without c3: %+v %q", all, silent)
	}
}

func TestAPageWithTheScorecardOfAnotherInstanceIsRefused(t *testing.T) {
	k := keepers(t)
	card := k.seed()
	page := proto.HistoryPage{Instance: "web-1", Step: history.BlockStep.Milliseconds(), Scores: &card}
	if _, err := k.all["c2"].serveImport(t.Context(), wire.Peer{}, page); wire.CodeOf(err) != wire.Invalid {
		t.Error(err)
	}
	page.Instance = "cache-1"
	card.Issued[0].Said = nil
	if _, err := k.all["c2"].serveImport(t.Context(), wire.Peer{}, page); wire.CodeOf(err) != wire.Invalid {
		t.Errorf("a scorecard without its parts: %v", err)
	}
	if k.has("c2") != nil {
		t.Error("it was kept")
	}
}
