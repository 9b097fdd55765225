package migrate

import (
	"testing"
	"time"

	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/wire"
	"github.com/glidepath/glidepath/proto"
)

func TestPermits(t *testing.T) {
	story(t, func(t *testing.T, f *fleet) {
		i, _ := f.view().Instance("i")
		adopted, committed := i.Fence, i.Fence+2
		ask := func(change func(*proto.HostPermit)) (int64, wire.Code) {
			t.Helper()
			p := proto.HostPermit{Host: "b", Request: proto.PermitRequest{Instance: "i", Migration: "m", Incarnation: 1, Fence: committed}}
			if change != nil {
				change(&p)
			}
			r, err := f.leader.exec.Permit(t.Context(), p)
			if err == nil && r.Milliseconds == 0 && r.Reason == "" {
				t.Errorf("refused for no reason: %+v", p)
			}
			return r.Milliseconds, wire.CodeOf(err)
		}
		want := func(what string, change func(*proto.HostPermit), ms int64, code wire.Code) {
			t.Helper()
			if gotMS, gotCode := ask(change); gotMS != ms || gotCode != code {
				t.Errorf("%s: %d ms, code %s; want %d, %s", what, gotMS, gotCode, ms, code)
			}
		}
		want("before there is a migration", func(p *proto.HostPermit) { p.Request.Fence = adopted }, 0, wire.OK)
		f.agents["b"].slow[proto.OpStart] = 10 * time.Second
		f.move("m", "b", "large")
		f.inPhase("m", proto.PhaseCopy)
		want("of a fence that is not decided yet", nil, 0, wire.Unavailable)
		want("during copy", func(p *proto.HostPermit) { p.Request.Fence = adopted }, 0, wire.OK)
		f.await("it starts", time.Minute, func(v *state.View) bool {
			i, _ := v.Instance("i")
			return i.State == proto.InstanceStarting
		})
		want("starting", nil, 15000, wire.OK)
		want("another host", func(p *proto.HostPermit) { p.Host = "c" }, 0, wire.OK)
		want("the source", func(p *proto.HostPermit) { p.Host = "a" }, 0, wire.OK)
		want("under the freeze's fence", func(p *proto.HostPermit) { p.Request.Fence = adopted + 1 }, 0, wire.OK)
		want("another migration", func(p *proto.HostPermit) { p.Request.Migration = "n" }, 0, wire.OK)
		want("another instance", func(p *proto.HostPermit) { p.Request.Instance = "j" }, 0, wire.OK)
		want("another incarnation", func(p *proto.HostPermit) { p.Request.Incarnation = 2 }, 0, wire.Unavailable)
		f.mu.Lock()
		f.quorum = false
		f.mu.Unlock()
		want("without a majority", nil, 0, wire.Unavailable)
		f.mu.Lock()
		f.quorum = true
		f.mu.Unlock()
		f.inPhase("m", proto.PhaseWarm)
		want("confirmed, not yet heard of", nil, 15000, wire.OK)
		f.ended("m", time.Minute)
		want("after the end", nil, 0, wire.OK)
		old := f.leader
		f.depose(false)
		f.await("another leads", time.Minute, func(*state.View) bool {
			f.mu.Lock()
			defer f.mu.Unlock()
			return f.leader != nil
		})
		if _, err := old.exec.Permit(t.Context(), proto.HostPermit{}); wire.CodeOf(err) != wire.NotLeader {
			t.Errorf("a coordinator that does not lead answers %v", err)
		}
		f.settled()
	})
}

func TestAnAbortedStartGetsNoPermit(t *testing.T) {
	story(t, func(t *testing.T, f *fleet) {
		f.agents["b"].slow[proto.OpStart] = 10 * time.Second
		f.move("m", "b", "large")
		f.await("it starts", time.Minute, func(v *state.View) bool {
			i, _ := v.Instance("i")
			return i.State == proto.InstanceStarting
		})
		i, _ := f.view().Instance("i")
		f.abort()
		r, err := f.leader.exec.Permit(t.Context(), proto.HostPermit{Host: "b", Request: proto.PermitRequest{Instance: "i", Migration: "m", Incarnation: 1, Fence: i.Fence}})
		if err != nil || r.Milliseconds != 0 {
			t.Errorf("%+v, %v", r, err)
		}
		f.ended("m", time.Minute)
		f.settled()
	})
}
