package api

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/coordinator/auth"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// How often changes are looked for at most, how often the leader and the token are, after how long a silent stream says that it is there, and
// how many may follow one coordinator.
const (
	changesPause     = 200 * time.Millisecond
	changesEvery     = time.Second
	changesHeartbeat = 10 * time.Second
	maxFollowers     = 256
)

// eventStream is the media type of server-sent events.
const eventStream = "text/event-stream"

// follower is one who follows the changes.
type follower struct {
	*call
	kinds  []v1.ChangeKind // all but what the role may not see; never empty
	since  uint64
	sse    bool
	leader string
	spoke  time.Time // when the last line was written
}

// streamChanges writes a line for what changes in the fleet, without end.
func streamChanges(c *call) (any, error) {
	f := &follower{call: c, sse: strings.Contains(c.r.Header.Get("Accept"), eventStream)}
	q := query{c: c}
	since := q.text("since")
	if since == "" {
		since = c.r.Header.Get("Last-Event-ID") // of a browser that comes back
	}
	var err error
	if since != "" {
		if f.since, err = strconv.ParseUint(since, 10, 63); err != nil {
			return nil, invalid("since=%.40q is not a whole number from 0 to %d", since, uint64(math.MaxInt64))
		}
	}
	if f.kinds, err = f.chosen(q.text("kind")); err != nil {
		return nil, err
	}
	if c.followers.Add(1) > maxFollowers {
		c.followers.Add(-1)
		return nil, &v1.Error{
			Code: v1.CodeUnavailable, Message: fmt.Sprintf("%d follow the changes at this coordinator already", maxFollowers), Remedy: "follow them at another, or end some",
		}
	}
	return stream(func(w http.ResponseWriter) error {
		defer c.followers.Add(-1)
		media := lines
		if f.sse {
			media = eventStream
		}
		w.Header().Set("Content-Type", media)
		return f.follow(w, since != "")
	}), nil
}

// chosen reads the kinds that are asked for, parted by commas. Tokens are an admin's to see.
func (f *follower) chosen(text string) ([]v1.ChangeKind, error) {
	admin := auth.Authorise(f.who, proto.RoleAdmin)
	if text == "" {
		return slices.DeleteFunc(v1.ChangeKinds(), func(k v1.ChangeKind) bool { return k == v1.ChangeToken && admin != nil }), nil
	}
	var out []v1.ChangeKind
	for word := range strings.SplitSeq(text, ",") {
		k := v1.ChangeKind(word)
		switch {
		case !slices.Contains(v1.ChangeKinds(), k):
			return nil, invalid("kind=%.40q is none of %v", word, v1.ChangeKinds())
		case k == v1.ChangeToken && admin != nil:
			return nil, admin
		}
		out = append(out, k)
	}
	return out, nil
}

// follow writes what changes until the client leaves, its token is no longer good, or the coordinator stops.
func (f *follower) follow(w http.ResponseWriter, resume bool) error {
	tick := time.NewTicker(changesEvery)
	defer tick.Stop()
	f.look()
	f.leader, _ = f.cfg.Leader()
	_, upTo, kept := f.feed.after(f.since)
	first := v1.Change{Kind: v1.ChangeBegin, Index: f.since, Message: "led by " + f.leader}
	if f.leader == "" {
		first.Message = "there is no leader"
	}
	if !resume {
		f.since, first.Index = upTo, upTo
	}
	if err := f.tell(w, first); err != nil {
		return err
	}
	for lost := resume && !kept; ; lost = false {
		changed := f.cfg.Changed()
		f.look()
		if err := f.news(w, lost); err != nil {
			return err
		}
		if _, err := auth.Authenticate(f.view, f.r.Header.Get("Authorization"), f.now); err != nil {
			return f.tell(w, v1.Change{Kind: v1.ChangeEnd, Index: f.since, Message: err.Error()})
		}
		if !f.wait(tick.C, changed) {
			return nil
		}
		// What changes within a moment is told together.
		pause := time.NewTimer(changesPause)
		goesOn := f.wait(pause.C, nil)
		pause.Stop()
		if !goesOn {
			return nil
		}
	}
}

// wait returns when it is time, or something has changed; false when the stream is to end.
func (f *follower) wait(tick <-chan time.Time, changed <-chan struct{}) bool {
	select {
	case <-tick:
		return true
	case <-changed:
		return true
	case <-f.closing: // the client goes on at another coordinator
		return false
	case <-f.ctx.Done():
		return false
	}
}

// look takes the tables as they are now.
func (f *follower) look() {
	f.view, f.now = f.cfg.View(), timeline.Of(time.Now())
	f.feed.look(f.view, f.now)
}

// news writes what is new since the last time; or, if some of it is lost, that.
func (f *follower) news(w http.ResponseWriter, lost bool) error {
	changes, upTo, ok := f.feed.after(f.since)
	if lost || !ok {
		f.since = upTo
		err := f.tell(w, v1.Change{
			Kind: v1.ChangeResync, Index: upTo, Message: "what changed before is not kept here, at least not all of it: list again what you follow",
		})
		if err != nil {
			return err
		}
		changes = nil
	}
	if leader, _ := f.cfg.Leader(); leader != f.leader {
		f.leader = leader
		if slices.Contains(f.kinds, v1.ChangeLeader) {
			changes = append([]v1.Change{{Kind: v1.ChangeLeader, What: v1.ChangeChanged, Index: f.since, Name: leader}}, changes...)
		}
	}
	changes = slices.DeleteFunc(changes, func(c v1.Change) bool { return !slices.Contains(f.kinds, c.Kind) })
	f.since = upTo
	if n := len(changes); n > 0 {
		changes[n-1].Index = upTo // whatever was left out after it
		return f.tell(w, changes...)
	}
	if time.Since(f.spoke) >= changesHeartbeat {
		return f.tell(w, v1.Change{Kind: v1.ChangeHeartbeat, Index: upTo})
	}
	return nil
}

// tell writes lines. A client that does not take them in time is cut off.
func (f *follower) tell(w http.ResponseWriter, changes ...v1.Change) error {
	control := http.NewResponseController(w)
	for _, c := range changes {
		if c.At == 0 {
			c.At = f.now
		}
		text, err := json.Marshal(c)
		if err != nil {
			return err
		}
		if f.sse {
			text = fmt.Appendf(nil, "id: %d\nevent: %s\ndata: %s\n", c.Index, c.Kind, text)
		}
		// Some writers, those of tests, have no deadlines.
		_ = control.SetWriteDeadline(time.Now().Add(watchWrite))
		if _, err := w.Write(append(text, '\n')); err != nil {
			return err
		}
	}
	f.spoke = time.Now()
	return control.Flush()
}
