package coordinator

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/glidepath/glidepath/coordinator/history"
	"github.com/glidepath/glidepath/internal/wire"
	"github.com/glidepath/glidepath/proto"
	"github.com/glidepath/glidepath/proto/rpc"
)

// scoresTime is how long the other coordinators are asked about the scores of all instances.
const scoresTime = 5 * time.Second

// Scores asks the home of an instance's owner how its forecasts fared.
func (c *Coordinator) Scores(ctx context.Context, instance string) (proto.Scores, error) {
	i, ok := c.tables.View().Instance(instance)
	if !ok {
		return proto.Scores{}, wire.Errorf(wire.NotFound, "there is no instance %s", instance)
	}
	keepers, err := c.keepers(i.Owner)
	if err != nil {
		return proto.Scores{}, err
	}
	r, err := c.scoresAt(ctx, keepers[0], proto.ScoresRequest{Instance: instance})
	if err == nil && r.Scores == nil {
		err = wire.Errorf(wire.Unavailable, "coordinator %s does not say how forecasts of %s fared", keepers[0].Name, instance)
	}
	if err != nil {
		return proto.Scores{}, err
	}
	return *r.Scores, nil
}

// AllScores asks every home how the forecasts of its instances fared, in short. silent are the homes that did not answer.
func (c *Coordinator) AllScores(ctx context.Context) (all []proto.ScoreSummary, silent []string) {
	ctx, cancel := context.WithTimeout(ctx, scoresTime)
	defer cancel()
	view := c.tables.View()
	homes := map[string]bool{}
	for h := range view.Hosts() {
		homes[h.Home] = true
	}
	var asking sync.WaitGroup
	var mu sync.Mutex
	for member := range view.Coordinators() {
		if !homes[member.Name] {
			continue
		}
		asking.Go(func() {
			r, err := c.scoresAt(ctx, member, proto.ScoresRequest{})
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				c.log.Warn("a coordinator does not say how forecasts fared", "coordinator", member.Name, "error", err)
				silent = append(silent, member.Name)
				return
			}
			all = append(all, r.Summary...)
		})
	}
	asking.Wait()
	slices.SortFunc(all, func(a, b proto.ScoreSummary) int { return strings.Compare(a.Instance, b.Instance) })
	slices.Sort(silent)
	return all, silent
}

func (c *Coordinator) scoresAt(ctx context.Context, member proto.Coordinator, r proto.ScoresRequest) (proto.ScoresReply, error) {
	return at(ctx, c, member, proto.MethodScores, r, func(ctx context.Context) (proto.ScoresReply, error) {
		return c.homes.Scores(ctx, wire.Peer{}, r)
	})
}

// copyScores brings a scorecard to the standby of its instance's owner, if that has one.
func (c *Coordinator) copyScores(ctx context.Context, card proto.Scorecard) error {
	view := c.tables.View()
	i, ok := view.Instance(card.Instance)
	if !ok {
		return nil
	}
	host, _ := view.Host(i.Owner)
	standby, ok := view.Coordinator(host.Standby)
	if !ok || standby.Name == c.cfg.Name {
		return nil
	}
	s, err := c.peers.Get(ctx, standby.Name, standby.RPCAddr)
	if err != nil {
		return err
	}
	_, err = rpc.Call[proto.HistoryStored](ctx, s, proto.MethodImport, proto.HistoryPage{
		Instance: card.Instance, Step: history.BlockStep.Milliseconds(), Scores: &card,
	})
	return err
}
