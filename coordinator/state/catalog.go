package state

import (
	"cmp"
	"slices"

	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

func (x *tx) typePut(b *proto.TypePut) proto.Result {
	if r := validType(b.Type); !r.OK() {
		return r
	}
	old, ok := x.types.get(b.Type.Name)
	if ok && !old.Max.Fits(b.Type.Max) {
		if user := x.userOfType(b.Type.Name); user != "" {
			return refused("instance type %s would shrink, but %s uses it: make another type and migrate to it", b.Type.Name, user)
		}
	}
	b.Type.Revision = sinceCounted(old.Revision)
	put(x, x.types, b.Type.Name, b.Type)
	return done()
}

// sinceCounted returns the revision after one, for a command that is older than revisions: it counts them only where a younger one has begun to, which
// every coordinator then has seen.
func sinceCounted(revision uint64) uint64 {
	if revision == 0 {
		return 0
	}
	return revision + 1
}

func validType(t proto.InstanceType) proto.Result {
	if err := proto.ValidName("instance type", t.Name); err != nil {
		return invalid("%s", err)
	}
	if err := t.Max.Valid(); err != nil {
		return invalid("instance type %s: %s", t.Name, err)
	}
	return done()
}

func (x *tx) typeRemove(b *proto.TypeRemove) proto.Result {
	if !x.types.has(b.Name) {
		return missing("instance type", b.Name)
	}
	if user := x.userOfType(b.Name); user != "" {
		return refused("%s uses instance type %s: migrate it to another type first", user, b.Name)
	}
	drop(x, x.types, b.Name)
	return done()
}

// userOfType returns who uses an instance type, in words, or "".
func (v *View) userOfType(name string) string {
	for m := range v.ActiveMigrations() {
		if m.FromType == name || m.ToType == name {
			return "migration " + m.ID
		}
	}
	for i := range v.instances.all() {
		if i.Spec.Type == name {
			return "instance " + i.Name()
		}
	}
	return ""
}

func (x *tx) appPut(b *proto.AppPut) proto.Result {
	a := b.Application
	if r := validApp(a); !r.OK() {
		return r
	}
	old, _ := x.applications.get(a.Name)
	a.Revision = sinceCounted(old.Revision)
	put(x, x.applications, a.Name, a)
	return done()
}

func validApp(a proto.Application) proto.Result {
	if err := proto.ValidName("application", a.Name); err != nil {
		return invalid("%s", err)
	}
	if a.Class != "" && !validClass(a.Class) {
		return invalid("application %s: %q is no class: use critical, standard or besteffort", a.Name, a.Class)
	}
	for _, err := range []error{a.Startup.Valid(), a.Floor.Valid()} {
		if err != nil {
			return invalid("application %s: %s", a.Name, err)
		}
	}
	if a.Decay < 0 || a.MemoryFloor < 0 || a.Downtime < 0 || a.Throttled < 0 || a.Throttled > 10_000 {
		return invalid("application %s: a time, floor or share is out of its range", a.Name)
	}
	return done()
}

func (x *tx) appRemove(b *proto.AppRemove) proto.Result {
	if !x.applications.has(b.Name) {
		return missing("application", b.Name)
	}
	for i := range x.instances.all() {
		if i.Spec.Application == b.Name {
			return refused("instance %s is of application %s: give it another one first", i.Name(), b.Name)
		}
	}
	drop(x, x.applications, b.Name)
	return done()
}

func (x *tx) eventPut(b *proto.EventPut) proto.Result {
	e := b.Event
	if e.Calendar != "" {
		return invalid("event %s is said to be of calendar %s: only polling that makes it so", e.ID, e.Calendar)
	}
	if r := validEvent(&e); !r.OK() {
		return r
	}
	if r := x.byHand(e.ID); !r.OK() {
		return r
	}
	e.ChangedAt = x.now
	put(x, x.events, e.ID, e)
	return done()
}

// validEvent refuses what can be no event, and sorts its lists.
func validEvent(e *proto.Event) proto.Result {
	if err := proto.ValidID("event", e.ID); err != nil {
		return invalid("%s", err)
	}
	if err := proto.ValidName("kind of event", string(e.Kind)); err != nil {
		return invalid("event %s: %s", e.ID, err)
	}
	if err := text("title", e.Title+e.Source); err != nil {
		return invalid("event %s: %s", e.ID, err)
	}
	if e.Span.Empty() || e.Span.Start < 0 || e.Span.End >= timeline.Forever {
		return invalid("event %s lasts from %s to %s: it needs a start and a later end", e.ID, e.Span.Start, e.Span.End)
	}
	if e.Size < 0 {
		return invalid("event %s has a negative size", e.ID)
	}
	if len(e.Instances) > proto.MaxList {
		return invalid("event %s names more than %d instances: select them by labels", e.ID, proto.MaxList)
	}
	if r := sortLabels("event "+e.ID, &e.Selector); !r.OK() {
		return r
	}
	e.Instances = slices.Compact(slices.Sorted(slices.Values(e.Instances)))
	return done()
}

func (x *tx) eventRemove(b *proto.EventRemove) proto.Result {
	e, ok := x.events.get(b.ID)
	if !ok {
		return missing("event", b.ID)
	}
	// One that has begun stays when its calendar has it no more, and must not teach what was not so. If the calendar has it, the next poll that reads all of it puts it back.
	if r := x.byHand(b.ID); !r.OK() && e.Span.Start > x.now {
		return r
	}
	drop(x, x.events, b.ID)
	return done()
}

func validClass(c proto.Class) bool {
	return c == proto.Critical || c == proto.Standard || c == proto.BestEffort
}

// sortLabels sorts labels by key, and refuses too many, an empty key and one that is there twice.
func sortLabels(of string, labels *[]proto.Label) proto.Result {
	if len(*labels) > proto.MaxList {
		return invalid("%s has %d labels: use at most %d", of, len(*labels), proto.MaxList)
	}
	sorted := slices.SortedFunc(slices.Values(*labels), func(a, b proto.Label) int {
		return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Value, b.Value))
	})
	for i, l := range sorted {
		if l.Key == "" || len(l.Key)+len(l.Value) > proto.MaxTextLength {
			return invalid("%s has a label without a key, or too long a one", of)
		}
		if i > 0 && sorted[i-1].Key == l.Key {
			return invalid("%s has the label %q twice", of, l.Key)
		}
	}
	*labels = sorted
	return done()
}
