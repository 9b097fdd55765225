package planner

import (
	"time"

	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// leastRate is what a transfer is planned with where links have less left, in bits per second.
const leastRate = 8_000_000

// course is how a move that begins at a time is expected to go.
type course struct {
	rate         int64 // bits per second
	likely, high Transfer
	phases       []proto.PlanPhase // of the likely one
	pressure     int64             // on neighbours, in thousandths, while it copies
}

// course predicts a move by the rate that there is at every step that it touches, also where the instance writes more than is likely. Those are the more
// the lower the rate is.
func (p *planning) course(w way, start timeline.Time) course {
	copying := start.Add(p.Costs.Prepare)
	for rate := p.Costs.Rate; ; {
		bytes := flat(max(1, rate/8))
		c := course{rate: rate, likely: p.Costs.transfer(p.Data, copying, p.likely, bytes)}
		c.high = worse(c.likely, p.Costs.transfer(p.Data, copying, p.high, bytes))
		c.phases = p.phases(start, c.likely)
		busy := c.busy(p.grid)
		least := w.rate.least(busy)
		if least >= rate {
			c.pressure = w.pressure(rate, timeline.Span{Start: copying, End: c.phases[1].End})
			return c
		}
		rate = least
	}
}

// busy returns the time for which the transfer's own needs are held: until the switch is over, though the instance writes more than is likely.
func (c course) busy(grid time.Duration) timeline.Span {
	end := c.high.end(c.phases[1].Start)
	return timeline.Span{Start: c.phases[0].Start.Floor(grid), End: end.Ceil(grid).Add(grid)}
}

// served returns when the instance is expected to have left the source, all but what is kept there for its way back; with more than is likely written, if
// late is set.
func (c course) served(late bool) timeline.Time {
	end := c.phases[3].End
	if late {
		end = end.Add(c.high.Copy - c.likely.Copy + c.high.Downtime - c.likely.Downtime)
	}
	return end
}

// figures returns what the move is predicted to take.
func (c course) figures() *proto.Figures {
	begin := c.phases[0].Start
	return &proto.Figures{
		Bytes:    proto.Band{Median: c.likely.Bytes, High: c.high.Bytes},
		Duration: proto.Band{Median: c.served(false).Sub(begin).Milliseconds(), High: c.served(true).Sub(begin).Milliseconds()},
		Downtime: proto.Band{Median: c.likely.Downtime.Milliseconds(), High: c.high.Downtime.Milliseconds()},
		Pressure: c.pressure,
	}
}
