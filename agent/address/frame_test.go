package address

import (
	"bytes"
	"encoding/hex"
	"net"
	"net/netip"
	"testing"
)

var (
	mac4 = net.HardwareAddr{2, 0, 0, 0, 0, 1}
	v4   = netip.MustParseAddr("10.77.0.60")
	v6   = netip.MustParseAddr("fd00::1:2:60")
)

func TestFramesAreThoseOfTheStandards(t *testing.T) {
	solicit, solicitTo := solicitFrame(v6)
	advert, advertTo := advertFrame(mac4, v6)
	for name, c := range map[string]struct {
		got  []byte
		want string
	}{
		"ARP probe":        {arpFrame(mac4, netip.IPv4Unspecified(), v4), "0001080006040001" + "020000000001" + "00000000" + "000000000000" + "0a4d003c"},
		"ARP announcement": {arpFrame(mac4, v4, v4), "0001080006040001" + "020000000001" + "0a4d003c" + "000000000000" + "0a4d003c"},
		"solicitation": {solicit, "60000000" + "00183aff" + "00000000000000000000000000000000" + "ff0200000000000000000001ff020060" +
			"8700" + hex.EncodeToString(solicit[42:44]) + "00000000" + "fd000000000000000000000100020060"},
		"advertisement": {advert, "60000000" + "00203aff" + "fd000000000000000000000100020060" + "ff020000000000000000000000000001" +
			"8800" + hex.EncodeToString(advert[42:44]) + "20000000" + "fd000000000000000000000100020060" + "0201020000000001"},
	} {
		if got := hex.EncodeToString(c.got); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.want)
		}
	}
	if solicitTo.String() != "33:33:ff:02:00:60" || advertTo.String() != "33:33:00:00:00:01" {
		t.Errorf("sent to %s and %s", solicitTo, advertTo)
	}
	for _, packet := range [][]byte{solicit, advert} {
		pseudo := append(bytes.Clone(packet[8:40]), 0, 0, 0, byte(len(packet)-40), 0, 0, 0, protoICMPv6)
		if sum := checksum(append(pseudo, packet[40:]...)); sum != 0 {
			t.Errorf("checksum of %x is off by %x", packet, sum)
		}
	}
}

func TestWhoHoldsTheAddressByTheirPackets(t *testing.T) {
	reply := arpFrame(mac4, v4, netip.MustParseAddr("10.77.0.9"))
	reply[7] = arpReply
	other := netip.MustParseAddr("10.77.0.9")
	for name, c := range map[string]struct {
		packet []byte
		holds  bool
	}{
		"reply":          {reply, true},
		"announcement":   {arpFrame(mac4, v4, v4), true},
		"rival's probe":  {arpFrame(mac4, netip.IPv4Unspecified(), v4), true},
		"somebody asks":  {arpFrame(mac4, other, v4), false},
		"other's packet": {arpFrame(mac4, other, other), false},
		"cut":            {reply[:27], false},
	} {
		if got := arpHolder(c.packet, v4); (got != nil) != c.holds {
			t.Errorf("%s: %v", name, got)
		}
	}
	solicit, _ := solicitFrame(v6)
	advert, _ := advertFrame(mac4, v6)
	asked := ipv6Frame(netip.MustParseAddr("fe80::1"), v6, solicit[40:])
	routed := bytes.Clone(advert)
	routed[7] = 254
	for name, c := range map[string]struct {
		packet []byte
		holds  bool
	}{"advertisement": {advert, true}, "rival's probe": {solicit, true}, "somebody asks": {asked, false}, "from beyond the link": {routed, false}, "cut": {advert[:60], false}} {
		if got := advertises(c.packet, v6); got != c.holds {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func FuzzPackets(f *testing.F) {
	advert, _ := advertFrame(mac4, v6)
	f.Add(advert)
	f.Add(arpFrame(mac4, v4, v4))
	f.Fuzz(func(t *testing.T, b []byte) {
		if mac := arpHolder(b, v4); mac != nil && len(mac) != 6 {
			t.Errorf("a link-layer address of %d bytes", len(mac))
		}
		_ = advertises(b, v6)
	})
}
