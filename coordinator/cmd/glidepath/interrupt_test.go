package main

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/glidepath/glidepath/coordinator/state"
)

func TestAnInterruptEndsWhatReadsStandardInput(t *testing.T) {
	reach(t)
	in, never, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	was := os.Stdin
	os.Stdin = in
	t.Cleanup(func() {
		os.Stdin = was
		never.Close() // what reads ends
	})
	for _, args := range []string{"instance apply -f -", "type apply -f -", "app apply -f -", "calendar add sales - --instance cache-1"} {
		ctx, interrupt := context.WithCancel(t.Context())
		time.AfterFunc(time.Millisecond, interrupt)
		if code, _, stderr := glidepath(t, ctx, strings.Fields(args)...); code != exitInterrupted || stderr != "glidepath: interrupted\n" {
			t.Errorf("%s: exit code %d, %q", args, code, stderr)
		}
	}
}

func TestAnInterruptWhileADrainIsAskedForSaysThatItMayHaveBegun(t *testing.T) {
	for _, dry := range []bool{false, true} {
		f := reach(t)
		ctx, interrupt := context.WithCancel(t.Context())
		f.Config.OwnView = func() *state.View { // it is planned, and takes a while
			interrupt()
			<-ctx.Done()
			return f.View()
		}
		pointAt(t, f)
		args := []string{"host", "drain", "host-a"}
		if dry {
			args = append(args, "--dry-run")
		}
		code, _, stderr := glidepath(t, ctx, args...)
		if code != exitInterrupted || strings.Contains(stderr, "It is not known whether host host-a is being emptied. See:  glidepath host drain show host-a\n") == dry {
			t.Errorf("%q: exit code %d, %q", args, code, stderr)
		}
	}
}
