package agent

import (
	"net"
	"net/netip"
	"testing"

	"github.com/glidepath/glidepath/agent/fence"
	"github.com/glidepath/glidepath/proto"
)

func TestNoneOfAnInstancesAddressesIsTheHostsOwn(t *testing.T) {
	var addrs []net.Addr
	for _, text := range []string{"10.77.0.60/24", "10.77.0.61/24", "fd77::1/64", "10.77.0.1/24"} {
		p := netip.MustParsePrefix(text)
		addrs = append(addrs, &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())})
	}
	records := []fence.Record{{Spec: proto.InstanceSpec{Address: "10.77.0.60/24", Addresses: []string{"10.77.0.61/24"}}}}
	if got := ownAddress(addrs, records).String(); got != "10.77.0.1" {
		t.Errorf("the host's own address is %s", got)
	}
}
