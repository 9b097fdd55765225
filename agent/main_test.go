package agent

import (
	"context"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/glidepath/glidepath/agent/transfer"
)

// The test's own binary stands in for the agent where the agent calls itself.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case transfer.SpawnCommand:
			exit(transfer.Spawn(context.Background(), os.Stdin, transfer.Exec{Unconfined: true}))
		case transfer.WorkerCommand:
			exit(transfer.Worker(context.Background(), os.Stdin, os.Stdout))
		case transfer.ShellCommand:
			exit(transfer.Shell(context.Background(), os.Args[2], os.Stdin, os.Stdout))
		}
	}
	goleak.VerifyTestMain(m)
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}
