package agent

import (
	"path/filepath"
	"testing"

	"github.com/glidepath/glidepath/agent/fence"
	"github.com/glidepath/glidepath/agent/pilot"
	"github.com/glidepath/glidepath/agent/session"
	"github.com/glidepath/glidepath/internal/durable"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/proto"
)

// The coordinators are restored from a backup that is older than the move which brought cache-1 here.
func TestWhatThisHostOwnsGoesOnUnderDocumentsThatDontSpeakOfIt(t *testing.T) {
	documents, err := session.OpenDocuments(durable.OS{}, filepath.Join(t.TempDir(), "document"), func(stored, incoming proto.Document) error {
		return pilot.Accept("host-b", stored, incoming)
	})
	if err != nil {
		t.Fatal(err)
	}
	records := map[string]fence.Record{
		"cache-1": {State: proto.FenceOwner, Token: fence.Token{Incarnation: 1, Fence: 9}},
		"given":   {State: proto.FenceRetired, Token: fence.Token{Incarnation: 1, Fence: 9}},
		"left":    {State: proto.FenceOwner, Token: fence.Token{Incarnation: 2, Fence: 3}}, // decided on since
	}
	s := services{documents: documents, record: func(instance string) fence.Record { return records[instance] }}
	schedule := func(name string) proto.InstanceSchedule {
		return proto.InstanceSchedule{Instance: name, Fence: 9, Safe: resource.Uniform(7), Max: resource.Uniform(50)}
	}
	follow := func(incarnation, revision uint64, names ...string) []proto.InstanceSchedule {
		t.Helper()
		d := proto.Document{Host: "host-b", Version: proto.DocumentVersion{Incarnation: incarnation, Revision: revision}}
		for _, name := range names {
			d.Instances = append(d.Instances, schedule(name))
		}
		if v, err := s.follow(d); err != nil || v != d.Version {
			t.Fatalf("%v, %v", v, err)
		}
		now, _ := documents.Current()
		return now.Instances
	}
	follow(1, 5, "cache-1", "given", "left")
	for revision := range uint64(2) {
		if got := follow(2, revision, "web"); len(got) != 2 || got[0].Instance != "cache-1" || got[1].Instance != "web" {
			t.Fatalf("%+v", got)
		}
	}
	document, _ := documents.Current()
	held := granted([]proto.Holding{{Instance: "cache-1"}, {Instance: "given"}}, document)
	if held[0].Granted != resource.Uniform(7) || !held[1].Granted.IsZero() {
		t.Errorf("%+v", held)
	}
	records["cache-1"] = fence.Record{State: proto.FenceOwner, Token: fence.Token{Incarnation: 2, Fence: 4}} // adopted again
	if got := follow(2, 2, "cache-1", "web"); len(got) != 2 {
		t.Errorf("%+v", got)
	}
	records["cache-1"] = fence.Record{Token: fence.Token{Incarnation: 2, Fence: 4}} // released
	if got := follow(2, 3, "web"); len(got) != 1 {
		t.Errorf("%+v", got)
	}
}
