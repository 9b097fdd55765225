package agent

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/glidepath/glidepath/agent/enforce"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// pausedFile is there while every limit of this host is lifted by a word that was said on it. It needs nobody: no coordinator, no agent.
const pausedFile = "paused"

// pausedEvery is how often the agent looks for it.
const pausedEvery = time.Second

// pausedSince returns since when limits are lifted by a word said on this host, 0 when they are not. Whatever is in the file: that it
// is there is the word.
func (c Config) pausedSince() (timeline.Time, error) {
	info, err := os.Stat(c.path(pausedFile))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return max(1, timeline.Of(info.ModTime())), nil
}

// saidHere is what the running agent knows of that word. Its methods may be called concurrently.
type saidHere struct {
	look    func() (timeline.Time, error)
	changed func() // the word is another than before
	log     *slog.Logger
	last    atomic.Int64
}

// newSaidHere looks for the first time: an agent that starts limits nothing before it has.
func newSaidHere(cfg Config, log *slog.Logger) (*saidHere, error) {
	s := &saidHere{look: cfg.pausedSince, changed: func() {}, log: log}
	at, err := s.look()
	s.last.Store(int64(at))
	if at != 0 {
		log.Warn("limits stay lifted: so it was said on this host; glidepath-agent resume has them set again", "since", at)
	}
	return s, err
}

// since returns since when limits are lifted, 0 when they are not.
func (s *saidHere) since() timeline.Time { return timeline.Time(s.last.Load()) }

func (s *saidHere) paused() bool { return s.since() != 0 }

// run looks again and again until ctx ends. While it can't look, what was said last holds.
func (s *saidHere) run(ctx context.Context) error {
	tick := time.NewTicker(pausedEvery)
	defer tick.Stop()
	for failed := false; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		at, err := s.look()
		if err != nil {
			if !failed {
				s.log.Error("whether limits are lifted can't be seen; it stays as it is", "error", err)
			}
			failed = true
			continue
		}
		failed = false
		if was := timeline.Time(s.last.Swap(int64(at))); was == at {
			continue
		}
		if at != 0 {
			s.log.Warn("limits are lifted: so it was said on this host", "since", at)
		} else {
			s.log.Info("limits are set again: so it was said on this host")
		}
		s.changed()
	}
}

// followed returns the document as it is followed here: what was said on the host counts as if it stood there.
func (s *saidHere) followed(document func() (proto.Document, bool)) func() (proto.Document, bool) {
	return func() (proto.Document, bool) {
		d, ok := document()
		d.Paused = d.Paused || s.paused()
		return d, ok
	}
}

// unlessPaused attaches instances without limits while those are lifted, also where an operation would limit them at once.
type unlessPaused struct {
	*enforce.Enforcer
	paused func() bool
}

// Attach implements service.Limits.
func (u unlessPaused) Attach(ctx context.Context, t enforce.Target) (enforce.Attached, error) {
	return u.Enforcer.Attach(ctx, u.target(t))
}

func (u unlessPaused) target(t enforce.Target) enforce.Target {
	t.Limited = t.Limited && !u.paused()
	return t
}
