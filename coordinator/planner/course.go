package planner

import (
	"slices"
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
	c := p.settled(start, w.rate.least)
	c.pressure = w.pressure(c.rate, timeline.Span{Start: start.Add(p.Costs.Prepare), End: c.phases[1].End})
	return c
}

// settled returns the course of a move at the first rate that there is all the time that it takes, from the full one down. Whom it disturbs is not in it.
func (p *planning) settled(start timeline.Time, least func(timeline.Span) int64) course {
	for rate := p.Costs.Rate; ; {
		c := p.at(start, rate)
		found := least(c.busy(p.grid))
		if found >= rate {
			return c
		}
		rate = found
	}
}

// speed is when a move begins, and its rate: how it goes follows from the two, whichever host it goes to.
type speed struct {
	start timeline.Time
	rate  int64
}

const mostCourses = 4096 // that are kept: most links of a fleet have as much left as a transfer may take

// at predicts a move at a rate.
func (p *planning) at(start timeline.Time, rate int64) course {
	if c, known := p.courses[speed{start, rate}]; known {
		return c
	}
	copying, bytes := start.Add(p.Costs.Prepare), flat(max(1, rate/8))
	c := course{rate: rate, likely: p.Costs.transfer(p.Data, copying, p.likely, bytes)}
	c.high = worse(c.likely, p.Costs.transfer(p.Data, copying, p.high, bytes))
	c.phases = p.phases(start, c.likely)
	if p.courses == nil || len(p.courses) == mostCourses {
		p.courses = map[speed]course{}
	}
	p.courses[speed{start, rate}] = c
	return c
}

// quickest returns a time that no move away from the source takes less than until its target serves, whenever it begins: that of a single round and no more to
// send after it, at the most that the source has left at any time.
func (p *planning) quickest() time.Duration {
	rate := max(1, min(p.Costs.Rate, slices.Max(p.leaves().rate.rates))/8)
	t := corrected(Transfer{
		Copy: seconds(p.Data, rate) + p.Costs.Round, Downtime: p.Costs.Stop + p.Costs.Start + p.Costs.Switch + seconds(p.Data, p.Costs.Reread),
	}, p.Costs.Bias)
	return served(p.phases(p.Now, t))
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
