package fence

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/glidepath/glidepath/internal/durable"
	"github.com/glidepath/glidepath/proto"
)

const (
	suffix        = ".json"
	maxRecordSize = 1 << 20
	maxNameLen    = 63
)

// Store makes the changes of records durable, one file each in a directory of their own. Its methods may be called concurrently.
type Store struct {
	fsys durable.FS
	dir  string

	mu      sync.Mutex
	records map[string]Record // as on the disk
	unsure  map[string]bool   // a write failed: read the file again before believing the record
}

// Open reads all records in dir, which must exist, and removes what a crash left of unfinished writes. A record that
// can't be read is an error: nothing may be decided for an instance whose owner is not known.
func Open(fsys durable.FS, dir string) (*Store, error) {
	if _, err := durable.Sweep(fsys, dir); err != nil {
		return nil, fmt.Errorf("open ownership records: %w", err)
	}
	s := &Store{fsys: fsys, dir: dir, records: map[string]Record{}, unsure: map[string]bool{}}
	names, err := fsys.List(dir)
	if err != nil {
		return nil, fmt.Errorf("open ownership records: %w", err)
	}
	for _, name := range names {
		if !isRecord(name) {
			continue
		}
		r, err := read(fsys, filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		s.records[r.Instance] = r
	}
	return s, nil
}

// Get returns the record of an instance; the zero Record if there is none.
func (s *Store) Get(instance string) Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.records[instance].clone()
}

// List returns all records but those of instances that this host no longer has anything to do with, sorted by instance.
func (s *Store) List() []Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Record
	for _, r := range s.records {
		if r.State != proto.FenceNone {
			out = append(out, r.clone())
		}
	}
	slices.SortFunc(out, func(a, b Record) int { return strings.Compare(a.Instance, b.Instance) })
	return out
}

// Change replaces the record of an instance by what transition makes of it, and returns the new record once it is on the disk.
// On an error the record is as before, or, when the disk failed, is as the next call finds it there.
func (s *Store) Change(instance string, transition func(Record) (Record, error)) (Record, error) {
	if err := CheckName(instance); err != nil {
		return Record{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.reread(instance); err != nil {
		return Record{}, err
	}
	old := s.records[instance]
	next, err := transition(old.clone())
	if err != nil {
		return old.clone(), err
	}
	if reflect.DeepEqual(old, next) {
		return next, nil
	}
	if next.Instance != instance {
		return old.clone(), fmt.Errorf("change the ownership record of %s: the transition returned one of %q", instance, next.Instance)
	}
	data, err := json.MarshalIndent(next, "", "  ")
	if err != nil {
		return old.clone(), fmt.Errorf("encode the ownership record of %s: %w", instance, err)
	}
	if err := durable.WriteFile(s.fsys, s.path(instance), append(data, '\n'), 0o600); err != nil {
		s.unsure[instance] = true
		return old.clone(), fmt.Errorf("change the ownership record of %s: %w", instance, err)
	}
	s.records[instance] = next.clone()
	return next, nil
}

// Recover applies Record.Recover to every record and returns those that changed.
func (s *Store) Recover(now Moment) ([]Record, error) {
	var changed []Record
	for _, r := range s.List() {
		before := r.State
		after, err := s.Change(r.Instance, func(r Record) (Record, error) { return r.Recover(now), nil })
		if err != nil {
			return changed, err
		}
		if after.State != before {
			changed = append(changed, after)
		}
	}
	return changed, nil
}

// reread brings the record of an instance up to what is on the disk after a failed write, and makes it safe there:
// the failed write may have been seen by may-run, and must not vanish in a power cut once something was built on it.
func (s *Store) reread(instance string) error {
	if !s.unsure[instance] {
		return nil
	}
	r, err := read(s.fsys, s.path(instance))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := s.fsys.SyncDir(s.dir); err != nil {
		return fmt.Errorf("make the ownership record of %s safe from a power cut: %w", instance, err)
	}
	s.records[instance] = r
	delete(s.unsure, instance)
	return nil
}

func (s *Store) path(instance string) string { return filepath.Join(s.dir, instance+suffix) }

func (r Record) clone() Record {
	r.Units = slices.Clone(r.Units)
	return r
}

// CheckName refuses an instance's name that is not 1 to 63 letters, digits and dashes: it becomes part of paths and unit names.
func CheckName(instance string) error {
	ok := len(instance) > 0 && len(instance) <= maxNameLen && instance[0] != '-'
	for _, c := range instance {
		ok = ok && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-')
	}
	if !ok {
		return &proto.Fault{Code: proto.FaultRefused, What: fmt.Sprintf("%q is no name of an instance", instance), Remedy: "use letters, digits and -, at most 63"}
	}
	return nil
}

func isRecord(name string) bool {
	return strings.HasSuffix(name, suffix) && CheckName(strings.TrimSuffix(name, suffix)) == nil
}

// read returns the record in a file, refusing one that is damaged, of another instance, or of a newer format.
func read(fsys durable.FS, path string) (Record, error) {
	data, err := durable.ReadFile(fsys, path, maxRecordSize)
	if err != nil {
		return Record{}, fmt.Errorf("read ownership record: %w", err)
	}
	var r Record
	dec := json.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(&r); err != nil {
		return Record{}, fmt.Errorf("ownership record %s is damaged: %w; restore it from a backup, or ask the coordinators who owns the instance before removing it", path, err)
	}
	if r.Version != recordVersion {
		return Record{}, fmt.Errorf("ownership record %s has format %d and this agent knows %d: install the agent's version that wrote it", path, r.Version, recordVersion)
	}
	if r.Instance+suffix != filepath.Base(path) {
		return Record{}, fmt.Errorf("ownership record %s is that of instance %q: it was renamed by hand; put it back", path, r.Instance)
	}
	return r, nil
}
