package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/glidepath/glidepath/agent/fence"
	"github.com/glidepath/glidepath/internal/durable"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// retained is a note of data that were put away: beside them, and written before the first of them is moved.
type retained struct {
	Instance  string        `json:"instance"`
	Migration string        `json:"migration"` // that the instance left in
	At        timeline.Time `json:"at"`
	Moves     []move        `json:"moves"`
	Bytes     int64         `json:"bytes,omitzero"` // on the disk, once they were measured: nobody changes them
	Files     int64         `json:"files,omitzero"`
	Measured  bool          `json:"measured,omitzero"`
}

// Bounds of an answer about what is retained.
const (
	mostRetained = 500
	measureFor   = 3 * time.Second
)

// retainedDir is where data go that are put away, and the notes of them, below a host's KeepDir.
func retainedDir(keep string) string { return filepath.Join(keep, "retained") }

func notePath(keep, instance, migration string) string {
	return filepath.Join(retainedDir(keep), instance+"-"+migration+".json")
}

// note returns the note of what was put away in a migration; false if there is none.
func (d *Driver) note(instance, migration string) (retained, bool, error) {
	n, err := readNote(d.Files, notePath(d.KeepDir, instance, migration))
	if errors.Is(err, fs.ErrNotExist) {
		return retained{}, false, nil
	}
	return n, err == nil, err
}

func readNote(files durable.FS, path string) (retained, error) {
	var n retained
	data, err := durable.ReadFile(files, path, maxState)
	if err == nil {
		err = json.Unmarshal(data, &n)
	}
	if err != nil {
		return n, fmt.Errorf("read what is retained: %s: %w", path, err)
	}
	return n, nil
}

func (d *Driver) saveNote(n retained) error {
	data, err := json.MarshalIndent(n, "", "  ")
	if err != nil {
		return fmt.Errorf("encode what is retained of instance %s: %w", n.Instance, err)
	}
	if err := os.MkdirAll(retainedDir(d.KeepDir), 0o700); err != nil {
		return fmt.Errorf("note what is retained of instance %s: %w", n.Instance, err)
	}
	if err := durable.WriteFile(d.Files, notePath(d.KeepDir, n.Instance, n.Migration), append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("note what is retained of instance %s: %w", n.Instance, err)
	}
	return nil
}

// Retention returns what this host retains, the oldest first. It takes a few seconds at most: what can't be measured in them is given as far as it
// was, and what was measured is remembered. Of what somebody has removed the note goes, too.
func (d *Driver) Retention(ctx context.Context) (proto.Retention, error) {
	return retention(ctx, d.Files, d.KeepDir, func(n retained, there bool) error {
		lock := d.lock(n.Instance)
		if !lock.TryLock() { // an operation is at work on them
			return nil
		}
		defer lock.Unlock()
		switch now, known, err := d.note(n.Instance, n.Migration); {
		case err != nil || !known:
			return err
		case !slices.Equal(now.Moves, n.Moves):
			return nil // others meanwhile
		case there:
			return d.saveNote(n)
		}
		return durable.Remove(d.Files, notePath(d.KeepDir, n.Instance, n.Migration))
	})
}

// ReadRetention returns what a host retains by the notes below its KeepDir, beside a running agent. It changes nothing.
func ReadRetention(ctx context.Context, keep string) (proto.Retention, error) {
	return retention(ctx, durable.OS{}, keep, func(retained, bool) error { return nil })
}

// retention lists and measures. learned is told of what was measured now, and of what is not there any more.
func retention(ctx context.Context, files durable.FS, keep string, learned func(n retained, there bool) error) (proto.Retention, error) {
	ctx, cancel := context.WithTimeout(ctx, measureFor)
	defer cancel()
	names, err := files.List(retainedDir(keep))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return proto.Retention{}, fmt.Errorf("list what is retained: %w", err)
	}
	var all []retained
	for _, name := range names {
		if !strings.HasSuffix(name, ".json") {
			continue
		}
		n, err := readNote(files, filepath.Join(retainedDir(keep), name))
		if err != nil {
			return proto.Retention{}, err
		}
		if len(n.there()) == 0 {
			if err := learned(n, false); err != nil {
				return proto.Retention{}, err
			}
			continue
		}
		all = append(all, n)
	}
	slices.SortFunc(all, func(a, b retained) int { return int(min(max(a.At-b.At, -1), 1)) })
	var out proto.Retention
	if n := len(all) - mostRetained; n > 0 {
		all, out.More = all[:mostRetained], n
	}
	for _, n := range all {
		if !n.Measured {
			if n = n.measure(ctx); n.Measured {
				if err := learned(n, true); err != nil {
					return proto.Retention{}, err
				}
			}
		}
		out.Items = append(out.Items, proto.Retained{
			Instance: n.Instance, Migration: n.Migration, At: n.At, Paths: n.there(), Bytes: n.Bytes, Files: n.Files, Partial: !n.Measured,
		})
	}
	return out, nil
}

// there returns where the data lie, as far as they do.
func (n retained) there() []string {
	var paths []string
	for _, m := range n.Moves {
		if exists(m.To) {
			paths = append(paths, m.To)
		}
	}
	return paths
}

// measure adds up what the data take on the disk, as far as it comes until ctx ends.
func (n retained) measure(ctx context.Context) retained {
	n.Bytes, n.Files = 0, 0
	type inode struct{ dev, ino uint64 }
	linked := map[inode]bool{}
	for _, root := range n.there() {
		err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // somebody removes it
			}
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				return err
			}
			info, err := e.Info()
			if err != nil {
				return nil //nolint:nilerr // the same
			}
			st, ok := info.Sys().(*syscall.Stat_t)
			if !ok {
				return fmt.Errorf("%s: its size is not known", path)
			}
			if st.Nlink > 1 && !info.IsDir() {
				at := inode{st.Dev, st.Ino}
				if linked[at] {
					return nil
				}
				linked[at] = true
			}
			n.Bytes += st.Blocks * 512
			if !info.IsDir() {
				n.Files++
			}
			return nil
		})
		if err != nil {
			return n
		}
	}
	n.Measured = true
	return n
}

// retain renames the data into the retention folder. Where to is remembered before, so that it happens once.
func (j *job) retain(r fence.Record, s *state, migration string) error {
	n, known, err := j.note(r.Instance, migration)
	if err != nil {
		return err
	}
	if !known {
		n = retained{Instance: r.Instance, Migration: migration, At: timeline.Of(time.Now())}
	}
	label := fmt.Sprintf("%s-%s-%s", n.At.Std().UTC().Format(time.DateOnly), r.Instance, migration)
	for _, path := range r.Spec.Service.Data {
		if slices.ContainsFunc(s.Retained, func(m move) bool { return m.From == path }) || !exists(path) {
			continue
		}
		if err := j.Allow.Path(path); err != nil {
			return err
		}
		to, err := away(filepath.Join(retainedDir(j.KeepDir), label), path, "retained-"+label)
		if err != nil {
			return fmt.Errorf("retain %s: %w", path, err)
		}
		s.Retained = append(s.Retained, move{From: path, To: to})
	}
	if err := j.save(r.Instance, *s); err != nil {
		return err
	}
	if len(s.Retained) == 0 {
		return nil
	}
	if n.Moves = s.Retained; !known || !n.Measured {
		if err := j.saveNote(n); err != nil {
			return err
		}
	}
	for _, m := range s.Retained {
		if err := m.run(j.Files); err != nil {
			return fmt.Errorf("retain %s: %w", m.From, err)
		}
	}
	return nil
}
