package api

import (
	"time"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/proto"
)

// staleTold is for how long it is told of a plan that it became stale.
const staleTold = 24 * time.Hour

// plansIn returns the stored plans that the status tells of: what goes on or is suggested, but for drains, and what became stale of late.
func (c *call) plansIn() []v1.PlanSummary {
	out := []v1.PlanSummary{}
	for p := range c.view.Plans() {
		late := p.Status == proto.PlanStale && c.now.Sub(p.EndedAt) < staleTold
		if p.Kind != proto.PlanDrain && p.Status != proto.PlanKept && (late || !p.Status.Ended()) {
			out = append(out, v1.SummaryOf(p))
		}
	}
	return out
}

// drainsIn returns the drains that go on, are paused or blocked.
func (c *call) drainsIn(owns map[string]int) []v1.DrainStatus {
	out := []v1.DrainStatus{}
	var moving map[string]int
	for h := range c.view.Hosts() {
		if h.Drain == nil || h.Drain.State == proto.DrainDone {
			continue
		}
		if moving == nil {
			moving = map[string]int{}
			for m := range c.view.ActiveMigrations() {
				moving[m.Source]++
			}
		}
		out = append(out, v1.DrainStatus{Host: h.Facts.Name, Drain: *h.Drain, Left: owns[h.Facts.Name], Moving: moving[h.Facts.Name]})
	}
	return out
}
