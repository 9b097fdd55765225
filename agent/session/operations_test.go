package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/glidepath/glidepath/internal/durable"
	"github.com/glidepath/glidepath/internal/durable/crashfs"
	"github.com/glidepath/glidepath/internal/wire"
	"github.com/glidepath/glidepath/proto"
)

func openOps(t *testing.T, path string, h Handler) (*Operations, []proto.Operation) {
	t.Helper()
	o, resume, err := OpenOperations(durable.OS{}, path, h, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return o, resume
}

func TestAnOperationIsCarriedOutOnceHoweverOftenItIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "operations")
		var runs atomic.Int32
		release := make(chan struct{})
		handler := func(_ context.Context, op proto.Operation, progress func(proto.Progress)) proto.OperationResult {
			runs.Add(1)
			progress(proto.Progress{Bytes: 7, Total: 9})
			<-release
			return proto.OperationResult{Error: &proto.Fault{Code: proto.FaultFailed, What: op.Instance + " went wrong"}}
		}
		o, _ := openOps(t, path, handler)
		op := proto.Operation{ID: "op-1", Kind: proto.OpSyncRound, Instance: "cache-1"}
		results := make(chan proto.OperationResult, 3)
		for range 3 {
			go func() {
				r, err := o.Do(context.Background(), op)
				if err != nil {
					t.Error(err)
				}
				results <- r
			}()
		}
		synctest.Wait()
		if p, running := o.Progress("op-1"); !running || p.Bytes != 7 || p.ID != "op-1" {
			t.Errorf("progress %v, %v", p, running)
		}
		close(release)
		want := <-results
		for range 2 {
			if diff := cmp.Diff(want, <-results); diff != "" {
				t.Error(diff)
			}
		}
		if err := o.Close(); err != nil {
			t.Error(err)
		}
		o, resume := openOps(t, path, handler)
		if r, err := o.Do(context.Background(), op); err != nil || len(resume) != 0 || cmp.Diff(want, r) != "" {
			t.Errorf("after a restart: %v, %v, to resume %v", r, err, resume)
		}
		if n := runs.Load(); n != 1 {
			t.Errorf("carried out %d times", n)
		}
		if err := o.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestOperationsOfAnInstanceRunOneAfterTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int32
		step := make(chan struct{})
		o, _ := openOps(t, filepath.Join(t.TempDir(), "operations"), func(ctx context.Context, _ proto.Operation, _ func(proto.Progress)) proto.OperationResult {
			most.Store(max(most.Load(), now.Add(1)))
			defer now.Add(-1)
			select {
			case <-step:
			case <-ctx.Done():
				return proto.OperationResult{Error: &proto.Fault{Code: proto.FaultFailed, What: "cancelled"}}
			}
			return proto.OperationResult{}
		})
		done := make(chan *proto.Fault, 2)
		for _, id := range []string{"a", "b"} {
			go func() {
				r, err := o.Do(context.Background(), proto.Operation{ID: id, Instance: "cache-1"})
				if err != nil {
					t.Error(err)
				}
				done <- r.Error
			}()
		}
		synctest.Wait()
		if now.Load() != 1 {
			t.Errorf("%d run at once", now.Load())
		}
		o.Cancel("a")
		o.Cancel("b")
		for range 2 {
			if f := <-done; f == nil {
				t.Error("a cancelled operation succeeded")
			}
		}
		if most.Load() != 1 {
			t.Errorf("%d ran at once", most.Load())
		}
		if err := o.Close(); err != nil {
			t.Error(err)
		}
		if _, err := o.Do(context.Background(), proto.Operation{ID: "late"}); wire.CodeOf(err) != wire.Unavailable {
			t.Errorf("after Close: %v", err)
		}
	})
}

func TestAfterACrashOnlyWhatLeadsToLessRunningIsFinished(t *testing.T) {
	fsys := crashfs.New()
	quiet := slog.New(slog.DiscardHandler)
	open := func(h Handler) (*Operations, []proto.Operation) {
		o, resume, err := OpenOperations(fsys, "/operations", h, quiet)
		if err != nil {
			t.Fatal(err)
		}
		return o, resume
	}
	begun := make(chan struct{})
	o, _ := open(func(ctx context.Context, _ proto.Operation, _ func(proto.Progress)) proto.OperationResult {
		begun <- struct{}{}
		<-ctx.Done()
		return proto.OperationResult{Error: &proto.Fault{Code: proto.FaultFailed, What: "the agent stops"}}
	})
	for id, kind := range map[string]proto.OperationKind{"f": proto.OpFreeze, "s": proto.OpStart, "c": proto.OpCleanTarget} {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if _, err := o.Do(ctx, proto.Operation{ID: id, Kind: kind, Instance: id}); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		<-begun
	}
	if n := o.journal.Len(); n != 2 {
		t.Errorf("%d operations are in the journal: what leads towards more would not be finished", n)
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	ran := make(chan string, 3)
	o, resume := open(func(_ context.Context, op proto.Operation, _ func(proto.Progress)) proto.OperationResult {
		ran <- op.ID
		return proto.OperationResult{}
	})
	if len(resume) != 2 {
		t.Fatalf("to be finished: %v", resume)
	}
	if err := o.Resume(resume); err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{<-ran: true, <-ran: true}
	if !got["f"] || !got["c"] {
		t.Errorf("finished %v", got)
	}
	// What led towards more is carried out when it is still wanted.
	if r, err := o.Do(context.Background(), proto.Operation{ID: "s", Kind: proto.OpStart, Instance: "s"}); err != nil || r.Error != nil {
		t.Errorf("%v, %v", r, err)
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestOnAFullDiskNothingIsBegunThatCouldNotBeFinished(t *testing.T) {
	disk := crashfs.New()
	var ran []string
	open := func() *Operations {
		o, resume, err := OpenOperations(disk, "/var/operations", func(_ context.Context, op proto.Operation, _ func(proto.Progress)) proto.OperationResult {
			ran = append(ran, op.ID)
			return proto.OperationResult{}
		}, slog.New(slog.DiscardHandler))
		if err != nil || len(resume) > 0 {
			t.Fatalf("%v, to be finished: %v", err, resume)
		}
		return o
	}
	o := open()
	freeze := proto.Operation{ID: "m/freeze/7/0/1", Kind: proto.OpFreeze, Instance: "cache-1"}
	disk.SetSpace(5)
	_, err := o.Do(t.Context(), freeze)
	if wire.CodeOf(err) != wire.Refused || !errors.Is(err, syscall.ENOSPC) || len(ran) > 0 {
		t.Errorf("%v; carried out: %v", err, ran)
	}
	for _, says := range []string{freeze.ID, "/var/operations", "nothing was changed", "free space"} {
		if !strings.Contains(fmt.Sprint(err), says) {
			t.Errorf("%q does not say %q", err, says)
		}
	}
	if _, err := o.Do(t.Context(), proto.Operation{ID: "m/refuse/8/0/1", Kind: proto.OpRefuse, Instance: "cache-1"}); !errors.Is(err, syscall.ENOSPC) || wire.CodeOf(err) == wire.Refused || len(ran) > 0 {
		t.Errorf("what has to succeed is refused: %v; carried out: %v", err, ran)
	}
	disk.SetSpace(-1)
	if r, err := o.Do(t.Context(), freeze); err != nil || r.ID != freeze.ID || len(ran) != 1 {
		t.Errorf("once there is space: %+v, %v; carried out: %v", r, err, ran)
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	o = open() // the journal is whole
	if _, err := o.Do(t.Context(), freeze); err != nil || len(ran) != 1 {
		t.Errorf("%v; carried out: %v", err, ran)
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestHooksAreRunBesideTheInstancesOtherOperationsAndOneAfterTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ran []string
		var mu sync.Mutex
		release := make(chan struct{})
		o, _ := openOps(t, filepath.Join(t.TempDir(), "operations"), func(_ context.Context, op proto.Operation, _ func(proto.Progress)) proto.OperationResult {
			mu.Lock()
			ran = append(ran, op.ID)
			mu.Unlock()
			<-release
			return proto.OperationResult{}
		})
		var all sync.WaitGroup
		begin := func(op proto.Operation) {
			all.Go(func() {
				if _, err := o.Do(context.Background(), op); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		call := &proto.HookCall{Point: proto.HookAfterFreeze, Side: proto.HookSource, Attempt: 1}
		begin(proto.Operation{ID: "final", Kind: proto.OpFinalSync, Instance: "cache-1"})
		begin(proto.Operation{ID: "hook-1", Kind: proto.OpHook, Instance: "cache-1", Hook: call})
		begin(proto.Operation{ID: "hook-2", Kind: proto.OpHook, Instance: "cache-1", Hook: call})
		begin(proto.Operation{ID: "commit", Kind: proto.OpStart, Instance: "cache-1"})
		mu.Lock()
		if diff := cmp.Diff([]string{"final", "hook-1"}, ran); diff != "" {
			t.Errorf("run at once: %s", diff)
		}
		mu.Unlock()
		close(release)
		all.Wait()
		if err := o.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestAHookThatIsOwedIsRunAfterACrash holds that an agent finishes by itself what leads towards less running, and that hooks hear how often they were begun.
func TestAHookThatIsOwedIsRunAfterACrash(t *testing.T) {
	fsys := crashfs.New()
	hook := func(id string, p proto.HookPoint, side proto.HookSide) proto.Operation {
		return proto.Operation{ID: id, Kind: proto.OpHook, Instance: id, Hook: &proto.HookCall{Point: p, Side: side, Attempt: 1}}
	}
	ops := []proto.Operation{
		hook("frozen", proto.HookAfterFreeze, proto.HookSource), hook("aborted", proto.HookOnAbort, proto.HookTarget),
		hook("freezes", proto.HookBeforeFreeze, proto.HookSource), hook("starts", proto.HookBeforeStart, proto.HookTarget),
		hook("confirmed", proto.HookAfterConfirm, proto.HookTarget), hook("thawed", proto.HookOnAbort, proto.HookSource),
		hook("target", proto.HookAfterFreeze, proto.HookTarget),
	}
	begun := make(chan struct{})
	for life := range 2 {
		o, resume, err := OpenOperations(fsys, "/operations", func(ctx context.Context, _ proto.Operation, _ func(proto.Progress)) proto.OperationResult {
			begun <- struct{}{}
			<-ctx.Done()
			return proto.OperationResult{Error: &proto.Fault{Code: proto.FaultFailed, What: "the agent stops"}}
		}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		if want := 2 * life; len(resume) != want {
			t.Errorf("life %d: %d hooks are owed, want %d", life, len(resume), want)
		}
		for _, op := range ops {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			if _, err := o.Do(ctx, op); !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			<-begun
		}
		if err := o.Close(); err != nil {
			t.Fatal(err)
		}
	}
	type run struct {
		id      string
		attempt int
	}
	ran := make(chan run, len(ops))
	o, resume, err := OpenOperations(fsys, "/operations", func(_ context.Context, op proto.Operation, _ func(proto.Progress)) proto.OperationResult {
		ran <- run{op.ID, op.Hook.Attempt}
		return proto.OperationResult{}
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Resume(resume); err != nil {
		t.Fatal(err)
	}
	got := map[run]bool{<-ran: true, <-ran: true}
	if !got[run{"frozen", 3}] || !got[run{"aborted", 3}] {
		t.Errorf("by itself the agent ran %v", got)
	}
	for _, op := range ops {
		if _, err := o.Do(context.Background(), op); err != nil {
			t.Fatal(err)
		}
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	close(ran)
	for r := range ran {
		if r.attempt != 3 {
			t.Errorf("hook %s is told of attempt %d", r.id, r.attempt)
		}
		got[r] = true
	}
	if len(got) != len(ops) {
		t.Errorf("ran %v", got)
	}
}
