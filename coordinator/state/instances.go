package state

import (
	"net/netip"
	"slices"

	"github.com/glidepath/glidepath/coordinator/ledger"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/proto"
)

func (x *tx) putInstance(i proto.Instance) {
	i.ChangedAt = x.now
	put(x, x.instances, i.Name(), i)
}

// InstanceReservation returns the identifier of the reservation that an instance gets where it is adopted.
func InstanceReservation(instance, host string) string { return instance + "@" + host }

func (x *tx) instanceApply(b *proto.InstanceApply) proto.Result {
	s := b.Spec
	if r := x.validSpec(&s); !r.OK() {
		return r
	}
	if old, ok := x.instances.get(s.Name); ok {
		return x.instanceChange(old, s, b)
	}
	if s.Mode == "" {
		s.Mode = proto.Observe
	}
	if !x.hosts.has(s.Host) {
		return missing("host", s.Host)
	}
	if r := x.taken(s); !r.OK() {
		return r
	}
	if !b.Envelope.Open() {
		return invalid("the envelope of instance %s ends: where an instance lives it has to be open", s.Name)
	}
	r := proto.Reservation{
		ID: InstanceReservation(s.Name, s.Host), Host: s.Host, Instance: s.Name, Class: s.Class,
		Purpose: proto.PurposeInstance, Envelope: b.Envelope, Floor: b.Floor, Forced: s.Mode == proto.Observe,
	}
	if res := x.withinType(r, s.Type); !res.OK() {
		return res
	}
	if res := x.reserve(ledger.Change{Hold: []proto.Reservation{r}}); !res.OK() {
		return res
	}
	i := proto.Instance{
		Spec: s, Owner: s.Host, Fence: x.firstFence(), State: proto.InstanceAdopting, Reservation: r.ID, AdoptedBy: x.actor, CreatedAt: x.now,
	}
	x.putInstance(i)
	return fenced(i.Fence)
}

// firstFence returns the fence that an instance is adopted under. Agents remember the fences of an instance of that name that
// was here before and was released. All of those are lower than the number of commands applied: each was that of its
// adoption, raised by one by commands that came later.
func (x *tx) firstFence() uint64 { return x.applied }

// validSpec checks what can be told of a spec by itself and against the catalog, and sorts its labels.
func (x *tx) validSpec(s *proto.InstanceSpec) proto.Result {
	if err := proto.ValidName("instance", s.Name); err != nil {
		return invalid("%s", err)
	}
	if s.Driver != "service" || s.Service == nil || s.Service.Unit == "" {
		return invalid("instance %s: use driver service and name its unit", s.Name)
	}
	if !validClass(s.Class) {
		return invalid("instance %s: %q is no class: use critical, standard or besteffort", s.Name, s.Class)
	}
	if s.Mode != "" && s.Mode != proto.Observe && s.Mode != proto.Enforce {
		return invalid("instance %s: %q is no mode: use observe or enforce", s.Name, s.Mode)
	}
	if !x.types.has(s.Type) {
		return missing("instance type", s.Type)
	}
	if s.Application != "" && !x.applications.has(s.Application) {
		return missing("application", s.Application)
	}
	if n := len(s.FloatingAddresses()); n > proto.MaxAddresses {
		return invalid("instance %s has %d addresses: use at most %d", s.Name, n, proto.MaxAddresses)
	}
	for _, list := range [][]string{s.Service.Companions, s.Service.Data, s.Service.Config, s.Health.Exec, s.Addresses} {
		if len(list) > proto.MaxList {
			return invalid("instance %s has a list of %d elements: use at most %d", s.Name, len(list), proto.MaxList)
		}
		for _, e := range list {
			if err := text("list element", e); err != nil {
				return invalid("instance %s: %s", s.Name, err)
			}
		}
	}
	if err := text("spec", s.Service.Unit+s.Address+s.Health.HTTP+s.Health.User); err != nil {
		return invalid("instance %s: %s", s.Name, err)
	}
	if wrong := s.Hooks.Problems(); len(wrong) > 0 {
		return invalid("instance %s: %s", s.Name, wrong[0])
	}
	if wrong := s.Placement.Problems(); len(wrong) > 0 {
		return invalid("instance %s: %s", s.Name, wrong[0])
	}
	if wrong := s.SignalProblems(); len(wrong) > 0 {
		return invalid("instance %s: %s", s.Name, wrong[0])
	}
	return sortLabels("instance "+s.Name, &s.Labels)
}

// taken refuses a new instance whose unit or one of whose addresses another one has.
func (x *tx) taken(s proto.InstanceSpec) proto.Result {
	wanted := map[netip.Addr]bool{}
	for _, p := range s.Floating() {
		wanted[p.Addr()] = true
	}
	for i := range x.instances.all() {
		if i.Owner == s.Host && i.Spec.Service.Unit == s.Service.Unit {
			return conflict("unit %s on %s is instance %s already", s.Service.Unit, s.Host, i.Name())
		}
		for _, p := range i.Spec.Floating() {
			if wanted[p.Addr()] {
				return conflict("address %s is that of instance %s", p.Addr(), i.Name())
			}
		}
	}
	return done()
}

// instanceChange changes what can change of an instance where it is.
func (x *tx) instanceChange(i proto.Instance, s proto.InstanceSpec, b *proto.InstanceApply) proto.Result {
	if i.Migration != "" {
		return conflict("instance %s is moved by migration %s: wait for its end", i.Name(), i.Migration)
	}
	if i.State == proto.InstanceReleasing {
		return conflict("instance %s is being released", i.Name())
	}
	if s.Host != i.Spec.Host && s.Host != i.Owner {
		return refused("instance %s lives on %s: move it with glidepath migrate", i.Name(), i.Owner)
	}
	if s.Type != i.Spec.Type {
		return refused("instance %s is of type %s: change it with glidepath migrate --type", i.Name(), i.Spec.Type)
	}
	if s.Service.Unit != i.Spec.Service.Unit || !slices.Equal(s.FloatingAddresses(), i.Spec.FloatingAddresses()) || !slices.Equal(s.Service.Companions, i.Spec.Service.Companions) {
		return refused("the unit, companions and addresses of instance %s stay as they were adopted: release it and adopt it again", i.Name())
	}
	s.Host = i.Spec.Host
	if s.Mode == "" {
		s.Mode = i.Spec.Mode
	}
	next, changed := x.envelopeOf(i, s, b)
	if changed {
		if !next.Envelope.Open() {
			return invalid("the envelope of instance %s ends: where an instance lives it has to be open", i.Name())
		}
		if r := x.withinType(next, s.Type); !r.OK() {
			return r
		}
		if r := x.reserve(ledger.Change{Revise: []proto.Reservation{next}}); !r.OK() {
			return r
		}
	}
	if changed || !equal(i.Spec, s) {
		i.Spec = s
		x.putInstance(i)
	}
	return fenced(i.Fence)
}

// envelopeOf returns the instance's reservation as the new spec wants it, and whether it differs.
func (x *tx) envelopeOf(i proto.Instance, s proto.InstanceSpec, b *proto.InstanceApply) (proto.Reservation, bool) {
	r, _ := x.ledger.Reservation(i.Reservation)
	next := r
	next.Class = s.Class
	if s.Mode == proto.Enforce {
		next.Forced = false
	}
	if len(b.Envelope) > 0 {
		next.Envelope, next.Floor = b.Envelope, b.Floor
	}
	return next, !equal(r, next)
}

// withinType refuses an envelope that holds more firm than the instance type allows. One that is only observed may.
func (x *tx) withinType(r proto.Reservation, typeName string) proto.Result {
	if r.Forced {
		return done()
	}
	t, ok := x.types.get(typeName)
	if !ok {
		return missing("instance type", typeName)
	}
	if s, kind, over := r.Envelope.Above(t.Max); over {
		return refused("reservation %s would hold %s of %s in %s: type %s has %s at most; use a larger type", r.ID,
			resource.Format(kind, s.Firm[kind]), kind, s.Span, t.Name, resource.Format(kind, t.Max[kind]))
	}
	return done()
}

func (x *tx) instanceAdopted(b *proto.InstanceAdopted) proto.Result {
	i, ok := x.instances.get(b.Instance)
	if !ok {
		return missing("instance", b.Instance)
	}
	if i.State != proto.InstanceAdopting || i.Fence != b.Fence {
		return stale("instance %s is %s under fence %d, not being adopted under %d", i.Name(), i.State, i.Fence, b.Fence)
	}
	if len(b.Companions) > proto.MaxList {
		return invalid("instance %s has %d companions: at most %d are taken along", i.Name(), len(b.Companions), proto.MaxList)
	}
	i.Fault = b.Fault
	if b.Fault == nil {
		i.State, i.Companions = proto.InstanceRunning, slices.Compact(slices.Sorted(slices.Values(b.Companions)))
	}
	x.putInstance(i)
	return fenced(i.Fence)
}

func (x *tx) instanceMode(b *proto.InstanceMode) proto.Result {
	i, ok := x.instances.get(b.Instance)
	if !ok {
		return missing("instance", b.Instance)
	}
	s := i.Spec
	s.Mode = b.Mode
	if b.Mode != proto.Observe && b.Mode != proto.Enforce {
		return invalid("instance %s: %q is no mode: use observe or enforce", i.Name(), b.Mode)
	}
	return x.instanceChange(i, s, &proto.InstanceApply{})
}

func (x *tx) instanceRelease(b *proto.InstanceRelease) proto.Result {
	i, ok := x.instances.get(b.Instance)
	if !ok {
		return missing("instance", b.Instance)
	}
	if i.Migration != "" {
		return refused("instance %s is moved by migration %s: wait for its end, or abort it", i.Name(), i.Migration)
	}
	i.State, i.Fault = proto.InstanceReleasing, nil
	x.putInstance(i)
	return fenced(i.Fence)
}

func (x *tx) instanceRemove(b *proto.InstanceRemove) proto.Result {
	i, ok := x.instances.get(b.Instance)
	if !ok {
		return missing("instance", b.Instance)
	}
	if i.State != proto.InstanceReleasing || i.Fence != b.Fence {
		return stale("instance %s is %s under fence %d, not being released under %d", i.Name(), i.State, i.Fence, b.Fence)
	}
	if b.Fault != nil {
		i.Fault = b.Fault
		x.putInstance(i)
		return fenced(i.Fence)
	}
	if r := x.reserve(ledger.Change{Release: []string{i.Reservation}}); !r.OK() {
		return r
	}
	drop(x, x.instances, i.Name())
	return done()
}
