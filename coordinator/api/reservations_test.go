package api_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// later is a time from now on, in whole minutes.
func later(d time.Duration) timeline.Time {
	return timeline.Of(time.Now()).Floor(time.Minute).Add(time.Minute + d)
}

// hold asks for CPU on host-b, which has 600m, for two hours from now.
func hold(id string, class proto.Class, cpu int64) v1.ReservationRequest {
	return v1.ReservationRequest{ID: id, Host: "host-b", Class: class, Envelope: proto.Envelope{{Span: timeline.Span{End: later(2 * time.Hour)}, Firm: resource.Vector{resource.CPU: cpu}}}}
}

func held(r ...v1.ReservationRequest) v1.ReservationsRequest {
	return v1.ReservationsRequest{Reservations: r}
}

func TestAReservationIsHeldShownExtendedAndReleased(t *testing.T) {
	w := newWorld(t)
	end := later(2 * time.Hour)
	got := ok[v1.ReservationsReply](w, "POST /v1/reservations", held(hold("nightly", proto.Standard, 300)))
	if len(got.Reservations) != 1 || got.Reservations[0].Purpose != proto.PurposeHold || got.Reservations[0].End() != end || len(got.Yields) != 0 {
		t.Fatalf("%+v", got)
	}
	const at = "/v1/reservations/nightly"
	if r := ok[proto.Reservation](w, "GET "+at, nil); r.Envelope[0].Start > timeline.Of(time.Now()) || r.Envelope[0].Firm[resource.CPU] != 300 {
		t.Fatalf("%+v", r)
	}
	for _, squeeze := range []bool{false, true} {
		in := held(hold("nightly", proto.Standard, 200))
		in.Squeeze = squeeze
		if e := w.fails(v1.CodeConflict, 409, "POST /v1/reservations", in); !strings.Contains(e.Message, "nightly") || !strings.Contains(e.Remedy, "choose another identifier") {
			t.Error(e)
		}
	}
	squeezed, key := held(hold("often", proto.Standard, 100)), ulid.Make().String()
	squeezed.Squeeze = true
	for range 2 { // the answer to the first one got lost
		if got := ok[v1.ReservationsReply](w, "POST /v1/reservations", squeezed, v1.HeaderKey, key); len(got.Reservations) != 1 {
			t.Errorf("%+v", got)
		}
	}
	ok[v1.Empty](w, "DELETE /v1/reservations/often", nil)
	got = ok[v1.ReservationsReply](w, "POST "+at+"/extend", v1.ExtendRequest{Until: end.Add(time.Hour)})
	if len(got.Reservations) != 1 || got.Reservations[0].End() != end.Add(time.Hour) {
		t.Fatalf("%+v", got)
	}
	if e := w.fails(v1.CodeRefused, 422, "POST "+at+"/extend", v1.ExtendRequest{Until: end}); !strings.Contains(e.Remedy, "reservation release nightly") {
		t.Error(e)
	}
	w.fails(v1.CodeInvalid, 400, "POST "+at+"/extend", v1.ExtendRequest{Until: end.Add(401 * 24 * time.Hour)})
	ok[v1.Empty](w, "DELETE "+at, nil)
	w.fails(v1.CodeNotFound, 404, "DELETE "+at, nil)
	w.fails(v1.CodeNotFound, 404, "GET "+at, nil)
}

func TestTheReservationOfAnInstanceIsNoOperators(t *testing.T) {
	w := newWorld(t)
	w.adopt("cache-1")
	w.fails(v1.CodeRefused, 422, "POST /v1/reservations/cache-1@host-a/extend", v1.ExtendRequest{Until: later(time.Hour)})
	w.fails(v1.CodeRefused, 422, "DELETE /v1/reservations/cache-1@host-a", nil)
	w.fails(v1.CodeRefused, 422, "POST /v1/reservations/verdict", v1.VerdictRequest{Release: []string{"cache-1@host-a"}})
}

func TestNobodyTakesTheIdentifiersOfInstancesHostsAndPlans(t *testing.T) {
	w := newWorld(t)
	for _, id := range []string{proto.SystemReservation("host-c"), state.InstanceReservation("cache-1", "host-c"), proto.PlanHold("p", 0, "target")} {
		w.fails(v1.CodeInvalid, 400, "POST /v1/reservations", held(hold(id, proto.Standard, 1)))
		w.fails(v1.CodeInvalid, 400, "POST /v1/reservations/verdict", v1.VerdictRequest{Reservations: []v1.ReservationRequest{hold(id, proto.Standard, 1)}})
	}
	ok[v1.ReservationsReply](w, "POST /v1/reservations", held(hold("m-1/host-c/1", proto.Standard, 1)))
}

func TestReservationsAreHeldAllOrNothing(t *testing.T) {
	w := newWorld(t)
	far := hold("", proto.Standard, 700)
	near := hold("", proto.Standard, 700)
	near.Host = "host-a"
	e := w.fails(v1.CodeRefused, 422, "POST /v1/reservations", held(near, far))
	var d v1.ErrorDetail
	if err := json.Unmarshal(e.Detail, &d); err != nil || d.Shortfall == nil || d.Shortfall.Host != "host-b" || d.Shortfall.Missing != 100 || !strings.Contains(e.Remedy, "host calendar host-b") {
		t.Fatalf("%v %+v", err, e)
	}
	if n := w.View().Ledger().Len(); n != 0 {
		t.Fatalf("%d reservations are held", n)
	}
	far.Host = "host-c"
	key := ulid.Make().String()
	first := ok[v1.ReservationsReply](w, "POST /v1/reservations", held(near, far), v1.HeaderKey, key)
	again := ok[v1.ReservationsReply](w, "POST /v1/reservations", held(near, far), v1.HeaderKey, key)
	if len(first.Reservations) != 2 || len(again.Reservations) != 2 || w.View().Ledger().Len() != 2 || first.Reservations[1].ID != again.Reservations[1].ID {
		t.Fatalf("%+v\n%+v", first, again)
	}
}

func TestAReleaseThatIsSentAgainIsAnsweredAsBefore(t *testing.T) {
	w := newWorld(t)
	ok[v1.ReservationsReply](w, "POST /v1/reservations", held(hold("x", "", 100), hold("y", "", 100)))
	key := ulid.Make().String()
	ok[v1.Empty](w, "DELETE /v1/reservations/x", nil, v1.HeaderKey, key)
	before := w.View()
	if _, there := before.Reservation("x"); there {
		t.Fatal("x is there")
	}
	ok[v1.Empty](w, "DELETE /v1/reservations/x", nil, v1.HeaderKey, key)
	if rows := state.Difference(before, w.View()); len(rows) > 0 {
		t.Errorf("a request that was sent again changed %v", rows)
	}
	w.fails(v1.CodeNotFound, 404, "DELETE /v1/reservations/x", nil)
	// What has its name by then is another one.
	ok[v1.ReservationsReply](w, "POST /v1/reservations", held(hold("x", "", 200)))
	ok[v1.Empty](w, "DELETE /v1/reservations/x", nil, v1.HeaderKey, key)
	if r, there := w.View().Reservation("x"); !there || r.Envelope[0].Firm[resource.CPU] != 200 {
		t.Errorf("%+v", r)
	}
}

func TestWhoYieldsIsSaidBeforeAndDoneOnlyWhenAsked(t *testing.T) {
	w := newWorld(t)
	low, high := hold("low", proto.BestEffort, 500), hold("high", proto.Standard, 400)
	low.Floor = resource.Vector{resource.CPU: 100}
	ok[v1.ReservationsReply](w, "POST /v1/reservations", held(low))
	before := w.View()
	v := ok[v1.Verdict](w, "POST /v1/reservations/verdict", v1.VerdictRequest{Reservations: []v1.ReservationRequest{high}})
	if v.Fits || !v.Squeezed || len(v.Yields) != 1 || v.Yields[0].ID != "low" || v.Yields[0].For != "high" || v.Harm == 0 || v.Hosts[0].Tightest.Free != -300 {
		t.Fatalf("%+v", v)
	}
	if e := w.fails(v1.CodeRefused, 422, "POST /v1/reservations", held(high)); !strings.Contains(e.Remedy, "reservation low (besteffort) gives way by up to 300m of cpu") {
		t.Error(e)
	}
	if rows := state.Difference(before, w.View()); len(rows) > 0 {
		t.Fatalf("asking changed %v", rows)
	}
	got := ok[v1.ReservationsReply](w, "POST /v1/reservations", v1.ReservationsRequest{Reservations: []v1.ReservationRequest{high}, Squeeze: true})
	if len(got.Yields) != 1 || got.Yields[0].Envelope[0].Firm[resource.CPU] != 200 {
		t.Fatalf("%+v", got)
	}
	if r := ok[proto.Reservation](w, "GET /v1/reservations/low", nil); r.Squeezed == nil || r.Squeezed.For != "high" {
		t.Fatalf("%+v", r)
	}
	// Nobody falls below his floor, and nobody yields to his own class.
	more := hold("more", proto.Standard, 200)
	v = ok[v1.Verdict](w, "POST /v1/reservations/verdict", v1.VerdictRequest{Reservations: []v1.ReservationRequest{more}})
	if v.Fits || v.Squeezed || v.Short == nil || v.Short.Missing != 100 || len(v.Yields) != 0 {
		t.Fatalf("%+v", v)
	}
	w.fails(v1.CodeRefused, 422, "POST /v1/reservations", v1.ReservationsRequest{Reservations: []v1.ReservationRequest{more}, Squeeze: true})
	v = ok[v1.Verdict](w, "POST /v1/reservations/verdict", v1.VerdictRequest{Release: []string{"high"}, Reservations: []v1.ReservationRequest{more}})
	if !v.Fits || len(v.Says) < 3 {
		t.Fatalf("%+v", v)
	}
}

func TestWhoYieldedIsAskedOnceHoweverOftenARequestIsSent(t *testing.T) {
	w := newWorld(t)
	low := hold("low", proto.BestEffort, 500)
	ok[v1.ReservationsReply](w, "POST /v1/reservations", held(low))
	for _, id := range []string{"high", ""} { // of its own name, and of none
		ask, key := v1.ReservationsRequest{Reservations: []v1.ReservationRequest{hold(id, proto.Standard, 200)}, Squeeze: true}, ulid.Make().String()
		first := ok[v1.ReservationsReply](w, "POST /v1/reservations", ask, v1.HeaderKey, key)
		before := w.View()
		for began := first.Reservations[0].Envelope[0].Start; timeline.Of(time.Now()) == began; {
			// It is held from now on, which is another time by then.
		}
		again := ok[v1.ReservationsReply](w, "POST /v1/reservations", ask, v1.HeaderKey, key)
		if len(first.Yields) != 1 || len(again.Reservations) != 1 || first.Reservations[0].ID != again.Reservations[0].ID {
			t.Errorf("%+v\n%+v", first, again)
		}
		if rows := state.Difference(before, w.View()); len(rows) > 0 {
			t.Errorf("a request that was sent again changed %v", rows)
		}
	}
	// What somebody else holds is not.
	w.fails(v1.CodeConflict, 409, "POST /v1/reservations", v1.ReservationsRequest{Reservations: []v1.ReservationRequest{hold("high", proto.Standard, 1)}, Squeeze: true})
}

func TestAReservationThatCantBeMeantNamesItsStep(t *testing.T) {
	w := newWorld(t)
	step := func(from, to time.Duration) proto.Segment {
		return proto.Segment{Span: timeline.Span{Start: later(from), End: later(to)}, Firm: resource.Vector{resource.CPU: 1}}
	}
	const day = 24 * time.Hour
	for name, c := range map[string]struct {
		steps proto.Envelope
		at    int
		fault timeline.StepFault
	}{
		"a gap":               {proto.Envelope{step(0, time.Hour), step(2*time.Hour, 3*time.Hour)}, 1, timeline.FaultGap},
		"an overlap":          {proto.Envelope{step(0, time.Hour), step(time.Hour/2, 3*time.Hour)}, 1, timeline.FaultOverlap},
		"out of order":        {proto.Envelope{step(3*time.Hour, 4*time.Hour), step(time.Hour, 2*time.Hour)}, 1, timeline.FaultOrder},
		"an end before start": {proto.Envelope{step(0, time.Hour), step(time.Hour, time.Hour/2)}, 1, timeline.FaultReversed},
		"no length":           {proto.Envelope{step(time.Hour, time.Hour)}, 0, timeline.FaultEmpty},
		"over":                {proto.Envelope{step(-2*time.Hour, -time.Hour)}, 0, timeline.FaultPast},
		"begun":               {proto.Envelope{step(-2*time.Hour, time.Hour)}, 0, timeline.FaultPast},
		"another year":        {proto.Envelope{step(365*2*day, 365*2*day+time.Hour)}, 0, timeline.FaultHorizon},
		"too long":            {proto.Envelope{step(0, 365*2*day)}, 0, timeline.FaultHorizon},
		"before time":         {proto.Envelope{{Span: timeline.Span{Start: -5, End: later(0)}}}, 0, timeline.FaultOutside},
		"pooled memory":       {proto.Envelope{{Span: step(0, time.Hour).Span, Mean: resource.Vector{resource.Memory: 1}}}, 0, timeline.FaultPooled},
	} {
		e := w.fails(v1.CodeInvalid, 400, "POST /v1/reservations", held(v1.ReservationRequest{ID: "x", Host: "host-a", Envelope: c.steps}))
		var d v1.ErrorDetail
		if err := json.Unmarshal(e.Detail, &d); err != nil || d.Step == nil || d.Step.Step != c.at || d.Step.Fault != c.fault || !strings.Contains(e.Message, "reservation x: segment") {
			t.Errorf("%s: %v %+v, %s", name, err, e, e.Detail)
		}
	}
	const good = `{"start":0,"end":%d,"firm":{"cpu_millicores":1}}`
	for name, c := range map[string]struct{ amounts, says string }{
		"negative":               {`"firm":{"cpu_millicores":-1}`, "firm: cpu is negative: -1"},
		"too large":              {`"firm":{"cpu_millicores":1},"sigma_own":{"net_tx_bits_s":4611686018427387904}`, "own deviation: net_tx is too large"},
		"no whole number":        {`"mean":{"read_iops":0.5}`, "mean: resources: want an object of whole numbers"},
		"more than any integer":  {`"sigma_common":{"read_iops":1e300}`, "common deviation: resources: want an object of whole numbers"},
		"of what is no resource": {`"firm":{"cpu":1}`, `firm: "cpu" is no resource`},
	} {
		for request, want := range map[string]struct{ route, named, what string }{
			"a hold":    {"POST /v1/reservations", `"id":"x",`, "reservation x"},
			"a verdict": {"POST /v1/reservations/verdict", "", "reservation 2, on host-b"},
		} {
			body := fmt.Sprintf(`{"reservations":[{"host":"host-a","envelope":[`+good+`]},{%s"host":"host-b","envelope":[`+good+`,{"start":%d,"end":0,%s}],"until":%d}]}`,
				later(time.Hour), want.named, later(time.Hour), later(time.Hour), c.amounts, later(2*time.Hour))
			e := w.fails(v1.CodeInvalid, 400, want.route, body)
			var d v1.ErrorDetail
			if err := json.Unmarshal(e.Detail, &d); err != nil || d.Step == nil || d.Step.Step != 1 || d.Step.Fault != timeline.FaultAmount ||
				!strings.HasPrefix(e.Message, want.what+": segment 1 ["+later(time.Hour).String()) || !strings.Contains(e.Message, c.says) {
				t.Errorf("%s, %s: %v %+v, %s", request, name, err, e, e.Detail)
			}
		}
	}
	gap := v1.ReservationRequest{Host: "host-a", Envelope: proto.Envelope{step(0, time.Hour), step(2*time.Hour, 3*time.Hour)}, Gaps: true}
	ok[v1.ReservationsReply](w, "POST /v1/reservations", held(gap))
	for says, in := range map[string]any{
		"has no end":            v1.ReservationRequest{Host: "host-a", Envelope: proto.Envelope{{Firm: resource.Vector{resource.CPU: 1}}}},
		"which is over":         v1.ReservationRequest{Host: "host-a", Envelope: proto.Envelope{step(0, time.Hour)}, Until: later(-time.Hour)},
		"the envelope is empty": v1.ReservationRequest{Host: "host-a"},
		"none of critical":      v1.ReservationRequest{Host: "host-a", Class: "low", Envelope: proto.Envelope{step(0, time.Hour)}},
		"is no identifier":      v1.ReservationRequest{ID: "a b", Host: "host-a"},
	} {
		if e := w.fails(v1.CodeInvalid, 400, "POST /v1/reservations", map[string]any{"reservations": []any{in}}); !strings.Contains(e.Message, says) {
			t.Errorf("%q: %s", says, e.Message)
		}
	}
	w.fails(v1.CodeNotFound, 404, "POST /v1/reservations", held(v1.ReservationRequest{Host: "host-z", Envelope: proto.Envelope{step(0, time.Hour)}}))
	w.fails(v1.CodeInvalid, 400, "POST /v1/reservations", held(hold("x", "", 1), hold("x", "", 1)))
	w.fails(v1.CodeInvalid, 400, "POST /v1/reservations", held())
	w.fails(v1.CodeInvalid, 400, "POST /v1/reservations/verdict", v1.VerdictRequest{})
	w.fails(v1.CodeInvalid, 400, "POST /v1/reservations", `{"reservations":[{"host":"host-a","envelope":[{"start":0,"end":0,"firm":{"cpu_millicores":-1}}]}]}`)
}
