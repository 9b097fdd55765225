package enforce_test

import (
	"bytes"
	"net"
	"os"
	"testing"
	"time"

	"github.com/glidepath/glidepath/testenv/vm"
	"github.com/glidepath/glidepath/testenv/vm/vmtest"
)

// TestOnAGuest runs the tests whose names start with TestGuest in a guest, with a process of this machine as the far end of traffic.
func TestOnAGuest(t *testing.T) {
	if os.Getenv(guestEnv) != "" {
		t.Skip("this is the guest")
	}
	fleet := vmtest.Fleet(t, vm.Spec{Guests: []vm.GuestSpec{{Name: "host-a"}}, Namespaces: []vm.NamespaceSpec{{Name: "peer"}}})
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	far := fleet.Namespace("peer")
	addr := net.JoinHostPort(far.Addr().String(), "7000")
	if _, err := far.Start(vm.ProcessSpec{Name: "peer", Argv: []string{self}, Env: []string{roleEnv + "=peer", peerEnv + "=" + addr}}); err != nil {
		t.Fatal(err)
	}
	guest := fleet.Guest("host-a")
	const binary = "/opt/enforce.test"
	if err := guest.CopyTo(t.Context(), self, binary); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	begin := time.Now()
	err = guest.Run(t.Context(), vm.Command{
		Argv:   []string{binary, "-test.run", "^TestGuest", "-test.v", "-test.timeout", "30m"},
		Env:    []string{guestEnv + "=1", peerEnv + "=" + addr, "PATH=/usr/sbin:/usr/bin:/sbin:/bin"},
		Stdout: &out, Stderr: &out,
	})
	t.Logf("in the guest, %s:\n%s", time.Since(begin).Round(time.Second), out.Bytes())
	if err != nil {
		t.Error(err)
	}
}
