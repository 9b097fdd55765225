package coordinator

import (
	"crypto/x509"
	"log/slog"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/glidepath/glidepath/coordinator/metrics"
	"github.com/glidepath/glidepath/internal/pki"
	"github.com/glidepath/glidepath/internal/wire"
	"github.com/glidepath/glidepath/proto"
)

func TestASessionAnywhereCountsAndElseTheLastThatWasHeard(t *testing.T) {
	got := together([]proto.Presences{
		{Hosts: []proto.Presence{{Host: "a", Since: 50}, {Host: "b", Since: 10}, {Host: "c"}}},
		{Hosts: []proto.Presence{{Host: "a", Connected: true, Since: 40}, {Host: "b", Since: 20}}},
	})
	want := map[string]proto.Presence{"a": {Host: "a", Connected: true, Since: 40}, "b": {Host: "b", Since: 20}, "c": {Host: "c"}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestAnAgentThatWasTakenOutHearsItInItsSessionAndNothingElse(t *testing.T) {
	c := newCoordinator(Config{Name: "c1"}, Process{Log: slog.New(slog.DiscardHandler)})
	c.tables = newTables(func(proto.Command, proto.Result, metrics.Ended) {})
	agent := wire.Peer{Identity: pki.Identity{Fleet: "f", Kind: pki.Agent, Name: "host-a"}, Cert: &x509.Certificate{RawSubjectPublicKeyInfo: []byte("key")}}
	for i, body := range []proto.Body{
		&proto.FleetInit{Fleet: "f", GridStep: 300_000, Policy: proto.DefaultPolicy()},
		&proto.HostRegister{Facts: proto.HostFacts{Name: "host-a", MachineID: "m"}, Identity: agent.Key()},
		&proto.HostForget{Host: "host-a"},
	} {
		if err := c.admit(agent); err != nil {
			t.Errorf("before it was taken out: %v", err)
		}
		cmd, err := proto.NewCommand(NewID(), "test", body)
		if err != nil {
			t.Fatal(err)
		}
		if r := c.tables.Apply(uint64(i+1), cmd); !r.OK() {
			t.Fatal(r.Message)
		}
	}
	if err := c.admit(agent); !wire.TakenOut(err) {
		t.Errorf("it hears %v", err)
	}
	if err := c.admitHandshake(agent); err != nil {
		t.Errorf("it could not hear that: %v", err)
	}
	again := agent
	again.Cert = &x509.Certificate{RawSubjectPublicKeyInfo: []byte("another key")}
	if err := c.admit(again); err != nil {
		t.Errorf("after it has joined again: %v", err)
	}
}
