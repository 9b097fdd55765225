package service

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/glidepath/glidepath/agent/fence"
	"github.com/glidepath/glidepath/internal/durable"
	"github.com/glidepath/glidepath/proto"
)

// takeBack puts the data back that this host had put away, all of them or none, before it may run the instance again. What is remembered as
// retained stays so until it runs: it was not to start at boot any more, and had given up its limits.
func (j *job) takeBack(r fence.Record, s *state) error {
	if r.State != proto.FenceRetired {
		return nil
	}
	n, known, err := j.note(r.Instance, r.RetiredBy)
	if err != nil {
		return err
	}
	moves := s.Retained
	if known {
		moves = n.Moves
	}
	for _, path := range r.Spec.Service.Data {
		if !slices.ContainsFunc(moves, func(m move) bool { return m.From == path }) && !exists(path) {
			return j.keepsNone(r, fmt.Sprintf("nothing is known of where %s was put", path))
		}
	}
	for _, m := range moves {
		if err := j.Allow.Path(m.From); err != nil {
			return err
		}
		why, err := m.lacksBack()
		if err != nil {
			return err
		}
		if why != "" {
			return j.keepsNone(r, why)
		}
	}
	s.Retained = moves
	if err := j.save(r.Instance, *s); err != nil {
		return err
	}
	for _, m := range moves {
		if err := m.takeBack(j.Files); err != nil {
			return fmt.Errorf("put %s back: %w", m.From, err)
		}
	}
	return nil
}

func (j *job) keepsNone(r fence.Record, why string) error {
	return j.refusal(fmt.Sprintf("the data of instance %s that it put away in migration %s can't be put back: %s", r.Instance, r.RetiredBy, why),
		"see `glidepath-agent retention` there, and put all of them back by hand where they were: it goes on by itself")
}

// lacksBack returns why the data can't go back to where they were; "" when they can, or are there.
func (m move) lacksBack() (string, error) {
	if !exists(m.To) {
		if _, free, err := vacant(m.From); err != nil || free {
			return fmt.Sprintf("%s is gone", m.To), err
		}
		return "", nil // they never left, or are back
	}
	if inside(m) {
		entries, err := os.ReadDir(m.To)
		for _, e := range entries {
			if at := filepath.Join(m.From, e.Name()); err == nil && e.Name() != lostAndFound && exists(at) {
				return fmt.Sprintf("something else lies at %s", at), nil
			}
		}
		return "", err
	}
	if _, free, err := vacant(m.From); err != nil || !free {
		return fmt.Sprintf("something else lies at %s", m.From), err
	}
	return "", nil
}

// takeBack moves m.To to m.From, where nothing is. What is back already stays.
func (m move) takeBack(files durable.FS) error {
	if !exists(m.To) {
		return nil
	}
	if inside(m) {
		return errors.Join(m.each(files, m.To, m.From), os.Remove(m.To))
	}
	if err := os.Remove(m.From); err != nil && !errors.Is(err, fs.ErrNotExist) { // empty, as packages make it
		return err
	}
	return rename(files, m.To, m.From)
}

// tookBack gives an instance that runs here again what it had given up, and forgets that it had.
func (j *job) tookBack(ctx context.Context, r fence.Record, s *state, migration string) error {
	for _, name := range s.Enable {
		if err := j.Systemd.Enable(ctx, name); err != nil {
			return err
		}
	}
	if err := durable.Remove(j.Files, notePath(j.KeepDir, r.Instance, migration)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, m := range s.Retained {
		if folder, ok := labelDir(j.KeepDir, m.To); ok {
			if err := removeEmptyTree(folder); err != nil {
				return err
			}
		}
	}
	s.Retained = nil // last: it is what says that something is left to do
	return j.save(r.Instance, *s)
}

// labelDir returns the folder of a path below the retention folder; false if it lies elsewhere.
func labelDir(keep, path string) (string, bool) {
	rel, err := filepath.Rel(retainedDir(keep), path)
	if err != nil || strings.HasPrefix(rel, "..") {
		return "", false
	}
	label, _, _ := strings.Cut(rel, "/")
	return filepath.Join(retainedDir(keep), label), true
}
