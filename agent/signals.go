package agent

import (
	"github.com/glidepath/glidepath/agent/fence"
	"github.com/glidepath/glidepath/agent/session"
	"github.com/glidepath/glidepath/agent/signals"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// withSignals returns the instances of the document that have signals, as far as this host owns them: what is being started, frozen or has left is not asked.
func withSignals(documents *session.Documents, fences *fence.Store) []proto.InstanceSpec {
	document, _ := documents.Current()
	var out []proto.InstanceSpec
	for _, i := range document.Instances {
		if len(i.Spec.Signals) > 0 && fences.Get(i.Instance).State == proto.FenceOwner {
			spec := i.Spec
			spec.Name = i.Instance
			out = append(out, spec)
		}
	}
	return out
}

// filled returns what takes windows, with the signals that were read in them, into the buffer.
func filled(s *signals.Scraper, b *session.Buffer) func(timeline.Time, []proto.Window) error {
	return func(now timeline.Time, windows []proto.Window) error {
		s.Fill(windows)
		return b.Put(now, windows)
	}
}
