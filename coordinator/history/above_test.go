package history

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// Whether it was limited or not, demand is compared with what the schedule said then.
func TestDemandIsComparedWithWhatWasScheduledThen(t *testing.T) {
	s := openStore(t, t.TempDir())
	from := hourAgo()
	all := windows("i", from, 40) // demand 1 to 40
	for n := range all {
		scheduled := resource.Uniform(resource.Unlimited)
		scheduled[resource.CPU], scheduled[resource.Memory] = 20, 5
		if n >= 30 { // a step: 31 to 40 of 35
			scheduled[resource.CPU] = 35
		}
		if n < 5 { // nothing was scheduled yet
			scheduled[resource.CPU] = resource.Unlimited
		}
		all[n].Scheduled = scheduled
	}
	appendAll(t, s, append(all[:15:15], all[18:]...)) // three windows are missing
	got, err := s.Above(context.Background(), "i", span(from, 40*RawStep))
	if err != nil {
		t.Fatal(err)
	}
	want := proto.Above{
		Span: timeline.Span{Start: from, End: from.Add(40 * RawStep)},
		Of: []proto.AboveOf{
			{Resource: resource.CPU, Windows: 32, Above: 10 + 5, Most: 10},
			{Resource: resource.Memory, Windows: 37},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	part, err := s.Above(context.Background(), "i", span(from.Add(30*RawStep), 10*RawStep))
	if err != nil || len(part.Of) != 2 || part.Of[0] != (proto.AboveOf{Resource: resource.CPU, Windows: 10, Above: 5, Most: 5}) {
		t.Errorf("%+v %v", part, err)
	}
	none, err := s.Above(context.Background(), "another", span(from, 40*RawStep))
	if err != nil || len(none.Of) != 0 {
		t.Errorf("%+v %v", none, err)
	}
}
