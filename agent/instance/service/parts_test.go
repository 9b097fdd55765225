package service

import (
	"github.com/google/go-cmp/cmp"

	"github.com/glidepath/glidepath/agent/address"
	"github.com/glidepath/glidepath/agent/fence"
	"github.com/glidepath/glidepath/proto"
)

// prepared goes as far as a prepared target, and returns the target as it was before.
func prepared(l *lab) map[string]string {
	l.done(0, proto.OpAdopt, 1, "", nil)
	before := l.hosts[1].tree()
	facts := l.done(0, proto.OpVerifySource, 1, m1, nil).Source
	l.done(1, proto.OpVerifyTarget, 1, m1, facts)
	if d := cmp.Diff(before, l.hosts[1].tree()); d != "" {
		l.t.Errorf("verifying changed the target: %s", d)
	}
	l.done(1, proto.OpPrepareTarget, 1, m1, facts)
	if ok, _ := fence.MayRun(l.hosts[1].path("fence"), unitName); ok {
		l.t.Error("the prepared target may run the instance")
	}
	l.hosts[0].copyTo(l.hosts[1])
	return before
}

func started(l *lab) map[string]string {
	before := prepared(l)
	l.done(0, proto.OpFreeze, 2, m1, nil)
	l.expectFrozen(l.hosts[0])
	l.hosts[0].copyTo(l.hosts[1])
	l.done(1, proto.OpStart, 3, m1, nil)
	if b := l.hosts[1]; b.places != both(address.Silent) || b.units[unitName].ActiveState != "active" || b.units[timer].ActiveState == "active" {
		l.t.Errorf("starting: addresses %s, unit %s, timer %s", b.places, b.units[unitName].ActiveState, b.units[timer].ActiveState)
	}
	return before
}

func moved(l *lab) {
	started(l)
	l.done(1, proto.OpConfirm, 3, m1, nil)
	l.done(0, proto.OpRetire, 3, m1, nil)
}

// back prepares the old source as the target of the way back.
func back(l *lab) {
	facts := l.done(1, proto.OpVerifySource, 3, m2, nil).Source
	l.done(0, proto.OpVerifyTarget, 3, m2, facts)
	// A decision has raised the fence since the source was retired.
	l.done(0, proto.OpPrepareTarget, 4, m2, facts)
	l.hosts[1].copyTo(l.hosts[0])
}
