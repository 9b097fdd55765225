package address

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
)

const (
	arpRequest = 1
	arpReply   = 2

	icmpNeighborSolicit = 135
	icmpNeighborAdvert  = 136
	protoICMPv6         = 58
)

var broadcast = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// arpFrame returns an ARP request for target (RFC 826). An unspecified sender makes it a probe, sender = target an
// announcement (RFC 5227).
func arpFrame(mac net.HardwareAddr, sender, target netip.Addr) []byte {
	b := make([]byte, 28)
	binary.BigEndian.PutUint16(b[0:], 1)      // Ethernet
	binary.BigEndian.PutUint16(b[2:], 0x0800) // IPv4
	b[4], b[5] = 6, 4
	binary.BigEndian.PutUint16(b[6:], arpRequest)
	copy(b[8:14], mac)
	copy(b[14:18], sender.AsSlice())
	copy(b[24:28], target.AsSlice())
	return b
}

// arpHolder returns who says with an ARP packet that it has addr, or that it is about to take it; nil if nobody does.
func arpHolder(b []byte, addr netip.Addr) net.HardwareAddr {
	if len(b) < 28 || binary.BigEndian.Uint16(b) != 1 || binary.BigEndian.Uint16(b[2:]) != 0x0800 || b[4] != 6 || b[5] != 4 {
		return nil
	}
	op := binary.BigEndian.Uint16(b[6:])
	sender, target := netip.AddrFrom4([4]byte(b[14:18])), netip.AddrFrom4([4]byte(b[24:28]))
	rivalProbe := op == arpRequest && sender.IsUnspecified() && target == addr
	if (op == arpRequest || op == arpReply) && sender == addr || rivalProbe {
		return bytes.Clone(b[8:14])
	}
	return nil
}

// solicitFrame returns a neighbour solicitation from the unspecified address, as duplicate address detection sends it
// (RFC 4862 section 5.4.2), and the link-layer address that it goes to.
func solicitFrame(target netip.Addr) ([]byte, net.HardwareAddr) {
	t := target.As16()
	group := netip.AddrFrom16([16]byte{0xff, 0x02, 11: 1, 12: 0xff, 13: t[13], 14: t[14], 15: t[15]})
	body := make([]byte, 24)
	body[0] = icmpNeighborSolicit
	copy(body[8:], t[:])
	return ipv6Frame(netip.IPv6Unspecified(), group, body), net.HardwareAddr{0x33, 0x33, 0xff, t[13], t[14], t[15]}
}

// advertFrame returns an unsolicited neighbour advertisement to all nodes that overrides what they have cached
// (RFC 4861 section 7.2.6), and the link-layer address that it goes to.
func advertFrame(mac net.HardwareAddr, addr netip.Addr) ([]byte, net.HardwareAddr) {
	body := make([]byte, 32)
	body[0] = icmpNeighborAdvert
	body[4] = 0x20 // override
	a := addr.As16()
	copy(body[8:], a[:])
	body[24], body[25] = 2, 1 // target link-layer address, one unit of 8 bytes
	copy(body[26:], mac)
	allNodes := netip.AddrFrom16([16]byte{0xff, 0x02, 15: 1})
	return ipv6Frame(addr, allNodes, body), net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1}
}

// advertises reports whether an IPv6 packet says that its sender has addr, or is about to take it.
func advertises(b []byte, addr netip.Addr) bool {
	if len(b) < 64 || b[0]>>4 != 6 || b[6] != protoICMPv6 || b[7] != 255 {
		return false
	}
	target := netip.AddrFrom16([16]byte(b[48:64]))
	source := netip.AddrFrom16([16]byte(b[8:24]))
	return target == addr && (b[40] == icmpNeighborAdvert || b[40] == icmpNeighborSolicit && source.IsUnspecified())
}

// ipv6Frame puts an ICMPv6 body with its checksum into an IPv6 packet with hop limit 255, as neighbour discovery demands.
func ipv6Frame(source, dest netip.Addr, body []byte) []byte {
	b := make([]byte, 40, 40+len(body))
	b[0] = 0x60
	binary.BigEndian.PutUint16(b[4:], uint16(len(body)))
	b[6], b[7] = protoICMPv6, 255
	copy(b[8:], source.AsSlice())
	copy(b[24:], dest.AsSlice())
	b = append(b, body...)

	pseudo := append(bytes.Clone(b[8:40]), 0, 0, 0, byte(len(body)), 0, 0, 0, protoICMPv6)
	binary.BigEndian.PutUint16(b[42:], checksum(append(pseudo, body...)))
	return b
}

// checksum is the Internet checksum (RFC 1071) of an even number of bytes.
func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}
