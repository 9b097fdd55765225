package main

import (
	"flag"
	"io"
	"testing"

	"github.com/glidepath/glidepath/internal/clidoc/clidoctest"
)

var update = flag.Bool("update", false, "write what is generated from the code anew")

func TestEveryCommandHasAnExampleAndSaysWhatItDoes(t *testing.T) {
	clidoctest.Complete(t, rootCommand(io.Discard, io.Discard))
}

func TestTheReferenceOfTheCommandIsMadeFromIt(t *testing.T) {
	clidoctest.MadeFrom(t, rootCommand(io.Discard, io.Discard), clidoctest.NoNote, *update)
}

func TestEachShellGetsItsCompletion(t *testing.T) {
	clidoctest.Completes(t, "glidepath-agent", "jo", "join", run)
}
