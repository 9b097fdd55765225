package service

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/glidepath/glidepath/agent/enforce/systemd"
	"github.com/glidepath/glidepath/agent/fence"
	"github.com/glidepath/glidepath/internal/durable"
	"github.com/glidepath/glidepath/proto"
)

// restartingSystemd has a unit that is active, and of another invocation after its first look.
type restartingSystemd struct {
	Systemd
	looks int
}

func (s *restartingSystemd) Brief(context.Context, string) (systemd.Unit, error) {
	s.looks++
	u := systemd.Unit{Name: unitName, ActiveState: "active", InvocationID: "first"}
	if s.looks > 1 {
		u.InvocationID = "second"
	}
	return u, nil
}

func TestAUnitThatRestartsBetweenHealthChecksIsCheckedAnew(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var checks atomic.Int32
	accepted := make(chan struct{})
	go func() {
		defer close(accepted)
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			checks.Add(1)
			_ = c.Close()
		}
	}()
	dir := filepath.Join(t.TempDir(), "fence")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	store, err := fence.Open(durable.OS{}, dir)
	if err != nil {
		t.Fatal(err)
	}
	spec := proto.InstanceSpec{Name: "cache-1", Service: &proto.ServiceSpec{Unit: unitName}}
	spec.Health.TCP = listener.Addr().(*net.TCPAddr).Port //nolint:errcheck,forcetypeassert // it is one
	owner := fence.Request{Instance: spec.Name, Spec: spec, Units: []string{unitName}, Token: fence.Token{Incarnation: 1, Fence: 1}}
	if _, err := store.Change(spec.Name, func(r fence.Record) (fence.Record, error) { return r.Adopt(owner) }); err != nil {
		t.Fatal(err)
	}
	unit := &restartingSystemd{}
	if err := New(Config{Systemd: unit, Fence: store}).settled(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	<-accepted
	// Two of the first invocation, and three of the second: at the third look it had settled.
	if checks.Load() != 5 || unit.looks != 3 {
		t.Errorf("%d checks and %d looks at the unit", checks.Load(), unit.looks)
	}
}
