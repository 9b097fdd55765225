// Package crashfs is a file system in memory that loses power on demand, for tests of what must survive that.
package crashfs

import (
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/glidepath/glidepath/internal/durable"
)

// ErrPowerLost is what every call returns from the step on at which the power goes.
var ErrPowerLost = errors.New("crashfs: power lost")

// sector is the unit in which unsynced content reaches the disk or does not.
const sector = 512

// FS implements durable.FS. What was not synced may be lost, in part and in any order within a file; unsynced
// creations, renames and removals survive up to some point in their order, as journaling file systems do it.
type FS struct {
	mu      sync.Mutex
	live    map[string]*inode // names as programs see them
	stable  map[string]*inode // names as they are on the disk
	pending []change          // changes of names that are not on the disk yet, oldest first
	steps   int
	lossAt  int // the step at which the power goes; 0: never
	lost    bool
	space   int64 // bytes that may still be written; negative: no limit
	syncErr error
}

type inode struct {
	live, stable []byte
	mode         fs.FileMode
}

// change of a name: node is what it then stands for, nil for nothing. A rename is one change of two names.
type change struct {
	dir    string
	remove string
	set    string
	node   *inode
}

var _ durable.FS = (*FS)(nil)

// New returns an empty file system. Directories exist without being made.
func New() *FS {
	return &FS{live: map[string]*inode{}, stable: map[string]*inode{}, space: -1}
}

// LosePowerAt makes the n-th step from now fail, and everything after it. Every call that changes or syncs something is a step.
func (f *FS) LosePowerAt(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lossAt = f.steps + n
}

// Steps returns how many steps there have been.
func (f *FS) Steps() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.steps
}

// SetSpace lets n more bytes be written before the disk is full; a negative n means any number.
func (f *FS) SetSpace(n int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.space = n
}

// FailSync makes every Sync of a file fail with err until it is nil again.
func (f *FS) FailSync(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.syncErr = err
}

// Flip inverts one bit of a byte of a file, on the disk too.
func (f *FS) Flip(name string, offset int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.live[name]
	n.live[offset] ^= 1
	n.stable = slices.Clone(n.live)
}

// Restart returns what a machine finds when it comes up again after the power went; rnd chooses among what may be found.
func (f *FS) Restart(rnd *rand.Rand) *FS {
	f.mu.Lock()
	defer f.mu.Unlock()
	names := map[string]*inode{}
	for name, node := range f.stable {
		names[name] = node
	}
	for _, c := range f.pending[:rnd.IntN(len(f.pending)+1)] {
		c.apply(names)
	}
	up := New()
	after := map[*inode]*inode{}
	ordered := make([]string, 0, len(names))
	for name := range names {
		ordered = append(ordered, name)
	}
	slices.Sort(ordered) // so that one seed always gives one outcome
	for _, name := range ordered {
		node := names[name]
		if after[node] == nil {
			content := node.survivors(rnd)
			after[node] = &inode{live: content, stable: slices.Clone(content), mode: node.mode}
		}
		up.live[name], up.stable[name] = after[node], after[node]
	}
	return up
}

func (c change) apply(names map[string]*inode) {
	if c.remove != "" {
		delete(names, c.remove)
	}
	if c.set != "" {
		names[c.set] = c.node
	}
}

// survivors mixes the synced content with the later one, sector by sector, and chooses a length between theirs.
func (n *inode) survivors(rnd *rand.Rand) []byte {
	low, high := min(len(n.live), len(n.stable)), max(len(n.live), len(n.stable))
	size := low + rnd.IntN(high-low+1)
	out := make([]byte, size)
	for at := 0; at < size; at += sector {
		from := n.live
		if rnd.IntN(2) == 0 {
			from = n.stable
		}
		if at < len(from) {
			copy(out[at:min(at+sector, size)], from[at:])
		}
	}
	return out
}

// step counts a step and reports the loss of power. Call with mu held.
func (f *FS) step() error {
	f.steps++
	if f.lost || f.steps == f.lossAt {
		f.lost = true
		return ErrPowerLost
	}
	return nil
}

func (f *FS) rename(c change) {
	c.apply(f.live)
	f.pending = append(f.pending, c)
}

// Create implements durable.FS.
func (f *FS) Create(name string, perm fs.FileMode) (durable.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.step(); err != nil {
		return nil, err
	}
	if f.live[name] != nil {
		return nil, &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	}
	node := &inode{mode: perm}
	f.rename(change{dir: filepath.Dir(name), set: name, node: node})
	return &file{fs: f, node: node, name: name}, nil
}

// Open implements durable.FS.
func (f *FS) Open(name string) (durable.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	node, err := f.find("open", name)
	if err != nil {
		return nil, err
	}
	return &file{fs: f, node: node, name: name}, nil
}

func (f *FS) find(op, name string) (*inode, error) {
	if f.lost {
		return nil, ErrPowerLost
	}
	if node := f.live[name]; node != nil {
		return node, nil
	}
	return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
}

// Rename implements durable.FS, within one directory.
func (f *FS) Rename(from, to string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.step(); err != nil {
		return err
	}
	node, err := f.find("rename", from)
	if err != nil {
		return err
	}
	f.rename(change{dir: filepath.Dir(to), remove: from, set: to, node: node})
	return nil
}

// Remove implements durable.FS.
func (f *FS) Remove(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.step(); err != nil {
		return err
	}
	if _, err := f.find("remove", name); err != nil {
		return err
	}
	f.rename(change{dir: filepath.Dir(name), remove: name})
	return nil
}

// Stat implements durable.FS.
func (f *FS) Stat(name string) (fs.FileInfo, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	node, err := f.find("stat", name)
	if err != nil {
		return nil, err
	}
	return info{name: filepath.Base(name), size: int64(len(node.live)), mode: node.mode}, nil
}

// List implements durable.FS.
func (f *FS) List(dir string) ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var names []string
	for name := range f.live {
		if filepath.Dir(name) == filepath.Clean(dir) {
			names = append(names, filepath.Base(name))
		}
	}
	slices.Sort(names)
	return names, nil
}

// SyncDir implements durable.FS. It makes the changes of names in dir durable, and those in other directories before them.
func (f *FS) SyncDir(dir string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.step(); err != nil {
		return err
	}
	for i := len(f.pending) - 1; i >= 0; i-- {
		if f.pending[i].dir != filepath.Clean(dir) {
			continue
		}
		for _, c := range f.pending[:i+1] {
			c.apply(f.stable)
		}
		f.pending = slices.Clone(f.pending[i+1:])
		break
	}
	return nil
}

type file struct {
	fs   *FS
	node *inode
	name string
	pos  int
}

func (h *file) ReadAt(p []byte, at int64) (int, error) {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	if h.fs.lost {
		return 0, ErrPowerLost
	}
	if at >= int64(len(h.node.live)) {
		return 0, io.EOF
	}
	n := copy(p, h.node.live[at:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (h *file) Write(p []byte) (int, error) {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	lost := h.fs.step() // when the power goes during a write, the cache has it all: Restart chooses what the disk got
	n, err := len(p), lost
	if h.fs.space >= 0 && int64(n) > h.fs.space {
		n, err = int(h.fs.space), &fs.PathError{Op: "write", Path: h.name, Err: syscall.ENOSPC}
	}
	if h.fs.space >= 0 {
		h.fs.space -= int64(n)
	}
	if short := h.pos + n - len(h.node.live); short > 0 {
		h.node.live = append(h.node.live, make([]byte, short)...)
	}
	copy(h.node.live[h.pos:], p[:n])
	h.pos += n
	return n, err
}

func (h *file) Sync() error {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	if err := h.fs.step(); err != nil {
		return err
	}
	if h.fs.syncErr != nil {
		return h.fs.syncErr
	}
	h.node.stable = slices.Clone(h.node.live)
	return nil
}

func (h *file) Truncate(size int64) error {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	if err := h.fs.step(); err != nil {
		return err
	}
	if size > int64(len(h.node.live)) {
		h.node.live = append(h.node.live, make([]byte, size-int64(len(h.node.live)))...)
	}
	h.node.live = h.node.live[:size:size]
	h.pos = int(size)
	return nil
}

func (h *file) Chmod(perm fs.FileMode) error {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	if err := h.fs.step(); err != nil {
		return err
	}
	h.node.mode = perm
	return nil
}

func (h *file) Chown(int, int) error { return nil }

func (h *file) Stat() (fs.FileInfo, error) {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	if h.fs.lost {
		return nil, ErrPowerLost
	}
	return info{name: filepath.Base(h.name), size: int64(len(h.node.live)), mode: h.node.mode}, nil
}

func (h *file) Close() error { return nil }

type info struct {
	name string
	size int64
	mode fs.FileMode
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.size }
func (i info) Mode() fs.FileMode  { return i.mode }
func (i info) ModTime() time.Time { return time.Time{} }
func (i info) IsDir() bool        { return false }
func (i info) Sys() any           { return nil }
