package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/internal/config"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

var noon = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)

// asks reads what a file asks for at noon.
func asks(text []byte) ([]v1.ReservationRequest, error) {
	all, err := config.DecodeAll[reservationFile](bytes.NewReader(text), "in")
	if err != nil {
		return nil, err
	}
	var out []v1.ReservationRequest
	for _, f := range all {
		in, err := f.request(noon)
		if err != nil {
			return nil, err
		}
		out = append(out, in)
	}
	return out, nil
}

func TestStepsOfAFileFollowEachOther(t *testing.T) {
	const hour = 3_600_000
	now := timeline.Of(noon)
	for name, c := range map[string]struct {
		steps string
		want  []timeline.Span
	}{
		"to each":                  {"[{to: +1h}, {to: +2h}]", []timeline.Span{{Start: 0, End: now + hour}, {Start: now + hour, End: now + 2*hour}}},
		"from each":                {"[{from: now}, {from: +1h}]", []timeline.Span{{Start: 0, End: now + hour}, {Start: now + hour, End: timeline.Forever}}},
		"a beginning that is said": {"[{from: +1h}]", []timeline.Span{{Start: now + hour, End: timeline.Forever}}},
		"at a time":                {"[{from: 2026-12-01T13:00Z, to: 2026-12-01T14:00:00Z}]", []timeline.Span{{Start: now + hour, End: now + 2*hour}}},
	} {
		got, err := asks([]byte("host: a\nsteps: " + c.steps))
		if err != nil || len(got) != 1 || len(got[0].Envelope) != len(c.want) {
			t.Errorf("%s: %+v, %v", name, got, err)
			continue
		}
		for i, want := range c.want {
			if got[0].Envelope[i].Span != want {
				t.Errorf("%s: segment %d is %s, want %s", name, i, got[0].Envelope[i].Span, want)
			}
		}
	}
}

// FuzzReservationFile holds that whatever a file says, what is read of it can be asked for.
func FuzzReservationFile(f *testing.F) {
	for _, s := range []string{
		"host: a\nsteps: [{to: +1h, firm: {cpu: 1}}]",
		"host: a\ngaps: true\nsteps: [{to: +1h, firm: {cpu: 1}}, {from: +2h, mean: {cpu: NaN}}]",
		"host: a\nclass: critical\nuntil: +2h\nsteps: [{firm: {memory: 1GiB}}, {from: -1h, to: now}]",
		"host: a\nsteps: [{from: 9999-12-31T23:59:59Z, to: 0001-01-01T00:00Z}]\n---\nhost: b\nsteps: [{from: +2562047h, to: -2562047h}]",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		list, err := asks(text)
		if err != nil {
			return
		}
		for _, in := range list {
			e := in.Envelope
			if e[0].Start == 0 {
				e[0].Start = timeline.Of(noon)
			}
			class := in.Class
			if class == "" {
				class = proto.Standard
			}
			if err := e.Askable(class, timeline.Of(noon), in.Gaps); err != nil {
				t.Fatalf("%q was read, and can't be asked for: %v", text, err)
			}
		}
	})
}
