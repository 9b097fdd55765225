package agent_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/glidepath/glidepath/agent"
	"github.com/glidepath/glidepath/internal/pki"
	"github.com/glidepath/glidepath/internal/wire"
)

// onLoopback starts a coordinator on this machine.
func onLoopback(t *testing.T) *coordinator {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return newCoordinator(t, l.Addr().String(), func() (net.Listener, error) { return l, nil })
}

func configIn(dir string) agent.Config {
	cfg := agent.Default()
	cfg.Name, cfg.DataDir, cfg.RunDir = "host-a", filepath.Join(dir, "data"), filepath.Join(dir, "run")
	return cfg
}

func TestAHostThatJoinsGetsItsCertificateAndKnowsTheCoordinators(t *testing.T) {
	c, cfg := onLoopback(t), configIn(t.TempDir())
	joined, err := agent.Join(t.Context(), cfg, agent.JoinRequest{Token: c.token(), Name: "host-b"})
	if err != nil {
		t.Fatal(err)
	}
	if joined.Name != "host-b" || joined.Fleet != c.ca.Fleet() {
		t.Errorf("joined as %+v", joined)
	}
	if b, err := os.ReadFile(filepath.Join(cfg.DataDir, "coordinators")); err != nil || strings.TrimSpace(string(b)) != c.addr {
		t.Errorf("coordinators: %q, %v", b, err)
	}
	info, err := os.Stat(filepath.Join(cfg.DataDir, "pki", "node.key"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key: %v, %v", info, err)
	}
}

func TestAHostJoinsTwiceOnlyWhenToldSo(t *testing.T) {
	c, cfg := onLoopback(t), configIn(t.TempDir())
	req := agent.JoinRequest{Token: c.token()}
	if _, err := agent.Join(t.Context(), cfg, req); err != nil {
		t.Fatal(err)
	}
	_, err := agent.Join(t.Context(), cfg, req)
	var refusal *agent.Refusal
	if !errors.As(err, &refusal) || !strings.Contains(err.Error(), "--again") || c.joins != 1 {
		t.Fatalf("joined twice (%d calls): %v", c.joins, err)
	}
	req.Again = true
	if _, err := agent.Join(t.Context(), cfg, req); err != nil {
		t.Fatal(err)
	}
}

func TestJoiningIsRefusedBeforeAnythingIsWritten(t *testing.T) {
	c := onLoopback(t)
	stranger, err := pki.NewFleet(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	mint := func(kind pki.Kind, name string, pin pki.Pin, addrs ...string) string {
		token, err := pki.MintJoin(kind, name, pin, addrs, time.Now(), 0)
		if err != nil {
			t.Fatal(err)
		}
		return token.Encode()
	}
	for name, test := range map[string]struct {
		req  agent.JoinRequest
		says string
	}{
		"a token for a coordinator":   {agent.JoinRequest{Token: mint(pki.Coordinator, "", c.ca.Pin(), c.addr)}, "glidepath token create"},
		"a token for another host":    {agent.JoinRequest{Token: mint(pki.Agent, "host-x", c.ca.Pin(), c.addr), Name: "host-a"}, "host-x"},
		"a token without coordinator": {agent.JoinRequest{Token: mint(pki.Agent, "", c.ca.Pin())}, "--coordinator"},
		"another fleet's coordinator": {agent.JoinRequest{Token: mint(pki.Agent, "", stranger.Pin(), c.addr)}, "not of the fleet"},
		"no token":                    {agent.JoinRequest{Token: "hello"}, "copy it again"},
	} {
		cfg := configIn(t.TempDir())
		_, err := agent.Join(t.Context(), cfg, test.req)
		if err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(filepath.Join(cfg.DataDir, "pki", "node.crt")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: there is a certificate", name)
		}
	}
	if c.joins != 0 {
		t.Errorf("%d requests reached the coordinator", c.joins)
	}
}

func TestACoordinatorsNoIsFinalAndTold(t *testing.T) {
	c, cfg := onLoopback(t), configIn(t.TempDir())
	c.refused = wire.Errorf(wire.Refused, "the token was used already")
	_, err := agent.Join(t.Context(), cfg, agent.JoinRequest{Token: c.token(), Coordinators: []string{c.addr}})
	var refusal *agent.Refusal
	if !errors.As(err, &refusal) || !strings.Contains(err.Error(), "used already") || c.joins != 1 {
		t.Errorf("%d calls: %v", c.joins, err)
	}
}

func TestACoordinatorThatIsAwayIsPassedOver(t *testing.T) {
	c, cfg := onLoopback(t), configIn(t.TempDir())
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := gone.Close(); err != nil {
		t.Fatal(err)
	}
	joined, err := agent.Join(t.Context(), cfg, agent.JoinRequest{Token: c.token(), Coordinators: []string{gone.Addr().String()}})
	if err != nil || joined.Coordinator != c.addr {
		t.Errorf("%+v, %v", joined, err)
	}
}

func TestAHostThatMovesToAnotherFleetForgetsTheOldOnesDecisions(t *testing.T) {
	first, second, cfg := onLoopback(t), onLoopback(t), configIn(t.TempDir())
	if _, err := agent.Join(t.Context(), cfg, agent.JoinRequest{Token: first.token()}); err != nil {
		t.Fatal(err)
	}
	document := filepath.Join(cfg.DataDir, "document")
	if err := os.WriteFile(document, []byte("of the first fleet"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := agent.Join(t.Context(), cfg, agent.JoinRequest{Token: second.token(), Again: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(document); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the first fleet's document is still there: %v", err)
	}
}
