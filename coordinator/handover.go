package coordinator

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/coordinator/history"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/internal/wire"
	"github.com/glidepath/glidepath/proto"
	"github.com/glidepath/glidepath/proto/rpc"
)

// pageBlocks is how many blocks of history travel in one message: a week's.
const pageBlocks = 2016

// keptFor is how far back a home's history may reach.
const keptFor = 5 * 7 * 24 * time.Hour

// keepers returns the coordinators that keep a host's history: home and standby.
func (c *Coordinator) keepers(host string) ([]proto.Coordinator, error) {
	view := c.tables.View()
	h, ok := view.Host(host)
	if !ok {
		return nil, wire.Errorf(wire.NotFound, "there is no host %s", host)
	}
	var out []proto.Coordinator
	for _, name := range []string{h.Home, h.Standby} {
		if k, ok := view.Coordinator(name); ok {
			out = append(out, k)
		}
	}
	if len(out) == 0 {
		return nil, wire.Errorf(wire.Unavailable, "host %s has no home yet", host)
	}
	return out, nil
}

// at calls a method of a coordinator, which may be this one.
func at[Reply any](ctx context.Context, c *Coordinator, member proto.Coordinator, method string, request any,
	here func(context.Context) (Reply, error)) (Reply, error) {
	if member.Name == c.cfg.Name {
		return here(ctx)
	}
	s, err := c.peers.Get(ctx, member.Name, member.RPCAddr)
	if err != nil {
		var none Reply
		return none, err
	}
	return rpc.Call[Reply](ctx, s, method, request)
}

// HostTasks asks the home of a host what runs by schedule there, and what that does to its instances.
func (c *Coordinator) HostTasks(ctx context.Context, host string) (proto.HostTasksReply, error) {
	keepers, err := c.keepers(host)
	if err != nil {
		return proto.HostTasksReply{}, err
	}
	r := proto.HostTasksRequest{Host: host}
	return at(ctx, c, keepers[0], proto.MethodHostTasks, r, func(ctx context.Context) (proto.HostTasksReply, error) {
		return c.homes.HostTasks(ctx, wire.Peer{}, r)
	})
}

// Forecast asks the home of an instance's owner for its forecast.
func (c *Coordinator) Forecast(ctx context.Context, r proto.ForecastRequest) (proto.ForecastReply, error) {
	i, ok := c.tables.View().Instance(r.Instance)
	if !ok {
		return proto.ForecastReply{}, wire.Errorf(wire.NotFound, "there is no instance %s", r.Instance)
	}
	keepers, err := c.keepers(i.Owner)
	if err != nil {
		return proto.ForecastReply{}, err
	}
	return at(ctx, c, keepers[0], proto.MethodForecast, r, func(ctx context.Context) (proto.ForecastReply, error) {
		return c.homes.Forecast(ctx, wire.Peer{}, r)
	})
}

// serveHistory answers with a page of an instance's history.
func (c *Coordinator) serveHistory(ctx context.Context, _ wire.Peer, r proto.HistoryRequest) (proto.HistoryPage, error) {
	if r.Blocks <= 0 || r.Blocks > pageBlocks {
		return proto.HistoryPage{}, wire.Errorf(wire.Invalid, "a page has 1 to %d blocks", pageBlocks)
	}
	end := timeline.Of(time.Now())
	start := max(r.From, end.Add(-keptFor)).Floor(history.BlockStep)
	page := timeline.Span{Start: start, End: start.Add(time.Duration(r.Blocks) * history.BlockStep)}
	means, maxima, err := c.history.Export(ctx, r.Instance, page)
	if err != nil {
		return proto.HistoryPage{}, err
	}
	out := proto.HistoryPage{Instance: r.Instance, Start: start, Step: history.BlockStep.Milliseconds()}
	for k := range means {
		out.Mean[k] = onPage(means[k], page)
		out.Max[k] = onPage(maxima[k], page)
	}
	signals, err := c.history.Signals(ctx, r.Instance, page)
	if err != nil {
		return proto.HistoryPage{}, err
	}
	for _, s := range signals {
		out.Signals = append(out.Signals, proto.SignalBlocks{Name: s.Name, Mean: onPage(s.Series.Resample(history.BlockStep), page)})
	}
	if page.End < end {
		out.Next = page.End
		return out, nil
	}
	if out.Scores, err = c.homes.Scorecard(r.Instance); err != nil {
		c.log.Error("a scorecard can't be read, and is left out of the history", "instance", r.Instance, "error", err)
	}
	return out, nil
}

// onPage returns the values of s from the page's start on, without what is missing at the end; nil if all is.
func onPage(s forecast.Series, page timeline.Span) []float64 {
	if len(s.Values) == 0 {
		return nil
	}
	s.Fold = forecast.Max // on the grid of blocks already: nothing is folded
	padded := forecast.Splice(forecast.Series{Start: page.Start, Step: history.BlockStep, Values: []float64{math.NaN()}}, s)
	n := int(min(page.Length(), padded.End().Sub(page.Start)) / history.BlockStep)
	return padded.Values[:min(n, len(padded.Values))]
}

// serveImport stores blocks that were measured elsewhere, and the scorecard of forecasts that were issued there.
func (c *Coordinator) serveImport(ctx context.Context, _ wire.Peer, p proto.HistoryPage) (proto.HistoryStored, error) {
	if p.Step != history.BlockStep.Milliseconds() {
		return proto.HistoryStored{}, wire.Errorf(wire.Invalid, "a page of history has blocks of %s", history.BlockStep)
	}
	if p.Scores != nil {
		if p.Scores.Instance != p.Instance {
			return proto.HistoryStored{}, wire.Errorf(wire.Invalid, "a page of the history of %s has the scorecard of %s", p.Instance, p.Scores.Instance)
		}
		err := c.homes.Take(*p.Scores)
		if empty(p) {
			return proto.HistoryStored{}, err
		}
		if err != nil { // the history is worth more
			c.log.Error("a scorecard that came with a history is not kept", "instance", p.Instance, "error", err)
		}
	} else if empty(p) {
		return proto.HistoryStored{}, nil
	}
	var means, maxima forecast.History
	for k := range means {
		means[k] = forecast.Series{Start: p.Start, Step: history.BlockStep, Values: p.Mean[k], Fold: forecast.Mean}
		maxima[k] = forecast.Series{Start: p.Start, Step: history.BlockStep, Values: p.Max[k], Fold: forecast.Max}
	}
	stored, late, err := c.history.Import(ctx, p.Instance, means, maxima)
	var signals []forecast.Signal
	for _, s := range p.Signals {
		signals = append(signals, forecast.Signal{Name: s.Name, Series: forecast.Series{Start: p.Start, Step: history.BlockStep, Values: s.Mean}})
	}
	err = errors.Join(err, c.history.ImportSignals(ctx, p.Instance, signals))
	c.homes.Forget(p.Instance)
	return proto.HistoryStored{Stored: stored, Late: late}, err
}

// empty reports whether a page has no blocks.
func empty(p proto.HistoryPage) bool {
	for k := range p.Mean {
		if len(p.Mean[k])+len(p.Max[k]) > 0 {
			return false
		}
	}
	return true
}

// page asks a coordinator for a page of history.
func (c *Coordinator) page(ctx context.Context, from proto.Coordinator, r proto.HistoryRequest) (proto.HistoryPage, error) {
	return at(ctx, c, from, proto.MethodHistory, r, func(ctx context.Context) (proto.HistoryPage, error) {
		return c.serveHistory(ctx, wire.Peer{}, r)
	})
}

// give stores a page of history at a coordinator.
func (c *Coordinator) give(ctx context.Context, to proto.Coordinator, p proto.HistoryPage) (proto.HistoryStored, error) {
	return at(ctx, c, to, proto.MethodImport, p, func(ctx context.Context) (proto.HistoryStored, error) {
		return c.serveImport(ctx, wire.Peer{}, p)
	})
}

// handover brings an instance's history, and how its forecasts fared, to where its new host's is kept. It is no reason to fail a migration: what it
// could not bring is missing in the forecasts.
func (c *Coordinator) handover(ctx context.Context, instance, fromHost, toHost string) error {
	from, err := c.keepers(fromHost)
	if err != nil {
		return err
	}
	to, err := c.keepers(toHost)
	if err != nil {
		return err
	}
	to = slices.DeleteFunc(to, func(k proto.Coordinator) bool {
		return slices.ContainsFunc(from, func(f proto.Coordinator) bool { return f.Name == k.Name })
	})
	for at := timeline.Time(1); len(to) > 0 && at != 0; {
		p, err := c.page(ctx, from[0], proto.HistoryRequest{Instance: instance, From: at, Blocks: pageBlocks})
		if err != nil {
			return fmt.Errorf("history of %s: %w", instance, err)
		}
		for _, k := range to {
			if _, err := c.give(ctx, k, p); err != nil {
				return fmt.Errorf("history of %s: %w", instance, err)
			}
		}
		at = p.Next
	}
	return nil
}

// ImportHistory stores history that was measured elsewhere at the home and the standby of an instance's owner. It returns
// how many values were stored, and how many were older than what is kept.
func (c *Coordinator) ImportHistory(ctx context.Context, instance string, means, maxima forecast.History) (stored, late int, err error) {
	i, ok := c.tables.View().Instance(instance)
	if !ok {
		return 0, 0, wire.Errorf(wire.NotFound, "there is no instance %s", instance)
	}
	keepers, err := c.keepers(i.Owner)
	if err != nil {
		return 0, 0, err
	}
	span := timeline.Span{Start: timeline.Forever}
	for k := range means {
		means[k] = means[k].Resample(history.BlockStep)
		maxima[k] = maxima[k].Resample(history.BlockStep)
		if len(means[k].Values) > 0 {
			span = timeline.Span{Start: min(span.Start, means[k].Start), End: max(span.End, means[k].End())}
		}
	}
	for at := span.Start; at < span.End; at = at.Add(pageBlocks * history.BlockStep) {
		page := timeline.Span{Start: at, End: min(span.End, at.Add(pageBlocks*history.BlockStep))}
		p := proto.HistoryPage{Instance: instance, Start: at, Step: history.BlockStep.Milliseconds()}
		for k := range means {
			p.Mean[k], p.Max[k] = onPage(cut(means[k], page), page), onPage(cut(maxima[k], page), page)
		}
		var problems []error
		var done proto.HistoryStored
		for _, k := range keepers {
			r, err := c.give(ctx, k, p)
			if err != nil {
				problems = append(problems, err)
				continue
			}
			done = r
		}
		if len(problems) == len(keepers) {
			return stored, late, fmt.Errorf("import history of %s: %w", instance, errors.Join(problems...))
		}
		stored, late = stored+done.Stored, late+done.Late
	}
	return stored, late, nil
}

// cut returns the part of s in the span.
func cut(s forecast.Series, span timeline.Span) forecast.Series {
	s = s.Before(span.End)
	if len(s.Values) == 0 {
		return s
	}
	if skip := int(span.Start.Sub(s.Start) / s.Step); skip > 0 {
		skip = min(skip, len(s.Values))
		s.Values, s.Start = s.Values[skip:], s.Start.Add(time.Duration(skip)*s.Step)
	}
	return s
}

// ExportHistory returns an instance's history: the mean and the highest demand of each block that the span touches.
func (c *Coordinator) ExportHistory(ctx context.Context, instance string, span timeline.Span) (means, maxima forecast.History, err error) {
	span.Start, span.End = span.Start.Floor(history.BlockStep), span.End.Ceil(history.BlockStep)
	i, ok := c.tables.View().Instance(instance)
	if !ok {
		return means, maxima, wire.Errorf(wire.NotFound, "there is no instance %s", instance)
	}
	keepers, err := c.keepers(i.Owner)
	if err != nil {
		return means, maxima, err
	}
	for at := max(1, span.Start); at != 0 && at < span.End; {
		p, err := c.page(ctx, keepers[0], proto.HistoryRequest{Instance: instance, From: at, Blocks: pageBlocks})
		if err != nil {
			return means, maxima, err
		}
		for k := range means {
			means[k] = forecast.Splice(means[k], forecast.Series{Start: p.Start, Step: history.BlockStep, Values: p.Mean[k], Fold: forecast.Mean})
			maxima[k] = forecast.Splice(maxima[k], forecast.Series{Start: p.Start, Step: history.BlockStep, Values: p.Max[k], Fold: forecast.Max})
		}
		at = p.Next
	}
	for k := range means {
		means[k], maxima[k] = cut(means[k], span), cut(maxima[k], span)
	}
	return means, maxima, nil
}

// serveAbove compares an instance's demand with its schedule in the windows that this coordinator keeps.
func (c *Coordinator) serveAbove(ctx context.Context, _ wire.Peer, r proto.AboveRequest) (proto.Above, error) {
	if r.Span.Empty() || r.Span.Length() > proto.AboveMost {
		return proto.Above{}, wire.Errorf(wire.Invalid, "windows are kept for %s: ask for a part of that", proto.AboveMost)
	}
	above, err := c.history.Above(ctx, r.Instance, r.Span)
	above.StandsIn = c.homes.StandsIn(r.Instance)
	return above, err
}

// Above asks the home of an instance's owner how often its demand was above its schedule.
func (c *Coordinator) Above(ctx context.Context, r proto.AboveRequest) (proto.Above, error) {
	i, ok := c.tables.View().Instance(r.Instance)
	if !ok {
		return proto.Above{}, wire.Errorf(wire.NotFound, "there is no instance %s", r.Instance)
	}
	keepers, err := c.keepers(i.Owner)
	if err != nil {
		return proto.Above{}, err
	}
	return at(ctx, c, keepers[0], proto.MethodAbove, r, func(ctx context.Context) (proto.Above, error) {
		return c.serveAbove(ctx, wire.Peer{}, r)
	})
}
