package coordinator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/glidepath/glidepath/coordinator/api/client"
	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/coordinator/metrics"
	"github.com/glidepath/glidepath/coordinator/snapshot"
	"github.com/glidepath/glidepath/internal/durable"
	"github.com/glidepath/glidepath/internal/pki"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/internal/wire"
	"github.com/glidepath/glidepath/proto"
	"github.com/glidepath/glidepath/proto/rpc"
)

// hello speaks as a host's agent that holds something, and hangs up.
func hello(t testing.TB, to *member, host string, document uint64, held ...proto.Holding) (proto.HelloReply, error) {
	t.Helper()
	node, err := to.ca.Issue(pki.Agent, host, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	creds, err := node.Credentials()
	if err != nil {
		t.Fatal(err)
	}
	conn, _, err := wire.Dial(context.Background(), to.cfg.RPC.Address(), wire.RPC, creds, pki.Want{Kind: pki.Coordinator})
	if err != nil {
		t.Fatal(err)
	}
	s := wire.NewSession(conn, true, wire.Options{})
	defer s.Close()
	return rpc.Call[proto.HelloReply](context.Background(), s, proto.MethodHello, proto.Hello{
		Version: proto.Version, Instances: held, Document: proto.DocumentVersion{Incarnation: document},
		Facts: proto.HostFacts{Name: host, MachineID: host, Capacity: resource.Uniform(100), Allocatable: resource.Uniform(100)},
	})
}

// adopted makes hosts a and b, and instance i, which runs on a.
func adopted(t testing.TB, m *member) proto.Instance {
	t.Helper()
	for _, host := range []string{"a", "b"} {
		if _, err := hello(t, m, host, 0); err != nil {
			t.Fatal(err)
		}
	}
	must := func(body proto.Body) {
		if err := m.do(context.Background(), "test", body); err != nil {
			t.Fatal(err)
		}
	}
	must(&proto.TypePut{Type: proto.InstanceType{Name: "small", Max: resource.Uniform(50)}})
	must(&proto.InstanceApply{
		Spec:     proto.InstanceSpec{Name: "i", Driver: "service", Service: &proto.ServiceSpec{Unit: "i.service"}, Host: "a", Type: "small", Class: proto.Critical, Mode: proto.Observe},
		Envelope: proto.Envelope{{Span: timeline.Span{End: timeline.Forever}, Firm: resource.Uniform(40)}},
	})
	i, _ := m.tables.View().Instance("i")
	must(&proto.InstanceAdopted{Instance: "i", Fence: i.Fence})
	return i
}

func saved(t testing.TB, c *client.Client) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := c.Download(context.Background(), "/v1/snapshot", "", &out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestAFleetThatWasLostIsRestoredFromASnapshot(t *testing.T) {
	if testing.Short() {
		t.Skip("elections take seconds")
	}
	t.Parallel()
	former, made, c := three(t)
	i := adopted(t, former[0])
	text := saved(t, c)
	for _, m := range former {
		m.end(t)
	}

	cfg := config3(t, "c1")
	how := Restoring{Log: slog.New(slog.DiscardHandler), NewToken: true}
	if _, err := Restore(cfg, bytes.NewReader(text), how); err == nil || !strings.Contains(err.Error(), "ca.key") {
		t.Fatalf("without the CA: %v", err)
	}
	how.CADir = filepath.Join(former[2].cfg.DataDir, pkiDir)
	restored, err := Restore(cfg, bytes.NewReader(text), how)
	if err != nil {
		t.Fatal(err)
	}
	first := start(t, cfg)
	old := connect(t, made, first)
	made.Token = restored.Token
	c = connect(t, made, first)
	for what, by := range map[string]*client.Client{"the token of before": old, "the new token": c} {
		eventually(t, what, func() error {
			s, err := status(by)
			if err == nil && (s.Fleet.Incarnation != restored.Incarnation || s.Leader != "c1" || len(s.Coordinators) != 1 || s.Instances.Total != 1) {
				err = fmt.Errorf("%+v", s)
			}
			return err
		})
	}
	if restored.Incarnation <= 1 || len(first.tables.View().Fleet().Removed) != 3 {
		t.Errorf("incarnation %d, %d taken out", restored.Incarnation, len(first.tables.View().Fleet().Removed))
	}

	// Until it has reported, nothing is operated; where the report contradicts the tables, nothing is either, and it is shown.
	owns := proto.Holding{Instance: "i", Incarnation: 1, Fence: i.Fence, State: proto.FenceOwner, Running: true}
	reported := func(host string) uint64 {
		h, _ := first.tables.View().Host(host)
		return h.Incarnation
	}
	if reported("a") == restored.Incarnation {
		t.Error("a counts as having reported, and has not")
	}
	moved := owns
	moved.Fence += 2
	if _, err := hello(t, first, "b", 1, moved); err != nil || reported("b") == restored.Incarnation {
		t.Errorf("b, which has what a should have: %v", err)
	}
	var hosts v1.List[v1.Host]
	if err := c.Call(context.Background(), "GET", "/v1/hosts", nil, &hosts); err != nil || len(hosts.Items[1].Conflicts) != 1 || hosts.Items[1].Conflicts[0].Instance != "i" {
		t.Errorf("it is not shown: %v %+v", err, hosts.Items)
	}
	if r, err := hello(t, first, "a", 1, owns); err != nil || r.Incarnation != restored.Incarnation || reported("a") != restored.Incarnation {
		t.Errorf("a, which has what it should: %+v, %v", r, err)
	}
	if _, err := hello(t, first, "b", 1); err != nil || reported("b") != restored.Incarnation {
		t.Errorf("b, once it holds nothing: %v", err)
	}
	if _, err := hello(t, first, "b", restored.Incarnation+1); wire.CodeOf(err) != wire.Unavailable {
		t.Errorf("an agent that follows a later incarnation was taken in: %v", err)
	}

	// The others join again, in empty folders; and a coordinator that was restored comes back as any other.
	second := config3(t, "c2")
	if err := Join(context.Background(), second, joinToken(t, c, proto.RoleCoordinator), nil); err != nil {
		t.Fatal(err)
	}
	start(t, second)
	voters(t, c, 2)
	first.end(t)
	again := start(t, cfg)
	voters(t, connect(t, made, again), 2)
}

func TestOnTheMachineOfACoordinatorItsLogIsKeptAside(t *testing.T) {
	if testing.Short() {
		t.Skip("elections take seconds")
	}
	t.Parallel()
	cfg, made, m, c := alone(t)
	eventually(t, "it answers", func() error { _, err := status(c); return err })
	adopted(t, m)
	text := saved(t, c)
	how := Restoring{Log: slog.New(slog.DiscardHandler)}
	if _, err := Restore(cfg, bytes.NewReader(text), how); err == nil {
		t.Fatal("restored while it runs")
	}
	m.end(t)
	how.Forget = []string{"nothing"}
	if _, err := Restore(cfg, bytes.NewReader(text), how); err == nil || !strings.Contains(err.Error(), `no instance "nothing"`) {
		t.Errorf("forgetting what is not there: %v", err)
	}
	how.Forget = []string{"i"}
	restored, err := Restore(cfg, bytes.NewReader(text), how)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(restored.Aside, "raft.db")); err != nil {
		t.Error(err)
	}
	m = start(t, cfg)
	c = connect(t, made, m)
	eventually(t, "it answers with what was restored", func() error {
		s, err := status(c)
		if err == nil && s.Instances.Total != 0 {
			err = errors.New("the instance is still there")
		}
		return err
	})
	if on := m.tables.View().ReservationsOn("a"); len(on) != 0 {
		t.Errorf("a holds %v", on)
	}
}

func TestASnapshotOfAnotherFleetIsNotRestored(t *testing.T) {
	cfg, other := config3(t, "c1"), config3(t, "c1")
	if _, err := Init(cfg, 10*time.Second, proto.DefaultPolicy()); err != nil {
		t.Fatal(err)
	}
	if _, err := Init(other, 10*time.Second, proto.DefaultPolicy()); err != nil {
		t.Fatal(err)
	}
	tables := newTables(func(proto.Command, proto.Result, metrics.Ended) {})
	ca, err := pki.NewDir(durable.OS{}, filepath.Join(other.DataDir, pkiDir)).LoadCA()
	if err != nil {
		t.Fatal(err)
	}
	cmd, err := proto.NewCommand("init", "test", &proto.FleetInit{Fleet: ca.Fleet(), GridStep: 10_000, Policy: proto.DefaultPolicy()})
	if err != nil {
		t.Fatal(err)
	}
	tables.Apply(1, cmd)
	var text bytes.Buffer
	if err := snapshot.Write(&text, tables.View(), snapshot.Header{}); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(cfg, &text, Restoring{Log: slog.New(slog.DiscardHandler)}); !IsRefusal(err) || !strings.Contains(err.Error(), "is of fleet") {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(filepath.Join(cfg.DataDir, raftDir)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a refused restore left something: %v", err)
	}
}
