package session

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync/atomic"
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
