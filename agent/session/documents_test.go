package session

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/glidepath/glidepath/internal/durable"
	"github.com/glidepath/glidepath/internal/durable/crashfs"
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

func TestADocumentThatCannotBeStoredLeavesTheOldOneInForce(t *testing.T) {
	disk := crashfs.New()
	d, err := OpenDocuments(disk, "/var/document", anyDocument)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Put(doc(1, 1)); err != nil {
		t.Fatal(err)
	}
	disk.SetSpace(5)
	if v, err := d.Put(doc(1, 2)); !errors.Is(err, syscall.ENOSPC) || v.Revision != 1 || !strings.Contains(err.Error(), "free space") {
		t.Errorf("full disk: stored %v, %v", v, err)
	}
	disk.SetSpace(-1)
	again, err := OpenDocuments(disk, "/var/document", anyDocument)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := again.Current(); got.Version.Revision != 1 {
		t.Errorf("after a restart: %v", got.Version)
	}
	if v, err := d.Put(doc(1, 2)); err != nil || v.Revision != 2 {
		t.Errorf("once there is space: stored %v, %v", v, err)
	}
}

func TestADocumentThatWasCutIsNamedWithWhatToDo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "document")
	d, err := OpenDocuments(durable.OS{}, path, anyDocument)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Put(doc(1, 1)); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, info.Size()-1); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenDocuments(durable.OS{}, path, anyDocument); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "move it away") {
		t.Errorf("%v", err)
	}
}
