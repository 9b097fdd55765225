package session

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"github.com/glidepath/glidepath/internal/durable"
	"github.com/glidepath/glidepath/internal/wire"
	"github.com/glidepath/glidepath/proto"
)

// maxDocument bounds a stored document, in bytes; one message can't bring more.
const maxDocument = wire.DefaultMaxMessage

// Documents keeps the document that this host follows, on disk before it is acknowledged. Its methods may be called
// concurrently.
type Documents struct {
	fsys    durable.FS
	path    string
	accept  func(stored, incoming proto.Document) error
	changed chan struct{}

	mu      sync.Mutex
	current proto.Document
}

// OpenDocuments reads the document stored at path, if there is one. accept judges every document that comes in
// against the one that is stored, the first against an empty one.
func OpenDocuments(fsys durable.FS, path string, accept func(stored, incoming proto.Document) error) (*Documents, error) {
	d := &Documents{fsys: fsys, path: path, accept: accept, changed: make(chan struct{}, 1)}
	b, err := durable.ReadFile(fsys, path, maxDocument)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("stored document: %w", err)
	default:
		if err := proto.Unmarshal(b, &d.current); err != nil {
			return nil, fmt.Errorf("stored document %s: %w; move it away, the coordinators send a new one", path, err)
		}
	}
	return d, nil
}

// Current returns the document in force, and false if there has never been one. It must not be changed.
func (d *Documents) Current() (proto.Document, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.current, d.current.Version != proto.DocumentVersion{}
}

// Put stores an incoming document and returns the version that is stored then. One that is not newer changes nothing,
// which is no error: it was sent twice, or it is late.
func (d *Documents) Put(incoming proto.Document) (proto.DocumentVersion, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !incoming.Version.Newer(d.current.Version) {
		return d.current.Version, nil
	}
	if err := d.accept(d.current, incoming); err != nil {
		return d.current.Version, wire.Errorf(wire.Refused, "document %d of incarnation %d: %w", incoming.Version.Revision, incoming.Version.Incarnation, err)
	}
	b, err := proto.Marshal(incoming)
	if err != nil {
		return d.current.Version, err
	}
	if err := durable.WriteFile(d.fsys, d.path, b, 0o600); err != nil {
		return d.current.Version, fmt.Errorf("store the document: %w", err)
	}
	d.current = incoming
	select {
	case d.changed <- struct{}{}:
	default:
	}
	return d.current.Version, nil
}

// Changed is sent to when a document was stored since the last receive. It has one reader.
func (d *Documents) Changed() <-chan struct{} { return d.changed }
