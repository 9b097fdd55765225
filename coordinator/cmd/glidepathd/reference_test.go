package main

import (
	"flag"
	"io"
	"testing"

	"github.com/spf13/cobra"

	"github.com/glidepath/glidepath/internal/clidoc/clidoctest"
)

var update = flag.Bool("update", false, "write what is generated from the code anew")

func TestEveryCommandHasAnExampleAndSaysWhatItDoes(t *testing.T) {
	clidoctest.Complete(t, command(io.Discard, io.Discard))
}

func TestTheReferenceOfTheCommandIsMadeFromIt(t *testing.T) {
	clidoctest.MadeFrom(t, command(io.Discard, io.Discard), clidoctest.NoNote, *update)
}

func TestEachShellGetsItsCompletion(t *testing.T) {
	clidoctest.Completes(t, "glidepathd", "jo", "join", run)
}

func TestWhatTheDocumentsHaveSomebodyTypeIsThere(t *testing.T) {
	clidoctest.Documented(t, func() *cobra.Command { return command(io.Discard, io.Discard) })
}
