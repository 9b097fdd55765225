//go:build linux

package vmtest

import (
	"context"
	"crypto/rand"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/glidepath/glidepath/testenv/vm"
)

// startTimeout bounds making the image and booting, on a machine that is busy with other tests.
const startTimeout = 10 * time.Minute

// Fleet starts a fleet for a test, and removes it when the test ends. If the test has failed,
// the logs are kept in a folder that the test's output names, below $GLIDEPATH_VM_LOGS if set.
// A name is made up if the description has none.
func Fleet(t *testing.T, spec vm.Spec) *vm.Fleet {
	t.Helper()
	Require(t)
	if spec.Name == "" {
		spec.Name = fleetName(t.Name(), rand.Text())
	}
	if spec.Progress == nil {
		spec.Progress = func(sentence string) { t.Log(sentence) }
	}
	if spec.Logger == nil {
		spec.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	fleet, err := vm.Start(ctx, spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			keepLogs(t, fleet)
		}
		if err := fleet.Close(); err != nil {
			t.Error(err)
		}
	})
	return fleet
}

func keepLogs(t *testing.T, fleet *vm.Fleet) {
	t.Helper()
	base := os.Getenv("GLIDEPATH_VM_LOGS")
	if base != "" {
		if err := os.MkdirAll(base, 0o755); err != nil {
			t.Error(err)
			return
		}
	}
	folder, err := os.MkdirTemp(base, fleet.Name()+"-logs-")
	if err != nil {
		t.Error(err)
		return
	}
	// The test's own context has ended by now.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := fleet.CollectLogs(ctx, folder); err != nil {
		t.Error(err)
	}
	t.Logf("the fleet's logs are in %s", folder)
}

// fleetName makes a valid name from the test's name and something random.
func fleetName(test, random string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(test) {
		if b.Len() == 20 {
			break
		}
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			b.WriteRune(r)
		}
	}
	return b.String() + "-" + strings.ToLower(random[:6])
}
