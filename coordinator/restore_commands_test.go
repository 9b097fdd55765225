package coordinator

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/glidepath/glidepath/coordinator/api/client"
	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/proto"
)

// programs are the two commands of this tree, built.
type programs string

func built(t *testing.T) programs {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", dir, "./cmd/glidepath", "./cmd/glidepathd").CombinedOutput(); err != nil {
		t.Fatalf("build the commands: %v: %s", err, out)
	}
	return programs(dir)
}

// run runs one of them as an operator does whose token and pin are in the environment, and returns all that it said.
func (p programs) run(t *testing.T, made Founded, args ...string) (said string, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(string(p), args[0]), args[1:]...)
	cmd.Env = append(os.Environ(), "GLIDEPATH_TOKEN="+made.Token, "GLIDEPATH_CA_PIN="+made.Pin, "GLIDEPATH_ADDR=", "HOME="+string(p))
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// configFile writes the configuration of a coordinator as an operator has it.
func configFile(t *testing.T, cfg Config) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "coordinator.yaml")
	text := fmt.Sprintf("name: %s\ndata_dir: %s\nrpc: {listen: %q}\ngossip: {listen: %q}\napi: {listen: %q}\n", cfg.Name, cfg.DataDir, cfg.RPC.Listen, cfg.Gossip.Listen, cfg.API.Listen)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// What docs/operations.md says to do when a majority is lost for good, with the commands that it names.
func TestAFleetThatLostItsMajorityGoesOnByTheDocumentedCommands(t *testing.T) {
	if testing.Short() {
		t.Skip("elections take seconds")
	}
	t.Parallel()
	commands, ctx := built(t), context.Background()
	all, made, _ := three(t)
	i := adopted(t, all[0])
	eventually(t, "all have what was committed", func() error {
		for _, m := range all {
			if its, ok := m.tables.View().Instance("i"); !ok || its.State != proto.InstanceRunning {
				return errors.New(m.cfg.Name + " has not")
			}
		}
		return nil
	})
	all[0].end(t)
	all[1].end(t)
	left := all[2]
	address, file := left.cfg.API.Address(), filepath.Join(t.TempDir(), "last.snapshot")
	if said, err := commands.run(t, made, "glidepath", "operator", "snapshot", "save", "--address", address, file); err == nil || !strings.Contains(said, "majority") {
		t.Errorf("without a majority a snapshot that is all was taken: %v: %s", err, said)
	}
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what was refused has left a file: %v", err)
	}
	if said, err := commands.run(t, made, "glidepath", "operator", "snapshot", "save", "--stale", "--address", address, file); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	if said, err := commands.run(t, made, "glidepath", "operator", "snapshot", "inspect", file); err != nil || !strings.Contains(said, "without asking the leader") || !strings.Contains(said, "by c3") {
		t.Errorf("%v: %s", err, said)
	}
	config := configFile(t, left.cfg)
	if said, err := commands.run(t, made, "glidepathd", "--config", config, "restore", file); err == nil || !strings.Contains(said, "stop it first") {
		t.Errorf("restored while it runs: %v: %s", err, said)
	}
	left.end(t)
	said, err := commands.run(t, made, "glidepathd", "--config", config, "restore", file)
	if err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	for _, word := range []string{"with c3 alone", "Raft's former log is kept in " + filepath.Join(left.cfg.DataDir, "raft.before-"), "glidepath status"} {
		if !strings.Contains(said, word) {
			t.Errorf("restore does not say %q: %s", word, said)
		}
	}

	// The token of before is good, and nothing is operated before the agents have said what they run.
	m := start(t, left.cfg)
	c := connect(t, made, m)
	unreported := func(want ...string) {
		t.Helper()
		eventually(t, fmt.Sprintf("the hosts that have not reported are %q", want), func() error {
			s, err := status(c)
			if err == nil && (s.Leader != "c3" || !slices.Equal(s.Unreported, want)) {
				err = fmt.Errorf("%q leads, %q have not", s.Leader, s.Unreported)
			}
			return err
		})
	}
	unreported("a", "b")
	if err := move(ctx, m, i); err == nil || !strings.Contains(err.Error(), "has not yet reported what it runs") {
		t.Errorf("a move before that: %v", err)
	}
	source := startMover(t, "a", proto.Holding{Instance: "i", Incarnation: 1, Fence: i.Fence, State: proto.FenceOwner, Running: true}, nil, m)
	target := startMover(t, "b", proto.Holding{}, nil, m)
	unreported()
	if err := move(ctx, m, i); err != nil {
		t.Fatal(err)
	}
	settled(t, c)
	if got := []proto.FenceState{source.holdings()[0].State, target.holdings()[0].State}; got[1] != proto.FenceOwner || got[0] == proto.FenceOwner {
		t.Errorf("after the move the source and the target hold it as %q", got)
	}

	// The second coordinator joins again, by the documented commands, too.
	said, err = commands.run(t, made, "glidepath", "token", "create", "--role", "coordinator", "--address", address)
	token := joinTokenIn(said)
	if err != nil || token == "" {
		t.Fatalf("%v: %s", err, said)
	}
	second := config3(t, "c2")
	if said, err := commands.run(t, made, "glidepathd", "--config", configFile(t, second), "join", "--token", token); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	start(t, second)
	voters(t, c, 2)
}

// settled waits until migration m is on probation.
func settled(t *testing.T, c *client.Client) {
	t.Helper()
	eventually(t, "it has moved", func() error {
		var m v1.MigrationStatus
		err := c.Call(context.Background(), "GET", "/v1/migrations/m", nil, &m)
		if err == nil && m.Phase != proto.PhaseSettle {
			err = fmt.Errorf("it is in %s (%s %s)", m.Phase, m.Outcome, m.Reason)
		}
		return err
	})
}

// joinTokenIn returns the token for joining in what a command said.
func joinTokenIn(said string) string {
	for word := range strings.FieldsSeq(said) {
		if strings.HasPrefix(word, "gpj1.") {
			return word
		}
	}
	return ""
}
