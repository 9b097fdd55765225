package service

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/glidepath/glidepath/agent/address"
	"github.com/glidepath/glidepath/agent/fence"
	"github.com/glidepath/glidepath/proto"
)

// asked is what the target answers its source.
func (l *lab) asked(migration string, token uint64) (fence.Token, proto.FenceState, error) {
	q := fence.Request{Instance: name, Migration: migration, Token: fence.Token{Incarnation: 1, Fence: token}}
	return l.hosts[1].driver.Refused(context.Background(), q, true)
}

// thawDirectly has the source go on by its target's word. Both agents may die at any point, and go on as real ones do: the
// source asks for as long as it is frozen, and starts what it has not started.
func (l *lab) thawDirectly(migration string, token uint64) {
	l.t.Helper()
	a, b := l.hosts[0], l.hosts[1]
	fault := errors.New("not yet")
	for fault != nil {
		refused := fence.Token{Incarnation: 1, Fence: token}
		_, crashed := l.survive(b, func() proto.OperationResult {
			if a.driver.Fence.Get(name).State == proto.FenceFrozen {
				refused, _, fault = l.asked(migration, token)
				l.must(fault)
			}
			return proto.OperationResult{}
		})
		if crashed {
			l.again(b)
			continue
		}
		if _, crashed = l.survive(a, func() proto.OperationResult {
			fault = a.driver.ThawRefused(context.Background(), name, migration, refused)
			l.must(fault)
			return proto.OperationResult{}
		}); crashed {
			l.again(a)
			fault = errors.New("not yet")
			if r := a.driver.Fence.Get(name); r.State == proto.FenceOwner && !r.Unstarted {
				return // nobody would ask or start any more
			}
		}
	}
}

// again starts an agent that died, as often as it dies meanwhile.
func (l *lab) again(h *labHost) {
	for crashed := true; crashed; {
		_, crashed = l.survive(h, func() proto.OperationResult {
			h.boot()
			l.must(h.driver.Recover(context.Background()))
			return proto.OperationResult{}
		})
	}
}

func TestATargetTellsItsSourceNothingThatLetsTwoRun(t *testing.T) {
	for title, test := range map[string]struct {
		until   func(*lab)
		refused bool
		state   proto.FenceState
	}{
		"starting": {func(l *lab) { started(l) }, false, proto.FenceStarting},
		"owner":    {func(l *lab) { started(l); l.done(1, proto.OpConfirm, 3, m1, nil) }, false, proto.FenceOwner},
		"refused":  {func(l *lab) { started(l); l.done(1, proto.OpRefuse, 3, m1, nil) }, true, proto.FenceRefused},
		"cleaned":  {func(l *lab) { started(l); l.done(1, proto.OpCleanTarget, 4, m1, nil) }, true, proto.FenceNone},
		"prepared": {func(l *lab) { prepared(l); l.done(0, proto.OpFreeze, 2, m1, nil) }, true, proto.FenceRefused},
	} {
		synctest.Test(t, func(t *testing.T) {
			l := newLab(t)
			test.until(l)
			token, state, err := l.asked(m1, 3)
			if got := token.Compare(fence.Token{Incarnation: 1, Fence: 3}) >= 0; err != nil || got != test.refused || state != test.state {
				t.Errorf("%s: refused %s, %q, %v", title, token, state, err)
			}
		})
	}
}

func TestARefusalIsToldOnlyWhenNothingRunsAnyMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		started(l)
		b := l.hosts[1]
		// The permit has run out: its keeper has made the record refuse, and not yet stopped the unit.
		_, err := b.driver.Fence.Change(name, func(r fence.Record) (fence.Record, error) {
			return r.Recover(fence.Moment{Boot: "another", Since: 1}), nil
		})
		l.must(err)
		if token, _, err := l.asked(m1, 3); err != nil || token.Fence != 3 {
			t.Errorf("refused %s, %v", token, err)
		}
		if b.units[unitName].ActiveState != "inactive" || b.places != both(address.Nowhere) {
			t.Errorf("it was told while the unit was %s and the address %s", b.units[unitName].ActiveState, b.places)
		}
	})
}

func TestOfACommitAndASourcesQuestionOneWins(t *testing.T) {
	starts, thaws := 0, 0
	for range 40 {
		l := newLab(t)
		prepared(l)
		l.done(0, proto.OpFreeze, 2, m1, nil)
		a, b := l.hosts[0], l.hosts[1]
		var both sync.WaitGroup
		var start proto.OperationResult
		both.Go(func() { start = l.do(1, proto.OpStart, 3, m1, nil) })
		both.Go(func() {
			if token, _, err := l.asked(m1, 3); err == nil && token.Fence >= 3 {
				if err := a.driver.ThawRefused(context.Background(), name, m1, token); err != nil {
					t.Error(err)
				}
			}
		})
		both.Wait()
		thawed := a.driver.Fence.Get(name).State == proto.FenceOwner
		if thawed == (b.driver.Fence.Get(name).State == proto.FenceStarting) {
			t.Errorf("the source thawed: %v, the target is %q (%v)", thawed, b.driver.Fence.Get(name).State, start.Error)
		}
		if thawed {
			thaws++
		} else {
			starts++
		}
		for _, what := range l.broken {
			t.Error(what)
		}
	}
	t.Logf("%d started, %d thawed", starts, thaws)
}
