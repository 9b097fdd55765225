package main

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"
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
