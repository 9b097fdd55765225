package planner

import (
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// Actuals are a migration in numbers: what was predicted, and what it came to.
type Actuals struct {
	Duration  int64          `json:"duration_ms"` // from its start until it had settled in, or until it ended before; 0 while it runs
	Downtime  int64          `json:"downtime_ms"` // from the begin of the freeze to the end of confirming, or of the thaw; 0 without
	Bytes     int64          `json:"bytes"`       // sent in all rounds
	Rounds    int            `json:"rounds"`      // early ones
	Predicted Predicted      `json:"predicted"`
	Phases    []PhaseFigures `json:"phases"` // in order
}

// Predicted is what the plan said.
type Predicted struct {
	Duration int64 `json:"duration_ms"`
	Downtime int64 `json:"downtime_ms"`
	Bytes    int64 `json:"bytes"`
	Rounds   int   `json:"rounds"`
}

// PhaseFigures is a phase with its time, and the plan's.
type PhaseFigures struct {
	Phase   proto.Phase   `json:"phase"`
	Actual  timeline.Span `json:"actual"`  // End is 0 while it lasts
	Planned timeline.Span `json:"planned"` // zero for a phase that no plan has
}

// Report returns a migration in numbers.
func Report(m proto.Migration) Actuals {
	r := Actuals{Predicted: Predicted{Duration: m.Plan.Duration, Downtime: m.Plan.Downtime, Bytes: m.Plan.Bytes, Rounds: m.Plan.Rounds}}
	end := m.EndedAt
	for n, p := range m.Phases {
		if p.Phase == proto.PhaseEnded {
			continue
		}
		entry := PhaseFigures{Phase: p.Phase, Actual: timeline.Span{Start: p.At}, Planned: planned(m.Plan, p.Phase)}
		if n+1 < len(m.Phases) {
			entry.Actual.End = m.Phases[n+1].At
		}
		if p.Phase == proto.PhaseSettle {
			end = p.At
		}
		r.Phases = append(r.Phases, entry)
	}
	if end != 0 {
		r.Duration = end.Sub(m.CreatedAt).Milliseconds()
	}
	var silent, back timeline.Time
	for _, o := range m.Operations {
		done := o.Result != nil && o.Result.Error == nil
		switch o.Kind {
		case proto.OpSyncRound, proto.OpFinalSync:
			if done && o.Result.Round != nil {
				r.Bytes += o.Result.Round.Bytes
				if o.Kind == proto.OpSyncRound {
					r.Rounds++
				}
			}
		case proto.OpFreeze:
			if silent == 0 && o.Host == m.Source {
				silent = o.SentAt
			}
		case proto.OpConfirm, proto.OpThaw:
			if done {
				back = o.EndedAt
			}
		}
	}
	if silent != 0 && back > silent {
		r.Downtime = back.Sub(silent).Milliseconds()
	}
	return r
}

// planned returns the span that a plan gives a phase.
func planned(p proto.Plan, phase proto.Phase) timeline.Span {
	for _, ph := range p.Phases {
		if ph.Phase == phase {
			return ph.Span
		}
	}
	return timeline.Span{}
}
