// Command may-run says by its exit code whether the ownership records let a unit run on this host, as `glidepath-agent may-run` does. systemd asks it at
// each start of an adopted unit, while clients wait: a program with nothing else in it begins in a quarter of the time.
package main

import (
	"fmt"
	"os"

	"github.com/glidepath/glidepath/agent/fence"
)

// Exit codes, the same for all programs of the project. systemd takes both for a no.
const (
	exitUsage   = 2
	exitRefused = 3
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "Usage: may-run DIRECTORY UNIT, the directory being that of the ownership records\nFor people: glidepath-agent may-run UNIT")
		os.Exit(exitUsage)
	}
	if ok, why := fence.MayRun(os.Args[1], os.Args[2]); !ok {
		fmt.Fprintln(os.Stderr, why) // for the unit's journal
		os.Exit(exitRefused)
	}
}
