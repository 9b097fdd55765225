package proto

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

const askedAt = timeline.Time(1_700_000_000_000)

func asked(spans ...timeline.Span) Envelope {
	var e Envelope
	for _, s := range spans {
		e = append(e, Segment{Span: timeline.Span{Start: askedAt + s.Start, End: min(askedAt+s.End, timeline.Forever)}, Firm: resource.Uniform(1)})
	}
	return e
}

func TestFaultsOfEnvelopesNameTheirSegment(t *testing.T) {
	const day = timeline.Time(86_400_000)
	amount := func(v int64) Envelope {
		e := asked(timeline.Span{Start: 0, End: 10}, timeline.Span{Start: 10, End: 20})
		e[1].Own[resource.NetTx] = v
		return e
	}
	pooled := asked(timeline.Span{Start: 0, End: 10}, timeline.Span{Start: 10, End: timeline.Forever})
	pooled[1].Mean[resource.Memory] = 1
	for name, c := range map[string]struct {
		e     Envelope
		class Class
		gaps  bool
		step  int
		fault timeline.StepFault
		says  string
		valid bool // only nobody can ask for it
	}{
		"one segment":         {e: asked(timeline.Span{Start: 0, End: 10}), step: -1},
		"a gap that is meant": {e: asked(timeline.Span{Start: 0, End: 10}, timeline.Span{Start: 11, End: 20}), gaps: true, step: -1},
		"a gap":               {e: asked(timeline.Span{Start: 0, End: 10}, timeline.Span{Start: 11, End: 20}), step: 1, fault: timeline.FaultGap, says: "close the gap", valid: true},
		"empty":               {e: asked(timeline.Span{Start: 0, End: 10}, timeline.Span{Start: 10, End: 10}), step: 1, fault: timeline.FaultEmpty, says: "is empty"},
		"end before start":    {e: asked(timeline.Span{Start: 10, End: 5}), step: 0, fault: timeline.FaultReversed, says: "is empty"},
		"overlap":             {e: asked(timeline.Span{Start: 0, End: 10}, timeline.Span{Start: 9, End: 20}), step: 1, fault: timeline.FaultOverlap, says: "begins before segment 0 ends"},
		"out of order":        {e: asked(timeline.Span{Start: 20, End: 30}, timeline.Span{Start: 5, End: 20}), step: 1, fault: timeline.FaultOrder, says: "begins before segment 0 ends"},
		"before the epoch":    {e: asked(timeline.Span{Start: -askedAt - 1, End: 10}), step: 0, fault: timeline.FaultOutside, says: "outside the time"},
		"negative":            {e: amount(-1), step: 1, fault: timeline.FaultAmount, says: "own deviation: net_tx is negative"},
		"too large":           {e: amount(resource.Unlimited + 1), step: 1, fault: timeline.FaultAmount, says: "too large"},
		"pooled memory":       {e: pooled, step: 1, fault: timeline.FaultPooled, says: "memory is pooled"},
		"pooled critical":     {e: amount(1), class: Critical, step: 1, fault: timeline.FaultPooled, says: "a critical instance is pooled"},
		"past":                {e: asked(timeline.Span{Start: -20, End: 0}, timeline.Span{Start: 0, End: 10}), step: 0, fault: timeline.FaultPast, says: "it is over", valid: true},
		"begun":               {e: asked(timeline.Span{Start: -1, End: 10}), step: 0, fault: timeline.FaultPast, says: "it begins before", valid: true},
		"far ahead":           {e: asked(timeline.Span{Start: 401 * day, End: 402 * day}), step: 0, fault: timeline.FaultHorizon, says: "begins more than 400 days", valid: true},
		"far end":             {e: asked(timeline.Span{Start: 0, End: 10}, timeline.Span{Start: 10, End: 401 * day}), step: 1, fault: timeline.FaultHorizon, says: "ends more than 400 days", valid: true},
		"open end":            {e: asked(timeline.Span{Start: 400 * day, End: timeline.Forever}), step: -1},
	} {
		if c.class == "" {
			c.class = Standard
		}
		err := c.e.Askable(c.class, askedAt, c.gaps)
		if c.step < 0 {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		var s *StepError
		if !errors.As(err, &s) || s.Step != c.step || s.Fault != c.fault || s.Span != c.e[c.step].Span || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v (%+v), want segment %d with fault %q and %q", name, err, s, c.step, c.fault, c.says)
		}
		if valid := c.e.Valid(c.class) == nil; valid != c.valid {
			t.Errorf("%s: valid %v, want %v", name, valid, c.valid)
		}
	}
	if err := (Envelope{}).Askable(Standard, askedAt, true); err == nil || !strings.Contains(err.Error(), "empty") {
		t.Errorf("nothing was asked for: %v", err)
	}
}

// FuzzEnvelope asks of every envelope that bytes can make whether it is valid, beside rules that are written down another way.
func FuzzEnvelope(f *testing.F) {
	f.Add([]byte{1, 0, 10, 5, 0, 10, 10, 5}, true, true)
	f.Add([]byte{1, 0, 10, 5, 0, 20, 10, 5}, true, false)
	f.Add([]byte{1, 30, 10, 5, 0, 0, 200, 5}, false, false)
	f.Add([]byte{2, 255, 255, 255, 255}, false, true)
	f.Fuzz(func(t *testing.T, b []byte, critical, gaps bool) {
		class := Standard
		if critical {
			class = Critical
		}
		var e Envelope
		for i := 0; i+4 <= len(b) && len(e) < MaxSegments+2; i += 4 {
			// Mostly near askedAt, at times far from everything.
			far := timeline.Time(binary.BigEndian.Uint32(b[i:])%7) * 86_400_000 * 100
			s := Segment{Span: timeline.Span{Start: askedAt + timeline.Time(int8(b[i])) + far, End: askedAt + timeline.Time(int8(b[i]))*2 + timeline.Time(b[i+1]) + far}}
			s.Firm[b[i+2]%resource.Kinds] = int64(int8(b[i+2])) << (b[i+3] % 60)
			if b[i+3]&64 != 0 {
				s.Mean[b[i+3]%resource.Kinds] = int64(b[i+2])
			}
			e = append(e, s)
		}
		err := e.Valid(class)
		bad := faulty(e, class)
		var s *StepError
		switch {
		case len(e) == 0 || len(e) > MaxSegments:
			if err == nil || errors.As(err, &s) {
				t.Fatalf("%d segments: %v", len(e), err)
			}
		case bad < 0:
			if err != nil {
				t.Fatalf("%v: %v", e, err)
			}
		case !errors.As(err, &s) || s.Step != bad || s.Span != e[bad].Span || s.Fault == "":
			t.Fatalf("%v: %v, want the fault of segment %d", e, err, bad)
		}
		if askable := e.Askable(class, askedAt, gaps); askable == nil {
			for i, s := range e {
				if err != nil || s.Start < askedAt || s.Start > askedAt.Add(MaxAhead) || !gaps && i > 0 && s.Start != e[i-1].End {
					t.Fatalf("%v: segment %d can't be meant", e, i)
				}
			}
		} else if err != nil && askable.Error() != err.Error() {
			t.Fatalf("%v, but asked for: %v", err, askable)
		}
	})
}

// faulty returns the first segment that is not valid; -1 where all are.
func faulty(e Envelope, c Class) int {
	for i, s := range e {
		ok := 0 <= s.Start && s.Start < s.End && s.End <= timeline.Forever && (i == 0 || e[i-1].End <= s.Start)
		for k := range resource.Kinds {
			for _, n := range []int64{s.Firm[k], s.Mean[k], s.Own[k], s.Common[k]} {
				ok = ok && n >= 0 && n <= resource.Unlimited
			}
			pooled := s.Mean[k] + s.Own[k] + s.Common[k]
			ok = ok && s.Firm[k]+s.Mean[k] <= resource.Unlimited && (pooled == 0 || c != Critical && resource.Kind(k).Poolable())
		}
		if !ok {
			return i
		}
	}
	return -1
}
