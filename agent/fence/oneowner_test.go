package fence_test

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/glidepath/glidepath/agent/fence"
	"github.com/glidepath/glidepath/internal/durable/crashfs"
	"github.com/glidepath/glidepath/proto"
)

const (
	instance   = "cache-1"
	unit       = "redis-server.service"
	dir        = "/fence"
	permitLen  = 15 * time.Second
	leaderWait = 20 * time.Second
)

// host is one agent's records on a disk that can lose power, and its clock.
type host struct {
	disk   *crashfs.FS
	store  *fence.Store
	boot   string
	booted time.Duration // when, in the model's time
}

func (h *host) moment(now time.Duration) fence.Moment {
	return fence.Moment{Boot: h.boot, Since: now - h.booted}
}

// mayRun reports whether the host may run the instance. One that has nothing to do with it does not count: its unit of that name is another.
func (h *host) mayRun(now time.Duration) bool {
	ok, _ := fence.MayRunAt(h.disk, dir, unit, h.moment(now))
	r := h.store.Get(instance)
	return ok && r.State != proto.FenceNone && len(r.Units) > 0
}

// message is an operation on its way to a host, or its answer on the way back.
type message struct {
	kind    proto.OperationKind
	to      int
	req     fence.Request
	answer  bool
	err     error
	asked   fence.Moment // of a permit
	granted bool
}

// leader decides as the protocol says: commit and abort exclude each other by the fence, a permit is waited for, and after the
// confirmation only the target's refusal leads back.
type leader struct {
	owner     int
	fence     uint64
	phase     string // idle, prepared, freezing, frozen, committed, confirmed, aborting, thawing
	migration int
	granted   time.Duration // when the last permit was answered
}

const (
	asksPermit  proto.OperationKind = "permit"
	asksRefusal proto.OperationKind = "asks for a refusal" // source to target
	refusal     proto.OperationKind = "refusal"            // target to source
)

type world struct {
	t     *testing.T
	now   time.Duration
	hosts [2]*host
	lead  leader
	net   []message

	thawed int // on the target's word
	rnd    *rand.Rand
}

func (w *world) token() fence.Token { return fence.Token{Incarnation: 1, Fence: w.lead.fence} }

func (w *world) id() string {
	return "m-" + string(rune('a'+w.lead.migration%26)) + string(rune('a'+w.lead.migration/26%26))
}

func (w *world) send(kind proto.OperationKind, to int) {
	w.net = append(w.net, message{kind: kind, to: to, req: fence.Request{Instance: instance, Migration: w.id(), Token: w.token(), Units: []string{unit}}})
}

func (w *world) target() int { return 1 - w.lead.owner }

// act lets the leader send or decide one of the things that its phase allows.
func (w *world) act() {
	l := &w.lead
	abort := w.rnd.IntN(30) == 0
	switch l.phase {
	case "idle":
		l.migration++
		l.phase = "prepared"
		w.send(proto.OpPrepareTarget, w.target())
	case "prepared":
		if abort {
			l.phase = "idle"
			l.fence++
			w.send(proto.OpCleanTarget, w.target())
			return
		}
		w.send(proto.OpPrepareTarget, w.target())
		l.phase = "freezing"
		l.fence++
	case "freezing":
		if abort {
			l.phase = "thawing"
			l.fence++
			return
		}
		w.send(proto.OpFreeze, l.owner)
	case "frozen":
		l.fence++
		l.phase = "committed"
		if abort {
			l.phase = "thawing"
		}
	case "committed":
		w.send(proto.OpStart, w.target())
		if w.rnd.IntN(4) == 0 {
			l.phase = "aborting"
		}
	case "confirmed":
		w.send(proto.OpConfirm, w.target())
	case "aborting":
		if w.rnd.IntN(3) == 0 {
			w.send(proto.OpRefuse, w.target())
		}
		if w.now-l.granted > leaderWait { // nobody can be running it under a permit any more, and none is given
			l.phase = "thawing"
			l.fence++
		}
	case "thawing":
		w.send(proto.OpThaw, l.owner)
		w.send(proto.OpCleanTarget, w.target())
	}
}

// hear lets the leader learn from an answer, if the answer is to its present question.
func (w *world) hear(m message) {
	l := &w.lead
	if m.req.Migration != w.id() || m.req.Token != w.token() {
		return
	}
	switch {
	case m.kind == asksPermit && l.phase == "committed" && m.to == w.target():
		l.granted = w.now
		m.granted, m.answer = true, false
		w.net = append(w.net, m)
	case m.kind == proto.OpFreeze && m.err == nil && l.phase == "freezing":
		l.phase = "frozen"
	case m.kind == proto.OpStart && m.err == nil && l.phase == "committed":
		l.phase = "confirmed"
	case m.kind == proto.OpConfirm && m.err == nil && l.phase == "confirmed":
		w.send(proto.OpRetire, l.owner)
		l.owner, l.phase = w.target(), "idle"
	case m.kind == proto.OpRefuse && m.err == nil && l.phase == "aborting":
		l.phase = "thawing"
		l.fence++
	case m.kind == proto.OpThaw && m.err == nil && l.phase == "thawing":
		l.phase = "idle"
	}
	var fault *proto.Fault
	if m.kind == proto.OpConfirm && l.phase == "confirmed" && errors.As(m.err, &fault) && fault.Code == proto.FaultRefused {
		l.phase = "aborting" // which only a durable refusal ends, as no permit is given
		l.granted = 1 << 60
	}
}

// deliver hands one message to a host, or an answer to the leader.
func (w *world) deliver(m message) {
	switch {
	case m.answer:
		w.hear(m)
		return
	case m.kind == asksRefusal:
		w.answerPeer(m)
		return
	case m.kind == refusal:
		w.heed(m)
		return
	}
	h := w.hosts[m.to]
	now := h.moment(w.now)
	var err error
	change := func(f func(fence.Record) (fence.Record, error)) {
		_, err = h.store.Change(instance, f)
	}
	q := m.req
	switch m.kind {
	case proto.OpPrepareTarget:
		change(func(r fence.Record) (fence.Record, error) { return r.Prepare(q) })
	case proto.OpFreeze:
		change(func(r fence.Record) (fence.Record, error) { return r.Freeze(q) })
	case proto.OpStart:
		// The target first asks; its clock counts from now.
		ask := m
		ask.kind, ask.asked, ask.answer = asksPermit, now, true
		w.net = append(w.net, ask)
		return
	case asksPermit: // granted
		permit := fence.NewPermit(m.asked, permitLen)
		renewed := false
		change(func(r fence.Record) (fence.Record, error) {
			renewed = r.State == proto.FenceStarting
			if renewed {
				return r.Renew(q, permit, now)
			}
			return r.Start(q, permit, now)
		})
		m.kind = proto.OpStart
	case proto.OpConfirm:
		change(func(r fence.Record) (fence.Record, error) { return r.Confirm(q, now) })
	case proto.OpRefuse:
		change(func(r fence.Record) (fence.Record, error) { return r.Refuse(q) })
	case proto.OpThaw:
		change(func(r fence.Record) (fence.Record, error) { return r.Thaw(q) })
	case proto.OpRetire:
		change(func(r fence.Record) (fence.Record, error) { return r.Retire(q) })
	case proto.OpCleanTarget:
		change(func(r fence.Record) (fence.Record, error) { return r.Clean(q) })
	}
	if errors.Is(err, crashfs.ErrPowerLost) {
		w.reboot(m.to)
		return
	}
	m.answer, m.err = true, err
	w.net = append(w.net, m)
}

func (w *world) reboot(n int) {
	h := w.hosts[n]
	h.disk = h.disk.Restart(w.rnd)
	h.boot += "x"
	h.booted = w.now
	w.restartAgent(n)
}

func (w *world) restartAgent(n int) {
	h := w.hosts[n]
	store, err := fence.Open(h.disk, dir)
	if err == nil {
		h.store = store
		_, err = store.Recover(h.moment(w.now))
	}
	if errors.Is(err, crashfs.ErrPowerLost) {
		w.reboot(n)
	} else if err != nil {
		w.t.Fatal(err)
	}
}

// askPeer is the direct link: a frozen source asks the target whether it has refused what could follow its freeze. The
// question and the answer are lost, late and repeated as all messages are.
func (w *world) askPeer(from int) {
	r := w.hosts[from].store.Get(instance)
	if r.State != proto.FenceFrozen {
		return
	}
	q := fence.Request{Instance: instance, Migration: r.Migration, Token: r.Token.Next(), Units: []string{unit}}
	w.net = append(w.net, message{kind: asksRefusal, to: 1 - from, req: q})
}

// answerPeer is the target's part. A target that is prepared refuses, another says what it has refused.
func (w *world) answerPeer(m message) {
	r, err := w.hosts[m.to].store.Change(instance, func(r fence.Record) (fence.Record, error) {
		if next, err := r.RefuseSource(m.req); err == nil {
			return next, nil
		}
		return r, nil
	})
	switch {
	case errors.Is(err, crashfs.ErrPowerLost):
		w.reboot(m.to)
	case err == nil && r.HasRefused(m.req):
		w.net = append(w.net, message{kind: refusal, to: 1 - m.to, req: fence.Request{Migration: m.req.Migration, Token: r.Refused}})
	}
}

// heed is the source's part when the answer comes.
func (w *world) heed(m message) {
	_, err := w.hosts[m.to].store.Change(instance, func(r fence.Record) (fence.Record, error) { return r.ThawRefused(m.req.Migration, m.req.Token) })
	switch {
	case errors.Is(err, crashfs.ErrPowerLost):
		w.reboot(m.to)
	case err == nil:
		w.thawed++
	}
}

func (w *world) check(seed uint64) {
	w.t.Helper()
	if w.hosts[0].mayRun(w.now) && w.hosts[1].mayRun(w.now) {
		w.t.Fatalf("seed %d: two owners: %+v and %+v; leader %+v", seed, w.hosts[0].store.Get(instance), w.hosts[1].store.Get(instance), w.lead)
	}
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{t: t, rnd: rand.New(rand.NewPCG(seed, 0)), lead: leader{fence: 1, phase: "idle"}, now: time.Hour}
	for i := range w.hosts {
		disk := crashfs.New()
		store, err := fence.Open(disk, dir)
		if err != nil {
			t.Fatal(err)
		}
		w.hosts[i] = &host{disk: disk, store: store, boot: string(rune('A' + i))}
	}
	if _, err := w.hosts[0].store.Change(instance, func(r fence.Record) (fence.Record, error) {
		return r.Adopt(fence.Request{Instance: instance, Token: w.token(), Units: []string{unit}})
	}); err != nil {
		t.Fatal(err)
	}
	return w
}

// TestOneOwner lets messages be lost, repeated, late and out of order, hosts lose power in the middle of a write, agents
// restart, permits run out and cut-off sources ask their targets, and looks at both hosts after each event.
func TestOneOwner(t *testing.T) {
	moves, aborts, thawed := 0, 0, 0
	for seed := range uint64(400) {
		w := newWorld(t, seed)
		for range 400 {
			owner, phase := w.lead.owner, w.lead.phase
			w.event()
			w.check(seed)
			if w.lead.owner != owner {
				moves++
			}
			if phase == "thawing" && w.lead.phase == "idle" {
				aborts++
			}
		}
		thawed += w.thawed
	}
	if moves < 100 || aborts < 100 || thawed < 100 {
		t.Errorf("%d moves and %d aborts came to their end, %d sources thawed by themselves: too few to test anything", moves, aborts, thawed)
	}
	t.Logf("%d completed moves, %d completed aborts, %d sources that thawed by themselves", moves, aborts, thawed)
}

// event lets one thing happen.
func (w *world) event() {
	anyHost := w.rnd.IntN(2)
	switch n := w.rnd.IntN(100); {
	case n < 22:
		w.act()
	case n < 86 && len(w.net) > 0:
		i := max(0, len(w.net)-1-w.rnd.IntN(4)) // mostly the newest
		if w.rnd.IntN(8) == 0 {
			i = w.rnd.IntN(len(w.net))
		}
		m := w.net[i]
		if w.rnd.IntN(5) > 0 {
			w.net = append(w.net[:i], w.net[i+1:]...)
		}
		w.deliver(m)
	case n < 89 && len(w.net) > 0:
		i := w.rnd.IntN(len(w.net))
		w.net = append(w.net[:i], w.net[i+1:]...)
	case n < 93:
		w.now += time.Duration(w.rnd.IntN(9000)) * time.Millisecond
	case n < 94:
		w.reboot(anyHost)
	case n < 95:
		w.restartAgent(anyHost)
	case n < 97:
		w.hosts[anyHost].disk.LosePowerAt(1 + w.rnd.IntN(5))
	default:
		w.askPeer(anyHost)
	}
}
