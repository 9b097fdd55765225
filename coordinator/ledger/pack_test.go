package ledger

import (
	"bytes"
	"testing"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// wild are envelopes with any amounts that are valid, more or less of them alike.
func wild() *rapid.Generator[proto.Envelope] {
	return rapid.Custom(func(t *rapid.T) proto.Envelope {
		amounts := rapid.SampledFrom([]int64{0, 0, 1, 127, 128, 1 << 20, resource.Unlimited / 2, resource.Unlimited})
		e := make(proto.Envelope, rapid.IntRange(1, proto.MaxSegments).Draw(t, "segments"))
		at, alike := timeline.Time(0), rapid.Uint32().Draw(t, "alike")
		for i := range e {
			at += timeline.Time(rapid.SampledFrom([]int64{0, 1, 5000}).Draw(t, "gap"))
			end := at + timeline.Time(rapid.SampledFrom([]int64{1, 300_000, 1 << 40}).Draw(t, "length"))
			e[i].Span = timeline.Span{Start: at, End: end}
			at = end
			for part, v := range parts(&e[i]) {
				for k := range v {
					if i > 0 && alike&(1<<(part*resource.Kinds+k)) != 0 {
						v[k] = parts(&e[0])[part][k]
					} else {
						v[k] = amounts.Draw(t, "amount")
					}
				}
			}
		}
		if rapid.Bool().Draw(t, "open") {
			e[len(e)-1].End = timeline.Forever
		}
		return e
	})
}

func TestWhatIsPackedComesOutAsItWas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e, other := wild().Draw(t, "envelope"), wild().Draw(t, "other")
		b := pack(e)
		got := b.within(nil, always)
		if diff := cmp.Diff(e, got); diff != "" {
			t.Fatal(diff)
		}
		if b.reach() != (timeline.Span{Start: e.Start(), End: e.End()}) {
			t.Fatalf("reaches over %s", b.reach())
		}
		if !bytes.Equal(b, pack(got)) || bytes.Equal(b, pack(other)) != cmp.Equal(e, other) {
			t.Fatal("one envelope, one packing")
		}
		s := timeline.Span{Start: rapid.SampledFrom(e).Draw(t, "from").Start, End: rapid.SampledFrom(e).Draw(t, "to").Start + 1}
		var want proto.Envelope
		for _, g := range e {
			if g.Overlaps(s) {
				want = append(want, g)
			}
		}
		if diff := cmp.Diff(want, b.within(nil, s)); diff != "" {
			t.Fatalf("within %s:\n%s", s, diff)
		}
	})
}
