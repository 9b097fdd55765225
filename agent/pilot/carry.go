package pilot

import (
	"slices"
	"strings"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// Most returns the most that a schedule promises its instance at any time.
func Most(s proto.InstanceSchedule) resource.Vector {
	most := s.Safe
	for _, p := range s.Promised {
		most = most.Max(p.Amount)
	}
	return most
}

// Carry returns incoming with the instances of stored that it does not speak of, and that keeps says go on here: those that run by a decision which the control
// plane, restored from a backup, does not know any more. Each is granted the most that it was promised, for good: the coordinators hear of that, and promise it to
// nobody else. Nothing is carried where the document would become too large to be followed.
func Carry(stored, incoming proto.Document, keeps func(instance string) bool) proto.Document {
	named := map[string]bool{}
	for i := range incoming.Instances {
		named[incoming.Instances[i].Instance] = true
	}
	var carried []proto.InstanceSchedule
	for _, s := range stored.Instances {
		if named[s.Instance] || !keeps(s.Instance) {
			continue
		}
		flat := timeline.Flat(timeline.Span{End: timeline.Forever}, Most(s))
		s.Schedule, s.Promised = flat, flat
		s.Fence = 0 // of an earlier incarnation: it must not keep a later document out
		carried = append(carried, s)
	}
	if len(carried) == 0 || len(incoming.Instances)+len(carried) > maxInstances {
		return incoming
	}
	incoming.Instances = append(slices.Clone(incoming.Instances), carried...)
	slices.SortFunc(incoming.Instances, func(a, b proto.InstanceSchedule) int { return strings.Compare(a.Instance, b.Instance) })
	return incoming
}
