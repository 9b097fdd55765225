package durable

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path/filepath"
	"sync"
)

const (
	journalMagic = "GPJRNL1\n"
	recordHeader = 12
)

// Defaults of JournalOptions.
const (
	DefaultJournalSize = 64 << 20
	DefaultRecordSize  = 1 << 20
)

var (
	// ErrJournalFull is what Append returns when the record would take the file above its largest size. Nothing was written: Compact, then append again.
	ErrJournalFull = errors.New("journal is full")
	// ErrJournalBroken is what a journal returns after a failure that left unknown what is on the disk. Open it again to find out.
	ErrJournalBroken = errors.New("journal must be opened again")
)

// CorruptError tells that a journal is damaged before its last record, which no crash does: a disk or a person did.
type CorruptError struct {
	Path   string
	Offset int64 // where the first damaged record starts, in bytes
	Reason string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("journal %s is damaged at byte %d: %s; check the disk, then restore the file or move it away", e.Path, e.Offset, e.Reason)
}

// JournalOptions bound a journal. Zero values mean the defaults.
type JournalOptions struct {
	MaxSize   int64 // bytes of the whole file
	MaxRecord int   // bytes of one record
}

// Journal is a file of records that only grows at its end. A record that Append returned nil for is there after any crash;
// one that it returned an error for may be. Its methods may be called from several goroutines.
type Journal struct {
	fsys FS
	path string
	opts JournalOptions

	mu      sync.Mutex
	file    File // nil once closed or broken
	size    int64
	records int
	torn    int64
	broken  error
}

// OpenJournal opens the journal at path, creating it (mode 0600) if it is missing, and calls replay with each record in
// order. The slice is replay's to keep. What a crash left unfinished at the end is cut off (Torn says how much); damage anywhere
// before is a *CorruptError, and the file stays untouched. An error of replay is returned wrapped with the record's offset.
func OpenJournal(fsys FS, path string, opts JournalOptions, replay func(record []byte) error) (*Journal, error) {
	if opts.MaxSize == 0 {
		opts.MaxSize = DefaultJournalSize
	}
	if opts.MaxRecord == 0 {
		opts.MaxRecord = DefaultRecordSize
	}
	j := &Journal{fsys: fsys, path: path, opts: opts}

	// Created by rename, so a journal either has its whole first line or does not exist.
	if _, err := fsys.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := WriteFile(fsys, path, []byte(journalMagic), 0o600); err != nil {
			return nil, fmt.Errorf("create journal: %w", err)
		}
	} else if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	f, err := fsys.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	if err := j.load(f, replay); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	j.file = f
	return j, nil
}

// load reads f, replays it and cuts off a torn tail.
func (j *Journal) load(f File, replay func([]byte) error) error {
	data, err := readAll(f, j.path, j.opts.MaxSize+int64(j.opts.MaxRecord))
	if err != nil {
		return fmt.Errorf("open journal: %w", err)
	}
	if len(data) < len(journalMagic) || string(data[:len(journalMagic)]) != journalMagic {
		return &CorruptError{Path: j.path, Reason: "it does not begin like a journal"}
	}
	end := int64(len(journalMagic))
	for end < int64(len(data)) {
		record, ok := parseRecord(data, end)
		if !ok {
			if reason := j.damage(data, end); reason != "" {
				return &CorruptError{Path: j.path, Offset: end, Reason: reason}
			}
			break
		}
		if err := replay(record); err != nil {
			return fmt.Errorf("replay journal %s at byte %d: %w", j.path, end, err)
		}
		end += recordHeader + int64(len(record))
		j.records++
	}
	j.size, j.torn = end, int64(len(data))-end
	// Truncate also puts the write position at the end.
	if err := f.Truncate(end); err != nil {
		return fmt.Errorf("cut the unfinished end off journal %s: %w", j.path, err)
	}
	if j.torn > 0 {
		if err := f.Sync(); err != nil {
			return fmt.Errorf("cut the unfinished end off journal %s: %w", j.path, err)
		}
	}
	return nil
}

// damage tells an append that a crash interrupted ("") from damage that needs a person. Only the last record can be unfinished, as
// each is synced before the next is written; so a readable record after the unreadable one means damage.
func (j *Journal) damage(data []byte, at int64) string {
	if int64(len(data))-at > int64(recordHeader+j.opts.MaxRecord) {
		return "more bytes follow than one unfinished record can have"
	}
	if length, _, ok := parseHeader(data, at); ok && at+recordHeader+int64(length) < int64(len(data)) {
		return "a record fails its checksum, and others follow it"
	}
	for next := at + 1; next < int64(len(data)); next++ {
		if _, ok := parseRecord(data, next); ok {
			return fmt.Sprintf("a record is not readable, but one at byte %d is", next)
		}
	}
	return ""
}

// Append writes a record of 1 to MaxRecord bytes and returns once it is on the disk.
func (j *Journal) Append(record []byte) error {
	if len(record) == 0 || len(record) > j.opts.MaxRecord {
		return fmt.Errorf("append to journal %s: a record has 1 to %d bytes, this one %d", j.path, j.opts.MaxRecord, len(record))
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.usable(); err != nil {
		return fmt.Errorf("append to journal %s: %w", j.path, err)
	}
	grown := j.size + recordHeader + int64(len(record))
	if grown > j.opts.MaxSize {
		return fmt.Errorf("append to journal %s: %w (%d of %d bytes)", j.path, ErrJournalFull, j.size, j.opts.MaxSize)
	}
	if _, err := j.file.Write(appendRecord(nil, j.size, record)); err != nil {
		err = explain(j.path, err)
		// What was written of it must not stay before the next record.
		if cutErr := j.file.Truncate(j.size); cutErr != nil {
			err = j.breakWith(errors.Join(err, cutErr))
		}
		return fmt.Errorf("append to journal %s: %w", j.path, err)
	}
	if err := j.file.Sync(); err != nil {
		// After a failed fsync the kernel may drop the pages and report success the next time: trust nothing that is not read back.
		return fmt.Errorf("append to journal %s: %w", j.path, j.breakWith(err))
	}
	j.size = grown
	j.records++
	return nil
}

// Compact replaces the whole journal by the given records, all or nothing. On an error the journal is as before,
// unless the error wraps ErrJournalBroken.
func (j *Journal) Compact(records [][]byte) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.usable(); err != nil {
		return fmt.Errorf("compact journal %s: %w", j.path, err)
	}
	data := []byte(journalMagic)
	for i, r := range records {
		if len(r) == 0 || len(r) > j.opts.MaxRecord {
			return fmt.Errorf("compact journal %s: a record has 1 to %d bytes, number %d has %d", j.path, j.opts.MaxRecord, i, len(r))
		}
		data = appendRecord(data, int64(len(data)), r)
	}
	if int64(len(data)) > j.opts.MaxSize {
		return fmt.Errorf("compact journal %s: %w (%d of %d bytes)", j.path, ErrJournalFull, len(data), j.opts.MaxSize)
	}
	tmp, err := writeTemp(j.fsys, j.path, 0o600, content(data))
	if err != nil {
		return fmt.Errorf("compact journal %s: %w", j.path, explain(j.path, err))
	}
	// Opened before the rename: afterwards there is no way back if opening fails.
	f, err := j.fsys.Open(tmp)
	if err != nil {
		return fmt.Errorf("compact journal %s: %w", j.path, errors.Join(err, j.fsys.Remove(tmp)))
	}
	if err := f.Truncate(int64(len(data))); err != nil { // puts the write position at the end
		return fmt.Errorf("compact journal %s: %w", j.path, errors.Join(err, f.Close(), j.fsys.Remove(tmp)))
	}
	if err := j.fsys.Rename(tmp, j.path); err != nil {
		return fmt.Errorf("compact journal %s: %w", j.path, errors.Join(err, f.Close(), j.fsys.Remove(tmp)))
	}
	old := j.file
	j.file, j.size, j.records = f, int64(len(data)), len(records)
	_ = old.Close() // read and synced before; nothing of it is needed any more
	if err := j.fsys.SyncDir(filepath.Dir(j.path)); err != nil {
		// Appends would go to a file that a power cut could take away again.
		return fmt.Errorf("compact journal %s: %w", j.path, j.breakWith(err))
	}
	return nil
}

// Size returns the bytes of the file.
func (j *Journal) Size() int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.size
}

// Len returns how many records the file has.
func (j *Journal) Len() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.records
}

// Torn returns how many bytes of an unfinished record OpenJournal cut off.
func (j *Journal) Torn() int64 { return j.torn }

// Close closes the file. Everything that was appended is on the disk already.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file == nil {
		return nil
	}
	err := j.file.Close()
	j.file, j.broken = nil, errors.New("journal is closed")
	return err
}

func (j *Journal) usable() error {
	if j.broken != nil {
		return j.broken
	}
	return nil
}

// breakWith makes every later call fail with the cause.
func (j *Journal) breakWith(cause error) error {
	j.broken = fmt.Errorf("%w: %w", ErrJournalBroken, cause)
	return j.broken
}

// A record is length, checksum of the payload, checksum of the header, payload; integers little-endian, checksums CRC-32C.
// The header's checksum covers the record's own offset, so a header is never taken for one at another place.

func appendRecord(dst []byte, at int64, payload []byte) []byte {
	var h [recordHeader]byte
	binary.LittleEndian.PutUint32(h[0:], uint32(len(payload)))
	binary.LittleEndian.PutUint32(h[4:], castagnoli(payload))
	binary.LittleEndian.PutUint32(h[8:], headerSum(at, h[:8]))
	return append(append(dst, h[:]...), payload...)
}

func parseHeader(data []byte, at int64) (length, sum uint32, ok bool) {
	if int64(len(data))-at < recordHeader {
		return 0, 0, false
	}
	h := data[at : at+recordHeader]
	if binary.LittleEndian.Uint32(h[8:]) != headerSum(at, h[:8]) {
		return 0, 0, false
	}
	return binary.LittleEndian.Uint32(h), binary.LittleEndian.Uint32(h[4:]), true
}

func parseRecord(data []byte, at int64) ([]byte, bool) {
	length, sum, ok := parseHeader(data, at)
	if !ok || length == 0 || int64(length) > int64(len(data))-at-recordHeader {
		return nil, false
	}
	start := at + recordHeader
	end := start + int64(length)
	payload := data[start:end:end]
	return payload, castagnoli(payload) == sum
}

func headerSum(at int64, lengthAndSum []byte) uint32 {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:], uint64(at))
	copy(b[8:], lengthAndSum)
	return castagnoli(b[:])
}

func castagnoli(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }
