package state

import (
	"cmp"
	"fmt"
	"time"

	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// Doubt is an instance of which it can't be told who may run it, or whether the one who may does; only an operator can decide.
type Doubt struct {
	Instance  string
	Migration string // "" where it is being adopted
	Since     timeline.Time
	Known     string   // in words
	Decide    []string // what to do, the better way first
}

// How long a decision may be on its way before it is in doubt. Each is longer than what the executor waits for by itself.
const (
	confirmDoubt = time.Minute
	thawDoubt    = time.Minute
	frozenDoubt  = 2 * time.Minute
	startDoubt   = 3 * time.Minute // beside the time that the health check has
)

// InDoubt returns the instances that are in doubt at a time, sorted by name.
func (v *View) InDoubt(now timeline.Time) []Doubt {
	var out []Doubt
	for i := range v.Instances() {
		if d, ok := v.doubt(i, now); ok {
			out = append(out, d)
		}
	}
	return out
}

func (v *View) doubt(i proto.Instance, now timeline.Time) (Doubt, bool) {
	m, moving := v.migrations.get(i.Migration)
	switch {
	case !moving && i.Fault != nil && i.Fault.Code == proto.FaultInDoubt:
		return Doubt{Instance: i.Name(), Since: i.ChangedAt, Known: fmt.Sprintf("%s says: %s", i.Owner, i.Fault.What), Decide: []string{i.Fault.Remedy}}, true
	case !moving:
		return Doubt{}, false
	}
	d := Doubt{Instance: i.Name(), Migration: m.ID}
	late := func(since timeline.Time, after time.Duration) bool {
		d.Since = since
		return now.Sub(since) >= after
	}
	show := "see what it waits for: glidepath migration watch " + m.ID
	switch i.State {
	case proto.InstanceFrozen:
		d.Known = fmt.Sprintf("it is frozen on %s, and was not handed over to %s: nobody runs it", m.Source, m.Target)
		d.Decide = []string{show, "give the move up, at no loss: glidepath migration abort " + m.ID}
		return d, late(decidedAt(m, proto.DecideFreeze), frozenDoubt)
	case proto.InstanceStarting:
		if unknown(&d, v, m) {
			return d, late(decidedAt(m, proto.DecideCommit), startDoubt+i.Spec.Health.Time())
		}
		d.Known = fmt.Sprintf("it was committed to %s, which has not said that it serves: it has served nobody", m.Target)
		d.Decide = []string{show, "give the move up, at no loss: glidepath migration abort " + m.ID}
		return d, late(decidedAt(m, proto.DecideCommit), startDoubt+i.Spec.Health.Time())
	case proto.InstanceThawing:
		if !m.Loss && unknown(&d, v, m) {
			return d, late(decidedAt(m, proto.DecideAbort), thawDoubt)
		}
		return thawing(d, m, i, late)
	case proto.InstanceRunning:
		if m.Phase != proto.PhaseWarm || v.heard(m) {
			return d, false
		}
		d.Known = fmt.Sprintf("it was confirmed on %s, which has not said that it has heard: it may serve clients there, or have died", m.Target)
		if what, _ := lastFault(m, proto.OpConfirm, m.Target, i.Fence); what != "" {
			d.Known += "; it says: " + what
		}
		d.Decide = []string{
			fmt.Sprintf("bring %s back, and it goes on by itself: glidepath host show %s", m.Target, m.Target),
			fmt.Sprintf("if %s died for good, go back to the data that %s kept: glidepath migration abort %s --accept-loss", m.Target, m.Source, m.ID),
		}
		return d, late(decidedAt(m, proto.DecideConfirm), confirmDoubt)
	}
	return d, false
}

// unknown says of a doubt that nobody may run the instance before both hosts of its migration have told what they run, where one has not.
func unknown(d *Doubt, v *View, m proto.Migration) bool {
	why := cmp.Or(v.Unreported(m.Source), v.Unreported(m.Target))
	if why == "" {
		return false
	}
	d.Known = why + " Since the backup the instance may have gone on on either side"
	d.Decide = []string{"bring it back: the migration goes on by itself", "if it died for good, or reports otherwise: see glidepathd restore --forget in docs/operations.md"}
	return true
}

// thawing is the doubt about an instance that is to go on on its source.
func thawing(d Doubt, m proto.Migration, i proto.Instance, late func(timeline.Time, time.Duration) bool) (Doubt, bool) {
	d.Known = fmt.Sprintf("it is to go on on %s, which has not said that it does: it may be down", m.Source)
	d.Decide = []string{
		fmt.Sprintf("bring %s back, and it goes on there: glidepath host show %s", m.Source, m.Source),
		fmt.Sprintf("if %s died for good, give up what was there: glidepath host forget %s --dead", m.Source, m.Source),
	}
	since := decidedAt(m, proto.DecideAbort)
	if m.Loss {
		since = decidedAt(m, proto.DecideAcceptLoss)
	}
	what, fault := lastFault(m, proto.OpThaw, m.Source, i.Fence)
	if fault != nil {
		d.Known += fmt.Sprintf("; it says: %s", what)
		if fault.Remedy != "" {
			d.Decide = append([]string{fault.Remedy}, d.Decide...)
		}
	}
	d.Since = since
	return d, late(since, thawDoubt) || fault != nil && fault.Code == proto.FaultInDoubt
}

// heard reports whether a migration's target has heard that it was confirmed, in the migration's own name or by a way back that was tried.
func (v *View) heard(m proto.Migration) bool {
	done := func(m proto.Migration, host string) bool {
		for _, o := range m.Operations {
			if o.Kind == proto.OpConfirm && o.Host == host && o.Result != nil && o.Result.Error == nil {
				return true
			}
		}
		return false
	}
	if done(m, m.Target) {
		return true
	}
	for back := range v.migrations.all() {
		if back.Returns == m.ID && done(back, m.Target) {
			return true
		}
	}
	return false
}

// lastFault returns the fault of the newest attempt at an operation under a fence that has ended, in words; nil if it went well or there is none.
func lastFault(m proto.Migration, k proto.OperationKind, host string, fence uint64) (string, *proto.Fault) {
	var fault *proto.Fault
	for _, o := range m.Operations {
		if o.Kind == k && o.Host == host && o.Fence == fence && o.Result != nil {
			fault = o.Result.Error
		}
	}
	if fault == nil {
		return "", nil
	}
	return fault.What, fault
}

// decidedAt returns when something was decided in a migration, the last time.
func decidedAt(m proto.Migration, k proto.DecisionKind) timeline.Time {
	var at timeline.Time
	for _, d := range m.Decisions {
		if d.Kind == k {
			at = d.At
		}
	}
	return at
}
