package main

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/glidepath/glidepath/coordinator"
)

func TestSIGHUPMakesTheAuditGoOnInANewFile(t *testing.T) {
	cfg := coordinator.Default()
	cfg.DataDir = t.TempDir()
	path := filepath.Join(cfg.DataDir, "audit.log")
	out, closeAudit, err := openAudit(context.Background(), cfg, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; <-time.After(10 * time.Millisecond) {
		if _, err := os.Stat(path); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("no new file")
		}
	}
	if _, err := out.Write([]byte("line\n")); err != nil {
		t.Fatal(err)
	}
	if err := closeAudit(); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "line\n" {
		t.Errorf("%q, %v", text, err)
	}
}

func TestTheEndOfWhatIsLoggedIsKept(t *testing.T) {
	var kept tail
	line := []byte(strings.Repeat("x", 1023) + "\n")
	for range 4 * tailKept / len(line) {
		if _, err := kept.Write(line); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := kept.Write([]byte("last\n")); err != nil {
		t.Fatal(err)
	}
	if got := kept.Bytes(); len(got) != tailKept || !bytes.HasSuffix(got, []byte("x\nlast\n")) || len(kept.text) > 2*tailKept+len(line) {
		t.Errorf("%d bytes of %d", len(got), len(kept.text))
	}
}
