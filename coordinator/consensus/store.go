package consensus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

var (
	logBucket    = []byte("log")
	stableBucket = []byte("stable")
)

// errNotFound has the text by which raft tells a key that was never set from a failure.
var errNotFound = errors.New("not found")

// Store is raft's log and stable store in one bbolt file. What a method has returned from is on disk.
type Store struct {
	db     *bolt.DB
	failed func(*WriteError) // is told of what could not be written; nil: nobody is
}

// WriteError says that raft's log could not be written, mostly because the disk is full. What was to be written does not count as written.
type WriteError struct {
	Path string
	Err  error
}

// Error says what to do, too.
func (e *WriteError) Error() string {
	return fmt.Sprintf("raft's log %s can't be written: %v: make room on the disk that data_dir is on", e.Path, e.Err)
}

// Unwrap returns what the system said.
func (e *WriteError) Unwrap() error { return e.Err }

// update writes in one transaction.
func (s *Store) update(f func(*bolt.Tx) error) error {
	err := s.db.Update(f)
	if err == nil {
		return nil
	}
	failed := &WriteError{Path: s.db.Path(), Err: err}
	if s.failed != nil {
		s.failed(failed)
	}
	return failed
}

// OpenStore opens the file at path, which is made if it is not there. It belongs to one program at a time. Close it.
func OpenStore(path string) (*Store, error) {
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: time.Second, FreelistType: bolt.FreelistMapType, NoFreelistSync: true})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("open %s: another coordinator uses it: stop it first", path)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		for _, b := range [][]byte{logBucket, stableBucket} {
			if _, err := tx.CreateBucketIfNotExists(b); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), db.Close())
	}
	return &Store{db: db}, nil
}

// Close closes the file.
func (s *Store) Close() error { return s.db.Close() }

// FirstIndex returns the index of the oldest entry, 0 if there is none.
func (s *Store) FirstIndex() (uint64, error) { return s.edge((*bolt.Cursor).First) }

// LastIndex returns the index of the newest entry, 0 if there is none.
func (s *Store) LastIndex() (uint64, error) { return s.edge((*bolt.Cursor).Last) }

func (s *Store) edge(move func(*bolt.Cursor) ([]byte, []byte)) (index uint64, err error) {
	err = s.db.View(func(tx *bolt.Tx) error {
		if k, _ := move(tx.Bucket(logBucket).Cursor()); k != nil {
			index = binary.BigEndian.Uint64(k)
		}
		return nil
	})
	return index, err
}

// GetLog reads the entry at index into out.
func (s *Store) GetLog(index uint64, out *raft.Log) error {
	return s.db.View(func(tx *bolt.Tx) error {
		v := tx.Bucket(logBucket).Get(indexKey(index))
		if v == nil {
			return raft.ErrLogNotFound
		}
		return decodeLog(index, v, out)
	})
}

// StoreLog writes one entry.
func (s *Store) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

// StoreLogs writes entries in one transaction.
func (s *Store) StoreLogs(logs []*raft.Log) error {
	return s.update(func(tx *bolt.Tx) error {
		b := tx.Bucket(logBucket)
		b.FillPercent = 0.9 // entries are appended in order
		for _, l := range logs {
			if err := b.Put(indexKey(l.Index), encodeLog(l)); err != nil {
				return err
			}
		}
		return nil
	})
}

// DeleteRange deletes the entries from first to last, both included.
func (s *Store) DeleteRange(first, last uint64) error {
	return s.update(func(tx *bolt.Tx) error {
		c := tx.Bucket(logBucket).Cursor()
		for k, _ := c.Seek(indexKey(first)); k != nil && binary.BigEndian.Uint64(k) <= last; k, _ = c.Next() {
			if err := c.Delete(); err != nil {
				return err
			}
		}
		return nil
	})
}

// Set writes a value.
func (s *Store) Set(key, value []byte) error {
	return s.update(func(tx *bolt.Tx) error { return tx.Bucket(stableBucket).Put(key, value) })
}

// Get reads a value; a key that was never set is errNotFound.
func (s *Store) Get(key []byte) (value []byte, err error) {
	err = s.db.View(func(tx *bolt.Tx) error {
		v := tx.Bucket(stableBucket).Get(key)
		if v == nil {
			return errNotFound
		}
		value = append([]byte(nil), v...)
		return nil
	})
	return value, err
}

// SetUint64 writes a number.
func (s *Store) SetUint64(key []byte, n uint64) error { return s.Set(key, indexKey(n)) }

// GetUint64 reads a number; a key that was never set is 0.
func (s *Store) GetUint64(key []byte) (uint64, error) {
	v, err := s.Get(key)
	if errors.Is(err, errNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if len(v) != 8 {
		return 0, fmt.Errorf("stable value %q has %d bytes, want 8", key, len(v))
	}
	return binary.BigEndian.Uint64(v), nil
}

// indexKey sorts like the number does.
func indexKey(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// logHeader is a type (1 byte), term, time of appending (8 bytes each) and the length of the data (4 bytes).
const logHeader = 1 + 8 + 8 + 4

func encodeLog(l *raft.Log) []byte {
	b := make([]byte, 0, logHeader+len(l.Data)+len(l.Extensions))
	b = append(b, byte(l.Type))
	b = binary.BigEndian.AppendUint64(b, l.Term)
	at := int64(0)
	if !l.AppendedAt.IsZero() {
		at = l.AppendedAt.UnixNano()
	}
	b = binary.BigEndian.AppendUint64(b, uint64(at))
	b = binary.BigEndian.AppendUint32(b, uint32(len(l.Data)))
	b = append(b, l.Data...)
	return append(b, l.Extensions...)
}

func decodeLog(index uint64, b []byte, out *raft.Log) error {
	if len(b) < logHeader || uint64(binary.BigEndian.Uint32(b[17:])) > uint64(len(b)-logHeader) {
		return fmt.Errorf("log entry %d is corrupt: %d bytes", index, len(b))
	}
	data := binary.BigEndian.Uint32(b[17:])
	*out = raft.Log{Index: index, Type: raft.LogType(b[0]), Term: binary.BigEndian.Uint64(b[1:])}
	if at := int64(binary.BigEndian.Uint64(b[9:])); at != 0 {
		out.AppendedAt = time.Unix(0, at)
	}
	rest := append([]byte(nil), b[logHeader:]...) // bbolt's bytes die with the transaction
	if data > 0 {
		out.Data = rest[:data:data]
	}
	if len(rest) > int(data) {
		out.Extensions = rest[data:]
	}
	return nil
}
