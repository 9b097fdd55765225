package session

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/glidepath/glidepath/internal/durable"
	"github.com/glidepath/glidepath/internal/wire"
	"github.com/glidepath/glidepath/proto"
)

func anyDocument(_, _ proto.Document) error { return nil }

func doc(incarnation, revision uint64) proto.Document {
	return proto.Document{Host: "host-a", Version: proto.DocumentVersion{Incarnation: incarnation, Revision: revision}}
}

func TestADocumentIsStoredBeforeItIsAcknowledgedAndSurvivesARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "document")
	d, err := OpenDocuments(durable.OS{}, path, anyDocument)
	if err != nil {
		t.Fatal(err)
	}
	if _, there := d.Current(); there {
		t.Fatal("a document before the first")
	}
	for _, c := range []struct{ put, want proto.Document }{
		{doc(1, 5), doc(1, 5)}, {doc(1, 4), doc(1, 5)}, {doc(1, 5), doc(1, 5)}, {doc(2, 1), doc(2, 1)}, {doc(1, 9), doc(2, 1)},
	} {
		if v, err := d.Put(c.put); err != nil || v != c.want.Version {
			t.Errorf("put %v: stored %v, %v", c.put.Version, v, err)
		}
	}
	<-d.Changed()
	again, err := OpenDocuments(durable.OS{}, path, anyDocument)
	if err != nil {
		t.Fatal(err)
	}
	if got, there := again.Current(); !there || got.Version != doc(2, 1).Version {
		t.Fatalf("%v, %v", got.Version, there)
	}
}

func TestARefusedDocumentLeavesTheStoredOneInForce(t *testing.T) {
	d, err := OpenDocuments(durable.OS{}, filepath.Join(t.TempDir(), "document"), func(_, in proto.Document) error {
		if in.Version.Revision == 2 {
			return errors.New("floor above safe")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Put(doc(1, 1)); err != nil {
		t.Fatal(err)
	}
	if v, err := d.Put(doc(1, 2)); wire.CodeOf(err) != wire.Refused || v.Revision != 1 {
		t.Fatalf("%v, %v", v, err)
	}
	if got, _ := d.Current(); got.Version.Revision != 1 {
		t.Fatal(got.Version)
	}
}
