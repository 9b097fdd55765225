package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/glidepath/glidepath/agent/fence"
	"github.com/glidepath/glidepath/agent/instance"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// stage notes who was asked for what, in order. It is driver, source and target at once.
type stage struct {
	record  fence.Record
	fail    map[string]error // by what was asked
	asked   []string
	waiting chan struct{} // Operate waits for its context, when not nil
}

func (s *stage) ask(format string, args ...any) error {
	what := fmt.Sprintf(format, args...)
	s.asked = append(s.asked, what)
	return s.fail[what]
}

func (s *stage) Operate(ctx context.Context, op proto.Operation) proto.OperationResult {
	err := s.ask("drive %s", op.Kind)
	if s.waiting != nil {
		select {
		case <-ctx.Done():
			err = ctx.Err()
		case <-s.waiting:
		}
	}
	return proto.OperationResult{Error: faultOf(err)}
}
func (s *stage) Recover(context.Context) error                     { return nil }
func (s *stage) Run(context.Context) error                         { return nil }
func (s *stage) Holdings(context.Context) ([]proto.Holding, error) { return nil, nil }

func (s *stage) Early(_ context.Context, op proto.Operation, _ func(proto.Progress)) (proto.RoundResult, error) {
	return proto.RoundResult{Bytes: 7}, s.ask("early round %d", op.Round)
}
func (s *stage) Final(context.Context, proto.Operation) (proto.RoundResult, error) {
	return proto.RoundResult{Digest: "d"}, s.ask("final round")
}
func (s *stage) Arm(proto.Operation)           { s.asked = append(s.asked, "arm") }
func (s *stage) Begin(proto.Operation)         { s.asked = append(s.asked, "begin") }
func (s *stage) Forget(migration string) error { return s.ask("forget %s", migration) }
func (s *stage) Open(op proto.Operation) error { return s.ask("open %s", op.Migration) }
func (s *stage) Close(migration string) error  { return s.ask("close %s", migration) }

func (s *stage) operator(ended *[]proto.OperationResult) *operator {
	return &operator{
		drivers: map[string]instance.Driver{"service": s}, source: s, target: s, release: func(context.Context) { s.asked = append(s.asked, "release") },
		record: func(string) fence.Record { return s.record },
		now:    func() timeline.Time { return timeline.Of(time.Now()) },
		began:  func(string) func() { return func() {} },
		ended:  func(_ proto.Operation, r proto.OperationResult) { *ended = append(*ended, r) },
	}
}

func operation(kind proto.OperationKind, at uint64) proto.Operation {
	return proto.Operation{
		ID: "op-1", Kind: kind, Migration: "m-1", Instance: "cache-1", Incarnation: 1, Fence: at, Round: 1,
		Spec: proto.InstanceSpec{Driver: "service"}, Peer: proto.Peer{Host: "host-b", SyncAddr: "10.0.0.2:7647"},
	}
}

func recordIn(state proto.FenceState, at uint64) fence.Record {
	return fence.Record{
		Instance: "cache-1", State: state, Migration: "m-1", Token: fence.Token{Incarnation: 1, Fence: at},
		Spec: proto.InstanceSpec{Driver: "service"},
	}
}

func TestEachOperationAsksWhoItConcernsInOrder(t *testing.T) {
	for kind, want := range map[proto.OperationKind]struct {
		state proto.FenceState
		asks  []string
	}{
		proto.OpAdopt:         {proto.FenceNone, []string{"drive adopt"}},
		proto.OpVerifySource:  {proto.FenceOwner, []string{"drive verify-source"}},
		proto.OpPrepareTarget: {proto.FenceNone, []string{"drive prepare-target", "open m-1"}},
		proto.OpSyncRound:     {proto.FenceOwner, []string{"early round 1"}},
		proto.OpFreeze:        {proto.FenceOwner, []string{"arm", "drive freeze", "begin"}},
		proto.OpFinalSync:     {proto.FenceFrozen, []string{"final round"}},
		proto.OpStart:         {proto.FenceTarget, []string{"close m-1", "drive start"}},
		proto.OpConfirm:       {proto.FenceStarting, []string{"drive confirm"}},
		proto.OpRefuse:        {proto.FenceTarget, []string{"close m-1", "drive refuse"}},
		proto.OpCleanTarget:   {proto.FenceRefused, []string{"close m-1", "release", "drive clean-target"}},
		proto.OpRetire:        {proto.FenceFrozen, []string{"drive retire", "forget m-1"}},
		proto.OpThaw:          {proto.FenceFrozen, []string{"forget m-1", "drive thaw"}},
	} {
		s := &stage{record: recordIn(want.state, 1)}
		var ended []proto.OperationResult
		result := s.operator(&ended).handle(t.Context(), operation(kind, 1), func(proto.Progress) {})
		if diff := cmp.Diff(want.asks, s.asked); diff != "" || result.Error != nil || len(ended) != 1 {
			t.Errorf("%s: %v, ended %d times\n%s", kind, result.Error, len(ended), diff)
		}
	}
}

func TestNothingIsSentOfAnInstanceThatCouldNotBeFrozen(t *testing.T) {
	s := &stage{record: recordIn(proto.FenceOwner, 1), fail: map[string]error{"drive freeze": errors.New("it does not stop")}}
	s.operator(new([]proto.OperationResult)).handle(t.Context(), operation(proto.OpFreeze, 1), func(proto.Progress) {})
	if diff := cmp.Diff([]string{"arm", "drive freeze"}, s.asked); diff != "" {
		t.Error(diff)
	}
}

func TestWhatFailsEndsTheOperationWithAFault(t *testing.T) {
	for kind, fails := range map[proto.OperationKind]string{
		proto.OpPrepareTarget: "open m-1", proto.OpSyncRound: "early round 1", proto.OpStart: "close m-1", proto.OpRefuse: "drive refuse",
	} {
		state := proto.FenceTarget
		if kind == proto.OpSyncRound {
			state = proto.FenceOwner
		}
		s := &stage{record: recordIn(state, 1), fail: map[string]error{fails: errors.New("the disk is on fire")}}
		result := s.operator(new([]proto.OperationResult)).handle(t.Context(), operation(kind, 1), func(proto.Progress) {})
		if result.Error == nil || result.Error.Code != proto.FaultFailed {
			t.Errorf("%s: %v", kind, result.Error)
		}
		if kind == proto.OpStart && slices.Contains(s.asked, "drive start") {
			t.Error("started although the target may still receive")
		}
	}
}

func TestDataAreSentOnlyByTheSourceAndUnderTheNewestDecision(t *testing.T) {
	for name, test := range map[string]struct {
		kind   proto.OperationKind
		record fence.Record
		code   string
	}{
		"an early round of a host that is no owner":  {proto.OpSyncRound, recordIn(proto.FenceTarget, 1), proto.FaultRefused},
		"an early round of a source that is frozen":  {proto.OpSyncRound, recordIn(proto.FenceFrozen, 1), proto.FaultRefused},
		"a final round of a source that runs":        {proto.OpFinalSync, recordIn(proto.FenceOwner, 1), proto.FaultRefused},
		"a round that comes after a newer decision":  {proto.OpSyncRound, recordIn(proto.FenceOwner, 2), proto.FaultStale},
		"a final round that comes after the abort's": {proto.OpFinalSync, recordIn(proto.FenceFrozen, 2), proto.FaultStale},
	} {
		s := &stage{record: test.record}
		result := s.operator(new([]proto.OperationResult)).handle(t.Context(), operation(test.kind, 1), func(proto.Progress) {})
		if result.Error == nil || result.Error.Code != test.code || len(s.asked) != 0 {
			t.Errorf("%s: %v, asked %q", name, result.Error, s.asked)
		}
	}
}

func TestALateOperationClosesNoTransferOfANewerMigration(t *testing.T) {
	s := &stage{record: recordIn(proto.FenceTarget, 5)}
	s.operator(new([]proto.OperationResult)).handle(t.Context(), operation(proto.OpCleanTarget, 2), func(proto.Progress) {})
	if diff := cmp.Diff([]string{"drive clean-target"}, s.asked); diff != "" {
		t.Error(diff)
	}
}

func TestTheDeadlineEndsAnOperationUnlessItLeadsToLessRunning(t *testing.T) {
	for kind, cut := range map[proto.OperationKind]bool{proto.OpConfirm: true, proto.OpRetire: false} {
		synctest.Test(t, func(t *testing.T) {
			s := &stage{record: recordIn(proto.FenceStarting, 1), waiting: make(chan struct{})}
			op := operation(kind, 1)
			op.Deadline = timeline.Of(time.Now().Add(time.Second))
			go func() { time.Sleep(time.Minute); close(s.waiting) }()
			began := time.Now()
			result := s.operator(new([]proto.OperationResult)).handle(t.Context(), op, func(proto.Progress) {})
			if (time.Since(began) == time.Second) != cut || (result.Error != nil) != cut {
				t.Errorf("%s ended after %s: %v", kind, time.Since(began), result.Error)
			}
			time.Sleep(time.Minute)
		})
	}
}

func TestAnUnknownDriverIsRefused(t *testing.T) {
	op := operation(proto.OpAdopt, 1)
	op.Spec.Driver = "zone"
	s := &stage{}
	result := s.operator(new([]proto.OperationResult)).handle(t.Context(), op, func(proto.Progress) {})
	if result.Error == nil || result.Error.Code != proto.FaultRefused || len(s.asked) != 0 {
		t.Errorf("%v, asked %q", result.Error, s.asked)
	}
}
