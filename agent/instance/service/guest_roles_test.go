package service_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/glidepath/glidepath/agent"
	"github.com/glidepath/glidepath/agent/address"
	"github.com/glidepath/glidepath/agent/allow"
	"github.com/glidepath/glidepath/agent/enforce"
	"github.com/glidepath/glidepath/agent/enforce/systemd"
	"github.com/glidepath/glidepath/agent/fence"
	"github.com/glidepath/glidepath/agent/instance/service"
	"github.com/glidepath/glidepath/internal/durable"
	"github.com/glidepath/glidepath/proto"
)

// In a guest the test binary plays the agent: each operation is a process of its own, so that nothing is kept in memory
// between two of them.
const (
	roleEnv   = "GLIDEPATH_TEST_ROLE"
	guestPath = "/opt/service.test"
	agentDir  = "/var/lib/glidepath/agent"
	fenceDir  = agentDir + "/fence"
	guestEth  = "eth0"
)

func TestMain(m *testing.M) {
	role := os.Getenv(roleEnv)
	if role == "" {
		os.Exit(m.Run())
	}
	if err := play(role); err != nil {
		fmt.Fprintln(os.Stderr, role+":", err)
		os.Exit(1)
	}
}

func play(role string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	switch role {
	case "may-run":
		if ok, why := fence.MayRun(fenceDir, os.Args[1]); !ok {
			return errors.New(why)
		}
		return nil
	case "guard":
		_, err := agent.Guard(ctx, agent.Config{DataDir: agentDir}, os.Args[1])
		return err
	case "operate":
		driver, err := guestDriver(ctx, 15_000)
		if err != nil {
			return err
		}
		var op proto.Operation
		if err := json.NewDecoder(os.Stdin).Decode(&op); err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(driver.Operate(ctx, op))
	case "recover":
		_, err := guestDriver(ctx, 15_000)
		return err
	case "keep": // look after permits that nobody renews
		driver, err := guestDriver(ctx, 0)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, 12*time.Second)
		defer cancel()
		return driver.Run(ctx)
	}
	return fmt.Errorf("there is no role %q", role)
}

type permits int64

func (p permits) Ask(context.Context, proto.PermitRequest) (proto.PermitReply, error) {
	return proto.PermitReply{Milliseconds: int64(p), Reason: "the migration is being aborted"}, nil
}

// guestDriver returns the driver with all its real parts, recovered as after a start of the agent.
func guestDriver(ctx context.Context, permit int64) (*service.Driver, error) {
	for _, dir := range []string{fenceDir, "/run/glidepath", "/sys/fs/bpf/glidepath"} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
	}
	store, err := fence.Open(durable.OS{}, fenceDir)
	if err != nil {
		return nil, err
	}
	list, err := allow.Load("/etc/glidepath/allow.yaml")
	if err != nil {
		return nil, err
	}
	bus, err := systemd.Dial(ctx)
	if err != nil {
		return nil, err
	}
	name, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	limits := enforce.Default()
	limits.MayRun = "/usr/bin/env " + roleEnv + "=may-run " + guestPath
	d := service.New(service.Config{
		Host: name, DataDir: agentDir, KeepDir: "/var/lib/glidepath", Root: "/", CgroupRoot: "/sys/fs/cgroup", Interface: guestEth,
		Guard: []string{"/usr/bin/env", roleEnv + "=guard", guestPath},
		MayRun: func(_ context.Context, unit string) (bool, error) {
			ok, _ := fence.MayRun(fenceDir, unit)
			return ok, nil
		},
		Files: durable.OS{}, Fence: store, Allow: list, Systemd: service.Host{Bus: bus}, Limits: enforce.Open(limits, bus),
		Addresses: address.New(guestEth, "/run/glidepath"), Permits: permits(permit), Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	return d, d.Recover(ctx)
}
