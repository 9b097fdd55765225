package coordinator

import (
	"net"
	"net/netip"
)

// ownAddresses returns the addresses of the coordinators' hosts, as far as they are known: all that this one has, and those that the others say they are reached at. They are the same whoever leads, but
// for what the others don't say.
func (c *Coordinator) ownAddresses() []netip.Addr {
	var out []netip.Addr
	all, err := net.InterfaceAddrs()
	if err != nil {
		c.log.Warn("the addresses of this host can't be listed", "error", err)
	}
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			out = append(out, p.Addr().Unmap().WithZone(""))
		}
	}
	for other := range c.tables.View().Coordinators() {
		for _, address := range []string{other.RPCAddr, other.APIAddr, other.GossipAddr} {
			host, _, err := net.SplitHostPort(address)
			if err != nil {
				continue
			}
			if a, err := netip.ParseAddr(host); err == nil { // a name may be that of another host, too
				out = append(out, a.Unmap().WithZone(""))
			}
		}
	}
	return out
}
