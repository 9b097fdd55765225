package tasks

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/glidepath/glidepath/agent/enforce/systemd"
	"github.com/glidepath/glidepath/internal/durable"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

const (
	lookEvery = 5 * time.Minute  // a timer that runs more often is not seen every time, and needs not be
	lookTime  = time.Minute      // that it may take
	saveEvery = 30 * time.Minute // at most: what was seen since is lost when the agent dies
	remember  = 28 * 24 * time.Hour
	maxFile   = 1 << 20
	maxZone   = 64 // bytes of the name of a time zone
)

// Timers tells of the timers of systemd, as systemd.Bus does.
type Timers interface {
	Timers(ctx context.Context, most int) ([]systemd.Timer, int, error)
}

// Config is what a Keeper needs.
type Config struct {
	Timers Timers
	Root   string // of the file system that crontabs are read from
	FS     durable.FS
	File   string // where runs are remembered
	Log    *slog.Logger
}

// Keeper knows the host's tasks as of the last look. Its methods may be called concurrently.
type Keeper struct {
	cfg Config

	mu     sync.Mutex
	tasks  proto.HostTasks
	digest string

	runs    map[string][]timeline.Time // of timers, ascending; of Run alone
	changed bool                       // since they were written
	saved   time.Time
}

// Open returns a keeper that remembers the runs of earlier lives. A file that is damaged is begun anew: what it is for can be learned again.
func Open(cfg Config) *Keeper {
	k := &Keeper{cfg: cfg, runs: map[string][]timeline.Time{}}
	b, err := durable.ReadFile(cfg.FS, cfg.File, maxFile)
	if err == nil {
		err = json.Unmarshal(b, &k.runs)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		cfg.Log.Warn("when timers ran is not remembered, and learned anew", "error", err)
		k.runs = map[string][]timeline.Time{}
	}
	return k
}

// Run looks every few minutes until ctx ends.
func (k *Keeper) Run(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		k.look(ctx, time.Now())
		select {
		case <-ctx.Done():
			k.save(time.Now())
			return nil
		case <-tick.C:
		}
	}
}

// Tasks returns the host's tasks, and nothing but the digest where they are what the caller has.
func (k *Keeper) Tasks(have string) proto.TasksReply {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.digest == have {
		return proto.TasksReply{Digest: have}
	}
	return proto.TasksReply{Digest: k.digest, Tasks: k.tasks}
}

// look finds the tasks as they are now.
func (k *Keeper) look(ctx context.Context, now time.Time) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	var found proto.HostTasks
	timers, more, err := k.cfg.Timers.Timers(ctx, proto.MaxTasks)
	switch {
	case ctx.Err() != nil:
		return
	case err != nil:
		found.Unread = append(found.Unread, "timers: "+err.Error())
	default:
		k.remember(timers, timeline.Of(now))
	}
	for _, t := range timers {
		found.Tasks = append(found.Tasks, k.timer(t))
	}
	entries, unread := readCrontabs(k.cfg.Root)
	found.Tasks = append(found.Tasks, entries...)
	found.Unread = append(found.Unread, unread...)
	found.Zone = zone(k.cfg.Root)
	found.More = more
	tidy(&found)
	if err := found.Valid(); err != nil {
		k.cfg.Log.Warn("what runs by schedule on this host is not told of", "error", err)
		found = proto.HostTasks{}
	}
	digest, err := digestOf(found)
	if err != nil {
		k.cfg.Log.Warn("what runs by schedule on this host is not told of", "error", err)
		return
	}
	k.mu.Lock()
	k.tasks, k.digest = found, digest
	k.mu.Unlock()
	if now.Sub(k.saved) >= saveEvery {
		k.save(now)
	}
}

// timer returns a timer as a task.
func (k *Keeper) timer(t systemd.Timer) proto.Task {
	out := proto.Task{
		Name: t.Name, Source: proto.TaskTimer, Activates: t.Activates, Schedule: t.Calendar,
		Every: t.Every.Milliseconds(), Delay: t.Delay.Milliseconds(), Runs: slices.Clone(k.runs[t.Name]),
	}
	if !t.Next.IsZero() {
		// To the second: a timer that counts from the boot would be another one at each look.
		out.Next = timeline.Of(t.Next.Round(time.Second))
	}
	if !t.Last.IsZero() {
		out.Last = timeline.Of(t.Last)
	}
	return out
}

// remember adds the last runs of timers to those that were seen, and forgets what is long ago or of timers that are gone.
func (k *Keeper) remember(timers []systemd.Timer, now timeline.Time) {
	kept := map[string][]timeline.Time{}
	for _, t := range timers {
		runs := k.runs[t.Name]
		// What lies ahead was seen by a clock that was: it would keep what comes until then from being remembered.
		if ahead, _ := slices.BinarySearch(runs, now+1); ahead < len(runs) {
			runs, k.changed = runs[:ahead], true
		}
		if last := timeline.Of(t.Last); !t.Last.IsZero() && last <= now && (len(runs) == 0 || last > runs[len(runs)-1]) {
			runs = append(slices.Clone(runs), last)
			k.changed = true
		}
		from, _ := slices.BinarySearch(runs, now.Add(-remember))
		if runs = runs[max(from, len(runs)-proto.MaxRuns):]; len(runs) > 0 {
			kept[t.Name] = runs
		}
	}
	k.runs = kept
}

// save writes the runs down, where there are others since the last time. That it can't is no reason to end: they are known until the next restart.
func (k *Keeper) save(now time.Time) {
	if !k.changed {
		return
	}
	b, err := json.Marshal(k.runs)
	if err == nil {
		err = durable.WriteFile(k.cfg.FS, k.cfg.File, b, 0o600)
	}
	if err != nil {
		k.cfg.Log.Warn("when timers ran can't be remembered", "error", err)
		return
	}
	k.saved, k.changed = now, false
}

// tidy brings tasks into the form in which they are told: sorted, each with a name of its own, no more than are allowed; what has a name that is
// no plain text, or too long, is left out.
func tidy(h *proto.HostTasks) {
	before := len(h.Tasks)
	h.Tasks = slices.DeleteFunc(h.Tasks, func(t proto.Task) bool {
		return proto.HostTasks{Tasks: []proto.Task{t}}.Valid() != nil
	})
	h.Tasks = h.Tasks[:min(len(h.Tasks), proto.MaxTasks)] // of users' crontabs, which come last: they crowd out nothing of the host's own
	h.More += before - len(h.Tasks)
	slices.SortStableFunc(h.Tasks, func(a, b proto.Task) int { return cmp.Compare(a.Name, b.Name) })
	for i, n := 1, 1; i < len(h.Tasks); i++ {
		if first := h.Tasks[i-n].Name; h.Tasks[i].Name == first {
			n++
			h.Tasks[i].Name = fmt.Sprintf("%s-%d", first, n)
		} else {
			n = 1
		}
	}
	slices.SortStableFunc(h.Tasks, func(a, b proto.Task) int { return cmp.Compare(a.Name, b.Name) })
	h.Tasks = slices.CompactFunc(h.Tasks, func(a, b proto.Task) bool { return a.Name == b.Name })
	h.Unread = h.Unread[:min(len(h.Unread), proto.MaxUnread)]
	for i, u := range h.Unread {
		h.Unread[i] = plain(u)
	}
}

// plain makes one short line of ASCII of a text.
func plain(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
	return s[:min(len(s), 200)]
}

func digestOf(h proto.HostTasks) (string, error) {
	b, err := proto.Marshal(h)
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8]), err
}

// zone returns the name of the host's time zone, "" where it can't be told.
func zone(root string) string {
	local := filepath.Join(root, "etc/localtime")
	target, err := os.Readlink(local)
	if err != nil {
		return copied(root, local)
	}
	_, name, ok := strings.Cut(target, "/zoneinfo/")
	if !ok || len(name) > maxZone {
		return ""
	}
	return plain(name)
}

// copied returns what Debian says of a zone that is a copy, and no link.
func copied(root, local string) string {
	if info, err := os.Lstat(local); err != nil || !info.Mode().IsRegular() {
		return ""
	}
	f, err := os.OpenFile(filepath.Join(root, "etc/timezone"), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return ""
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxZone+1))
	if err != nil || len(b) > maxZone {
		return ""
	}
	return plain(strings.TrimSpace(string(b)))
}
