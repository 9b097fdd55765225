package home

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

func TestWhatIsGoneIsNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, proto.Standard)
		h := w.homes(nil)
		round := func() { h.round(t.Context(), w.view(), timeline.Of(time.Now())) }
		h.Observed("host-a", []proto.Window{{Instance: "cache-1", Debt: 1}, {Instance: "cache-9", Debt: 1}})
		h.Observed("host-z", []proto.Window{{Instance: "cache-1", Debt: 1}})
		h.set("host-z", &pushed{})
		round()
		if len(h.models) == 0 || len(h.hosts) != 1 || len(h.debts) != 1 || len(h.debts["host-a"]) != 1 {
			t.Errorf("%d models, %v, %v", len(h.models), h.hosts, h.debts)
		}
		time.Sleep(retrainMost)
		round()
		if h.models["cache-1"] == nil {
			t.Error("a model that is followed was let go of")
		}
		// Another coordinator makes them from now on.
		for _, host := range []string{"host-a", "host-b"} {
			w.must(&proto.HostHome{Host: host, From: "c1", Home: "c2", Standby: "c1"})
		}
		time.Sleep(watchFor + time.Second)
		round()
		if len(h.models) != 0 {
			t.Errorf("%d models that nobody follows are kept", len(h.models))
		}
	})
}
