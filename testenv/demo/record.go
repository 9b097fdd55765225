//go:build linux

package demo

import (
	"context"
	"math"
	"time"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
	"github.com/glidepath/glidepath/testenv/fleet"
	"github.com/glidepath/glidepath/testenv/load"
	"github.com/glidepath/glidepath/testenv/report"
)

// before is how long before a move its picture begins.
const before = 10 * time.Second

// record ends the clients and puts together what was predicted and what was measured of a move that has completed.
func (d *demo) record(ctx context.Context, m proto.Migration, campaign load.CampaignStats, during stretch) (report.Run, error) {
	stats, read, err := d.stopClients(ctx)
	if err != nil {
		return report.Run{}, err
	}
	now := time.Now()
	began := m.CreatedAt.Std()
	run := report.Run{
		Migration: m.ID, Instance: m.Instance, Source: m.Source, Target: m.Target, FromType: m.FromType, ToType: m.ToType, Outcome: string(m.Outcome),
		Phases: phases(m), Events: []report.Band{{Name: "campaign", Span: timeline.Span{Start: timeline.Of(during.from), End: timeline.Of(during.to)}}},
		Clients: report.Clients{
			Acknowledged: stats.Acknowledged, Lost: read.Lost, Retried: stats.Errors,
			SilenceCampaign: stats.Longest(during.from, during.to).Length().Milliseconds(),
		},
		Campaign: report.Campaign{
			Served: campaign.Served, TurnedAway: campaign.TurnedAway, Failed: campaign.Failed,
			Median: campaign.Median.Microseconds(), P99: campaign.P99.Microseconds(),
		},
	}
	run.Duration = report.Compared{Predicted: m.Plan.Duration, Actual: entered(m, proto.PhaseSettle).Sub(m.CreatedAt).Milliseconds()}
	run.Downtime = report.Compared{
		Predicted: m.Plan.Downtime, Actual: stats.Longest(began, entered(m, proto.PhaseWarm).Std().Add(time.Second)).Length().Milliseconds(),
	}
	run.Throttled = throttled(d.watch.Samples(m.Target, during.from), during)
	for _, s := range m.Plan.Profile {
		run.CPU.Predicted = append(run.CPU.Predicted, report.Point{At: s.Start, Value: float64(s.Forecast[resource.CPU]) / 1000})
		run.Memory.Predicted = append(run.Memory.Predicted, report.Point{At: s.Start, Value: float64(s.Forecast[resource.Memory])})
	}
	confirmed := entered(m, proto.PhaseSwitch).Std()
	var samples []fleet.Sample
	for _, s := range d.watch.Samples(m.Source, began.Add(-before)) {
		if s.At.Before(confirmed) {
			samples = append(samples, s)
		}
	}
	for _, s := range d.watch.Samples(m.Target, confirmed) {
		if s.At.Before(now) {
			samples = append(samples, s)
		}
	}
	draw(&run, samples)
	return run, nil
}

// phases returns the phases as they were entered, each until the next.
func phases(m proto.Migration) []report.Band {
	var out []report.Band
	for i, p := range m.Phases {
		if p.Phase == proto.PhaseEnded {
			continue
		}
		end := m.EndedAt
		if i+1 < len(m.Phases) {
			end = m.Phases[i+1].At
		}
		out = append(out, report.Band{Name: string(p.Phase), Span: timeline.Span{Start: p.At, End: end}})
	}
	return out
}

// entered returns when a phase was entered, or when the migration ended if it never was.
func entered(m proto.Migration, phase proto.Phase) timeline.Time {
	for _, p := range m.Phases {
		if p.Phase == phase {
			return p.At
		}
	}
	return m.EndedAt
}

// throttled returns what the kernel counted in the time, which the samples begin with.
func throttled(samples []fleet.Sample, during stretch) report.Throttled {
	var first, last fleet.Sample
	for _, s := range samples {
		if !s.Present || s.At.After(during.to) {
			continue
		}
		if !first.Present {
			first = s
		}
		last = s
	}
	return report.Throttled{Time: (last.Throttled - first.Throttled).Milliseconds(), Of: last.At.Sub(first.At).Milliseconds()}
}

// drawEvery is how far apart the points of a picture are.
const drawEvery = time.Second

// draw adds what was measured and granted to a run.
func draw(run *report.Run, samples []fleet.Sample) {
	var last fleet.Sample
	cpu, memory := math.NaN(), math.NaN()
	for _, s := range samples {
		if !s.Present || s.Processes == 0 {
			last = fleet.Sample{}
			continue
		}
		at := timeline.Of(s.At)
		// The pictures have no place for what is not limited.
		if limit := s.Cores; !math.IsInf(limit, 1) && limit != cpu {
			cpu = limit
			run.CPU.Allocated = append(run.CPU.Allocated, report.Point{At: at, Value: limit})
		}
		if limit := min(s.High, s.Max); limit < math.MaxInt64 && float64(limit) != memory {
			memory = float64(limit)
			run.Memory.Allocated = append(run.Memory.Allocated, report.Point{At: at, Value: memory})
		}
		if last.Present && s.At.Sub(last.At) < drawEvery {
			continue
		}
		if last.Present && s.Used >= last.Used {
			run.CPU.Actual = append(run.CPU.Actual, report.Point{At: at, Value: float64(s.Used-last.Used) / float64(s.At.Sub(last.At))})
		}
		run.Memory.Actual = append(run.Memory.Actual, report.Point{At: at, Value: float64(s.Memory)})
		last = s
	}
}
