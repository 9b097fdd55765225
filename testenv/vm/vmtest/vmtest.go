// Package vmtest lets tests use fleets of package vm.
package vmtest

import (
	"os"
	"testing"

	"github.com/glidepath/glidepath/testenv/vm"
)

// Require skips the test, with the reason, where fleets can't run and in short mode. In CI,
// where the variable CI is set, a fleet that can't run fails the test instead.
func Require(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs real guests: left out in short mode")
	}
	err := vm.Check()
	if err == nil {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatal(err)
	}
	t.Skip(err)
}
