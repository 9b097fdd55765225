package proto

import (
	"errors"
	"testing"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/google/go-cmp/cmp"
)

func document() Document {
	span := timeline.Span{Start: 1_700_000_000_000, End: 1_700_000_300_000}
	return Document{
		Host: "host-a", Version: DocumentVersion{Incarnation: 1, Revision: 7}, IssuedAt: span.Start,
		Headroom: timeline.Flat(span, resource.Uniform(9)),
		Instances: []InstanceSchedule{{
			Instance: "cache-1", Fence: 3, Limited: true, Schedule: timeline.Flat(span, resource.Uniform(100)),
			Spec: InstanceSpec{Name: "cache-1", Driver: "service", Service: &ServiceSpec{Unit: "redis-server.service", Data: []string{"/var/lib/redis"}}, Class: Critical},
		}},
	}
}

func TestWhatIsMarshalledUnmarshalsToTheSame(t *testing.T) {
	want := document()
	b, err := Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got Document
	if err := Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
}

func TestHostileBytesAreRefusedBeforeAnythingIsAllocated(t *testing.T) {
	deep := make([]byte, 100_000)
	for i := range deep {
		deep[i] = 0x91
	}
	for name, b := range map[string][]byte{
		"empty":                   {},
		"array of 4 billion":      {0xdd, 0xff, 0xff, 0xff, 0xff},
		"map of 4 billion":        {0xdf, 0xff, 0xff, 0xff, 0xff},
		"string of 4 billion":     {0xdb, 0xff, 0xff, 0xff, 0xff},
		"field with a huge slice": {0x81, 0xa1, 'i', 0xdd, 0x0f, 0xff, 0xff, 0xff},
		"nested 100,000 deep":     deep,
		"cut":                     {0x82, 0xa1, 'h'},
		"extension":               {0xc7, 0x01, 0x01, 0x00},
		"trailing bytes":          {0x80, 0x80},
		"never used byte":         {0xc1},
	} {
		var d Document
		if err := Unmarshal(b, &d); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
		if n := testing.AllocsPerRun(10, func() { _ = Check(b) }); n > 0 {
			t.Errorf("%s: Check allocates", name)
		}
	}
}
