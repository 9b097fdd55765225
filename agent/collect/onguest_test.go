package collect

import (
	"bytes"
	"os"
	"testing"

	"github.com/glidepath/glidepath/testenv/vm"
	"github.com/glidepath/glidepath/testenv/vm/vmtest"
)

// TestOnAGuest runs the tests whose names start with TestKernel in a guest, where they may make cgroups.
func TestOnAGuest(t *testing.T) {
	if os.Getenv(kernelTests) != "" {
		t.Skip("this is the guest, or as good as one")
	}
	guest := vmtest.Fleet(t, vm.Spec{Guests: []vm.GuestSpec{{Name: "host-a"}}}).Guest("host-a")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	const binary = "/opt/collect.test"
	if err := guest.CopyTo(t.Context(), self, binary); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	err = guest.Run(t.Context(), vm.Command{
		Argv:   []string{binary, "-test.run", "^TestKernel", "-test.v", "-test.timeout", "10m"},
		Env:    []string{kernelTests + "=1", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"},
		Stdout: &out, Stderr: &out,
	})
	t.Logf("in the guest:\n%s", out.Bytes())
	if err != nil || !bytes.Contains(out.Bytes(), []byte("--- PASS: TestKernel")) || bytes.Contains(out.Bytes(), []byte("--- SKIP")) {
		t.Errorf("not all of them ran and passed: %v", err)
	}
}
