// Command sync reads or writes an instance's data for the agent, joins rsync to it, and starts such processes, as `glidepath-agent sync-worker`, `sync-shell` and `sync-spawn`
// do. A dozen of them run in a move, the last ones while clients wait: a program with nothing else in it begins in half the time.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/glidepath/glidepath/agent/transfer"
)

// Exit codes, the same for all programs of the project.
const (
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	var err error
	switch {
	case len(os.Args) == 2 && os.Args[1] == transfer.WorkerCommand:
		err = transfer.Worker(ctx, os.Stdin, os.Stdout)
	case len(os.Args) == 2 && os.Args[1] == transfer.SpawnCommand:
		err = transfer.Spawn(ctx, os.Stdin, transfer.Exec{Unconfined: true}) // the unit confines it as much
	case len(os.Args) > 2 && os.Args[1] == transfer.ShellCommand: // rsync adds words of its own
		err = transfer.Shell(ctx, os.Args[2], os.Stdin, os.Stdout)
	default:
		fmt.Fprintf(os.Stderr, "Usage: sync %s | sync %s | sync %s SOCKET\nThe agent starts it; it is of no use to people.\n", transfer.SpawnCommand, transfer.WorkerCommand, transfer.ShellCommand)
		os.Exit(exitUsage)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "sync:", err)
		os.Exit(exitFailed)
	}
}
