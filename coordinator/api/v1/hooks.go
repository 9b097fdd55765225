package v1

import "github.com/glidepath/glidepath/proto"

// HookFailure is what last failed of a migration's hooks at a point on a host.
type HookFailure struct {
	Hook    proto.HookPoint `json:"hook"`
	Host    string          `json:"host"`
	Failure string          `json:"failure"`
}

// hookFailures returns what failed of a migration's hooks and was not put right by a later attempt, in the order in which it was begun.
func hookFailures(m proto.Migration) []HookFailure {
	var out []HookFailure
	for n, o := range m.Operations {
		if o.Kind != proto.OpHook || o.Result == nil || triedLater(m.Operations[n+1:], o) {
			continue
		}
		if o.Result.Error != nil {
			out = append(out, HookFailure{o.Hook, o.Host, o.Result.Error.What})
			continue
		}
		for _, h := range o.Result.Hooks {
			if h.Failure != "" {
				out = append(out, HookFailure{o.Hook, o.Host, h.Program + " " + h.Failure})
			}
		}
	}
	return out
}

// triedLater reports whether one of the operations is another attempt at the same hooks that has ended.
func triedLater(later []proto.OperationRecord, o proto.OperationRecord) bool {
	for _, l := range later {
		if l.Kind == o.Kind && l.Hook == o.Hook && l.Host == o.Host && l.Result != nil {
			return true
		}
	}
	return false
}
