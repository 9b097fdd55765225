package agent

import (
	"github.com/glidepath/glidepath/agent/fence"
	"github.com/glidepath/glidepath/agent/signals"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// withSignals returns the instances of the document that have signals, as far as this host owns them: what is being started, frozen or has left is not asked.
func withSignals(document proto.Document, record func(instance string) fence.Record) []proto.InstanceSpec {
	var out []proto.InstanceSpec
	for _, i := range document.Instances {
		if len(i.Spec.Signals) > 0 && record(i.Instance).State == proto.FenceOwner {
			spec := i.Spec
			spec.Name = i.Instance
			out = append(out, spec)
		}
	}
	return out
}

// filled returns what takes windows, with the signals that were read in them.
func filled(s *signals.Scraper, put func(timeline.Time, []proto.Window) error) func(timeline.Time, []proto.Window) error {
	return func(now timeline.Time, windows []proto.Window) error {
		s.Fill(windows)
		return put(now, windows)
	}
}
