package agent

import (
	"slices"
	"testing"

	"github.com/glidepath/glidepath/agent/fence"
	"github.com/glidepath/glidepath/proto"
)

func TestSignalsAreAskedOfWhatThisHostOwnsAlone(t *testing.T) {
	var document proto.Document
	states := map[string]proto.FenceState{}
	for _, s := range []proto.FenceState{proto.FenceNone, proto.FenceOwner, proto.FenceFrozen, proto.FenceTarget, proto.FenceStarting, proto.FenceRetired} {
		name := "i-" + string(s)
		states[name] = s
		document.Instances = append(document.Instances, proto.InstanceSchedule{Instance: name, Spec: proto.InstanceSpec{Name: name, Signals: []proto.Signal{{Name: "requests"}}}})
	}
	states["plain"] = proto.FenceOwner
	document.Instances = append(document.Instances, proto.InstanceSchedule{Instance: "plain", Spec: proto.InstanceSpec{Name: "plain"}})
	var asked []string
	for _, spec := range withSignals(document, func(instance string) fence.Record { return fence.Record{State: states[instance]} }) {
		asked = append(asked, spec.Name)
	}
	if !slices.Equal(asked, []string{"i-" + string(proto.FenceOwner)}) {
		t.Errorf("asked are %q", asked)
	}
}
