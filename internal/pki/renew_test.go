package pki

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/glidepath/glidepath/internal/durable"
	"github.com/glidepath/glidepath/internal/durable/crashfs"
)

// startRenewer runs a renewer in the bubble; renew signs, unless fail says otherwise. It returns when each attempt was made.
func startRenewer(t *testing.T, ca *CA, creds *Credentials, fail func() error) *[]time.Time {
	var attempts []time.Time
	r := &Renewer{
		Credentials: creds,
		Renew: func(_ context.Context, csr []byte) ([]byte, []byte, error) {
			attempts = append(attempts, time.Now())
			if err := fail(); err != nil {
				return nil, nil, err
			}
			cert, err := ca.Sign(csr, creds.Identity(), time.Now())
			return cert, ca.CertPEM(), err
		},
		Save: func(_, _ []byte) error { return nil },
		Log:  slog.New(slog.DiscardHandler),
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return &attempts
}

func TestRenewerRenewsAtTwoThirdsForWeeks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		ca := mustFleet(t, start)
		creds := mustIssue(t, ca, Agent, "host-a", start)
		attempts := startRenewer(t, ca, creds, func() error { return nil })
		for range 30 * 24 {
			time.Sleep(time.Hour)
			if left := time.Until(creds.Certificate().Leaf.NotAfter); left < Lifetime/3-time.Minute {
				t.Fatalf("after %v only %v was left", time.Since(start), left)
			}
		}
		previous := start
		for _, at := range *attempts {
			if pause := at.Sub(previous); pause < Lifetime*2/3-Lifetime/20-time.Second || pause > Lifetime*2/3+time.Second {
				t.Errorf("renewed after %v", pause)
			}
			previous = at
		}
		if n := len(*attempts); n < 45 || n > 50 {
			t.Errorf("%d renewals in 30 days", n)
		}
	})
}

func TestRenewerGoesOnThroughAnOutageAndPastTheExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		ca := mustFleet(t, start)
		creds := mustIssue(t, ca, Agent, "host-a", start)
		down := start.Add(10 * 24 * time.Hour)
		attempts := startRenewer(t, ca, creds, func() error {
			if time.Now().Before(down) {
				return errors.New("no coordinator")
			}
			return nil
		})
		time.Sleep(10*24*time.Hour + lastRetry)
		synctest.Wait()
		if left := time.Until(creds.Certificate().Leaf.NotAfter); left < Lifetime-lastRetry-time.Second {
			t.Errorf("after the outage %v was left", left)
		}
		for i := 1; i < len(*attempts); i++ {
			pause := (*attempts)[i].Sub((*attempts)[i-1])
			want := min(firstRetry<<min(i-1, 10), lastRetry)
			if pause > want || pause < want*3/4 {
				t.Fatalf("pause %d was %v, want at most %v", i, pause, want)
			}
		}
	})
}

func TestRenewerRefusesACertificateThatIsNotItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := mustFleet(t, time.Now())
		creds := mustIssue(t, ca, Agent, "host-a", time.Now())
		other, err := ca.Issue(Agent, "host-b", time.Now())
		if err != nil {
			t.Fatal(err)
		}
		saved := false
		r := &Renewer{
			Credentials: creds,
			Renew:       func(context.Context, []byte) ([]byte, []byte, error) { return other.Cert, other.CA, nil },
			Save:        func(_, _ []byte) error { saved = true; return nil },
		}
		if err := r.once(t.Context()); err == nil || saved {
			t.Errorf("saved %v, %v", saved, err)
		}
	})
}

func TestDirKeepsWhatItIsGiven(t *testing.T) {
	path := t.TempDir()
	dir := NewDir(durable.OS{}, path)
	if _, err := dir.LoadNode(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before joining: %v", err)
	}
	ca := mustFleet(t, noon)
	node, err := ca.Issue(Coordinator, "coord-1", noon)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(dir.SaveCA(ca), dir.SaveNode(node)); err != nil {
		t.Fatal(err)
	}
	got, err := dir.LoadNode()
	if err != nil || fmt.Sprint(got) != fmt.Sprint(node) {
		t.Errorf("loaded another identity: %v", err)
	}
	loaded, err := dir.LoadCA()
	if err != nil || loaded.Pin() != ca.Pin() || loaded.Fleet() != ca.Fleet() {
		t.Errorf("loaded another CA: %v", err)
	}
	for name, want := range map[string]fs.FileMode{"ca.crt": 0o644, "ca.key": 0o600, "node.crt": 0o644, "node.key": 0o600} {
		if info, err := os.Stat(filepath.Join(path, name)); err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v; want %v", name, info.Mode(), err, want)
		}
	}
	for _, name := range []string{"ca.key", "node.key"} {
		file := filepath.Join(path, name)
		if err := os.Chmod(file, 0o640); err != nil {
			t.Fatal(err)
		}
		_, nodeErr := dir.LoadNode()
		_, caErr := dir.LoadCA()
		err := map[string]error{"ca.key": caErr, "node.key": nodeErr}[name]
		if err == nil || !strings.Contains(err.Error(), "chmod 600 "+file) {
			t.Errorf("%s readable by the group: %v", name, err)
		}
		if err := os.Chmod(file, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// A crash while joining or renewing leaves an identity that works, or none.
func TestCrashLeavesAWholeIdentity(t *testing.T) {
	ca := mustFleet(t, noon)
	node, err := ca.Issue(Agent, "host-a", noon)
	if err != nil {
		t.Fatal(err)
	}
	creds, err := node.Credentials()
	if err != nil {
		t.Fatal(err)
	}
	csr, err := creds.CSR()
	if err != nil {
		t.Fatal(err)
	}
	renewed, err := ca.Sign(csr, creds.Identity(), noon.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	for step := 1; ; step++ {
		finished := false
		for seed := range uint64(10) {
			disk := crashfs.New()
			disk.LosePowerAt(step)
			dir := NewDir(disk, "/pki")
			joined := dir.SaveNode(node) == nil
			finished = joined && dir.SaveCert(renewed, node.CA) == nil
			found, err := NewDir(disk.Restart(rand.New(rand.NewPCG(seed, uint64(step)))), "/pki").LoadNode()
			if errors.Is(err, fs.ErrNotExist) && !joined {
				continue
			}
			if err != nil {
				t.Fatalf("step %d seed %d: %v", step, seed, err)
			}
			if _, err := found.Credentials(); err != nil {
				t.Fatalf("step %d seed %d: %v", step, seed, err)
			}
		}
		if finished {
			return
		}
	}
}
