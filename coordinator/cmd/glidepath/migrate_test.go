package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/glidepath/glidepath/proto"
)

func TestAMigrationShowsWhatCameOfItsHooks(t *testing.T) {
	record := func(p proto.HookPoint, host string, r *proto.OperationResult) proto.OperationRecord {
		return proto.OperationRecord{Kind: proto.OpHook, Hook: p, Host: host, Result: r}
	}
	m := proto.Migration{
		ID: "m", Phase: proto.PhaseEnded, Outcome: proto.OutcomeCompleted,
		Operations: []proto.OperationRecord{
			record(proto.HookBeforeFreeze, "host-a", &proto.OperationResult{Hooks: []proto.HookResult{{Program: "/lb"}, {Program: "/dns", Failure: "ended with exit-code 1: no"}}}),
			record(proto.HookAfterConfirm, "host-b", &proto.OperationResult{Error: &proto.Fault{Code: proto.FaultFailed, What: "/bgp did not end within 30s, and was killed", Remedy: "see the journal"}}),
			record(proto.HookOnAbort, "host-b", nil),
		},
	}
	var out bytes.Buffer
	a := &app{stdout: &out}
	if err := a.printMigration(m); err != nil {
		t.Fatal(err)
	}
	got := strings.Join(strings.Fields(out.String()), " ")
	for _, want := range []string{
		"before-freeze hook host-a", "/lb done, /dns ended with exit-code 1: no (ignored)",
		"after-confirm hook host-b", "failed: /bgp did not end within 30s, and was killed: see the journal",
		"on-abort hook host-b", "no answer",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, out.String())
		}
	}
	m.Phase, m.Outcome = proto.PhaseUndo, ""
	out.Reset()
	if err := a.printMigration(m); err != nil || !strings.Contains(out.String(), "runs") {
		t.Errorf("%v\n%s", err, out.String())
	}
}
