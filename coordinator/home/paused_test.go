package home

import (
	"testing"
	"time"

	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

func TestADocumentLiftsWhatIsPaused(t *testing.T) {
	w := newWorld(t, proto.Standard)
	type lifted struct{ host, instance bool }
	look := func(host string) (out lifted) {
		h, _ := w.view().Host(host)
		d := derive(w.view(), h, timeline.Of(time.Now()), func(string) (proto.ForecastReply, bool) { return proto.ForecastReply{}, false })
		out.host = d.Paused
		for _, s := range d.Instances {
			out.instance = out.instance || !s.Limited
		}
		return out
	}
	for _, c := range []struct {
		body proto.Pause
		a, b lifted
	}{
		{proto.Pause{}, lifted{}, lifted{}},
		{proto.Pause{Instance: "cache-1", Paused: true}, lifted{instance: true}, lifted{}},
		{proto.Pause{Instance: "cache-1"}, lifted{}, lifted{}},
		{proto.Pause{Host: "host-a", Paused: true}, lifted{host: true}, lifted{}},
		{proto.Pause{Paused: true}, lifted{host: true}, lifted{host: true}},
		{proto.Pause{Host: "host-a"}, lifted{host: true}, lifted{host: true}},
		{proto.Pause{}, lifted{}, lifted{}},
	} {
		w.must(&c.body)
		if a, b := look("host-a"), look("host-b"); a != c.a || b != c.b {
			t.Errorf("after %+v the documents lift %+v and %+v, want %+v and %+v", c.body, a, b, c.a, c.b)
		}
	}
}
