package v1

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/glidepath/glidepath/proto"
)

func TestAStatusTellsWhichHooksFailedForGood(t *testing.T) {
	record := func(p proto.HookPoint, host string, fault *proto.Fault, hooks ...proto.HookResult) proto.OperationRecord {
		return proto.OperationRecord{Kind: proto.OpHook, Hook: p, Host: host, Result: &proto.OperationResult{Error: fault, Hooks: hooks}}
	}
	failed := &proto.Fault{What: "it failed", Remedy: "look"}
	got := StatusOf(proto.Migration{Operations: []proto.OperationRecord{
		{Kind: proto.OpSyncRound, Host: "a", Result: &proto.OperationResult{Error: failed}},
		record(proto.HookBeforeFreeze, "a", nil, proto.HookResult{Program: "/lb", Failure: "ended with exit-code 1"}, proto.HookResult{Program: "/dns"}),
		record(proto.HookAfterConfirm, "a", failed),
		record(proto.HookAfterConfirm, "b", failed),
		record(proto.HookAfterConfirm, "b", nil, proto.HookResult{Program: "/dns"}),
		{Kind: proto.OpHook, Hook: proto.HookAfterConfirm, Host: "a"},
	}}).HookFailures
	want := []HookFailure{{proto.HookBeforeFreeze, "a", "/lb ended with exit-code 1"}, {proto.HookAfterConfirm, "a", "it failed"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
