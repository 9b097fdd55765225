package api_test

import (
	"testing"
	"time"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

func TestACalendarNamesTheTightestStepAndWhoHoldsIt(t *testing.T) {
	w := newWorld(t)
	if c := ok[v1.HostCalendar](w, "GET /v1/hosts/host-b/calendar", nil); len(c.Steps) != 2 || c.Steps[0].End >= timeline.Forever || c.Steps[1].End != timeline.Forever {
		t.Errorf("of what is held alike for ever: %+v, want the grid and what comes after it", c.Steps)
	}
	night := v1.ReservationRequest{ID: "night", Host: "host-b", Envelope: proto.Envelope{
		{Span: timeline.Span{End: later(4 * time.Hour)}, Firm: resource.Vector{resource.CPU: 100}},
		{Span: timeline.Span{Start: later(4 * time.Hour), End: later(5 * time.Hour)}, Firm: resource.Vector{resource.CPU: 500}},
	}}
	more := hold("more", proto.BestEffort, 50)
	more.Envelope[0].End = later(10 * time.Hour)
	ok[v1.ReservationsReply](w, "POST /v1/reservations", held(night, more))
	c := ok[v1.HostCalendar](w, "GET /v1/hosts/host-b/calendar", nil)
	if len(c.Resources) != resource.Kinds || c.Tightest == nil || c.Tightest.Resource != resource.CPU || c.Tightest.Free != 50 || c.Tightest.Limit != 600 {
		t.Fatalf("%+v", c)
	}
	if s := c.Tightest.Span; s.End <= later(4*time.Hour) || s.Start > later(4*time.Hour) {
		t.Errorf("%s, and it is tight from %s on", s, later(4*time.Hour))
	}
	if len(c.Holders) != 2 || c.Holders[0].Reservation != "night" || c.Holders[0].Amount != 500 || c.Holders[1].Class != proto.BestEffort {
		t.Errorf("%+v", c.Holders)
	}
	if first, last := c.Steps[0], c.Steps[len(c.Steps)-1]; first.Start > timeline.Of(time.Now()) || last.End != timeline.Forever || last.Needed[resource.CPU] != 0 {
		t.Errorf("from %+v to %+v", first, last)
	}
	// What is not there is no room, and only what is short in it is worse.
	ok[v1.HostDetail](w, "POST /v1/hosts/host-b/windows", v1.WindowRequest{Whole: true, Start: later(20 * time.Hour)})
	if c := ok[v1.HostCalendar](w, "GET /v1/hosts/host-b/calendar", nil); len(c.Windows) != 1 || c.Tightest.Free != 50 || len(c.Short) != 0 {
		t.Errorf("%+v", c)
	}
	ok[v1.HostDetail](w, "POST /v1/hosts/host-b/windows", v1.WindowRequest{Whole: true, Start: later(3 * time.Hour), Force: true})
	if c := ok[v1.HostCalendar](w, "GET /v1/hosts/host-b/calendar", nil); c.Tightest.Free >= 0 || len(c.Short) == 0 {
		t.Errorf("%+v", c)
	}
	w.fails(v1.CodeNotFound, 404, "GET /v1/hosts/host-z/calendar", nil)
}
