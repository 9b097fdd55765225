package proto

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

// plainSegment is a Segment that the codec knows by reflection only.
type plainSegment Segment

func TestSegmentsAreWrittenAndReadAsByReflection(t *testing.T) {
	amounts := rapid.Custom(func(t *rapid.T) (v resource.Vector) {
		if rapid.Bool().Draw(t, "none") {
			return v
		}
		for k := range v {
			v[k] = rapid.OneOf(rapid.Int64Range(-200, 300), rapid.Int64()).Draw(t, "amount")
		}
		return v
	})
	times := rapid.OneOf(rapid.Just(int64(0)), rapid.Int64())
	segments := rapid.Custom(func(t *rapid.T) Segment {
		return Segment{
			Span: timeline.Span{Start: timeline.Time(times.Draw(t, "start")), End: timeline.Time(times.Draw(t, "end"))},
			Firm: amounts.Draw(t, "firm"), Mean: amounts.Draw(t, "mean"), Own: amounts.Draw(t, "own"), Common: amounts.Draw(t, "common"),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		e := Envelope(rapid.SliceOfN(segments, 0, MaxSegments+1).Draw(t, "envelope"))
		ours, err := Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		var plain []plainSegment
		for _, s := range e {
			plain = append(plain, plainSegment(s))
		}
		if e != nil && plain == nil {
			plain = []plainSegment{}
		}
		theirs, err := Marshal(plain)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(ours, theirs) {
			t.Fatalf("%+v is %x, by reflection %x", e, ours, theirs)
		}
		var got Envelope
		if err := Unmarshal(theirs, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(e, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestASegmentOfAnotherVersionIsReadAsFarAsItIsKnown(t *testing.T) {
	newer := struct {
		Start int64   `msgpack:"s"`
		Later []any   `msgpack:"zz"`
		Firm  []int64 `msgpack:"f"`
	}{5, []any{1, "x", map[string]int{"y": 2}}, []int64{7, 8}}
	b, err := Marshal(newer)
	if err != nil {
		t.Fatal(err)
	}
	var got Segment
	if err := Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	want := Segment{Span: timeline.Span{Start: 5}, Firm: resource.Vector{7, 8}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	newer.Firm = make([]int64, resource.Kinds+1)
	if b, err = Marshal(newer); err != nil {
		t.Fatal(err)
	}
	if err := Unmarshal(b, &got); err == nil {
		t.Error("more amounts than resources were read")
	}
}
