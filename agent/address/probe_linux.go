package address

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// How an address is asked for, and announced.
const (
	probes        = 2
	probeWait     = 100 * time.Millisecond
	announcements = 3
	announceGap   = 50 * time.Millisecond
)

// TakenError tells that somebody else on the link has the address, or is taking it at the same moment.
type TakenError struct {
	Addr      netip.Addr
	Interface string
	By        net.HardwareAddr
}

// Error names the address, who has it, and what to do.
func (e *TakenError) Error() string {
	return fmt.Sprintf("address %s is in use on the link of %s by %s: find that host and take the address off it, or choose another", e.Addr, e.Interface, e.By)
}

// socket sends and receives the packets of one protocol on one interface.
type socket struct {
	fd    int
	proto uint16
	link  net.Interface
	buf   [2048]byte
}

func openSocket(link net.Interface, proto uint16) (_ *socket, err error) {
	if len(link.HardwareAddr) != 6 {
		return nil, fmt.Errorf("interface %s is no Ethernet: a floating address can't be announced there", link.Name)
	}
	// Bound only once the filter is set, so that nothing else is ever received.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open a packet socket (needs CAP_NET_RAW): %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, unix.Close(fd))
		}
	}()
	if proto == unix.ETH_P_IPV6 {
		if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, neighbourFilter()); err != nil {
			return nil, fmt.Errorf("filter a packet socket: %w", err)
		}
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: networkOrder(proto), Ifindex: link.Index}); err != nil {
		return nil, fmt.Errorf("bind a packet socket to %s: %w", link.Name, err)
	}
	return &socket{fd: fd, proto: proto, link: link}, nil
}

// neighbourFilter passes ICMPv6 neighbour solicitations and advertisements only: a busy link would drown the socket.
func neighbourFilter() *unix.SockFprog {
	const loadByte, jumpIf, ret = unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, unix.BPF_RET | unix.BPF_K
	code := []unix.SockFilter{
		{Code: loadByte, K: 6},
		{Code: jumpIf, K: protoICMPv6, Jt: 0, Jf: 4},
		{Code: loadByte, K: 40},
		{Code: jumpIf, K: icmpNeighborSolicit, Jt: 1, Jf: 0},
		{Code: jumpIf, K: icmpNeighborAdvert, Jt: 0, Jf: 1},
		{Code: ret, K: 2048},
		{Code: ret, K: 0},
	}
	return &unix.SockFprog{Len: uint16(len(code)), Filter: unsafe.SliceData(code)}
}

func networkOrder(v uint16) uint16 { return v<<8 | v>>8 }

func (s *socket) close() error { return unix.Close(s.fd) }

func (s *socket) send(packet []byte, to net.HardwareAddr) error {
	dest := &unix.SockaddrLinklayer{Protocol: networkOrder(s.proto), Ifindex: s.link.Index, Halen: 6}
	copy(dest.Addr[:], to)
	if err := unix.Sendto(s.fd, packet, 0, dest); err != nil {
		return fmt.Errorf("send on %s: %w", s.link.Name, err)
	}
	return nil
}

// receive returns a packet that has arrived and who sent it, or nil when none has.
func (s *socket) receive() ([]byte, net.HardwareAddr, error) {
	for {
		n, from, err := unix.Recvfrom(s.fd, s.buf[:], 0)
		switch {
		case err == nil:
			ll, ok := from.(*unix.SockaddrLinklayer)
			if !ok || ll.Halen != 6 {
				continue
			}
			return s.buf[:n], bytes.Clone(ll.Addr[:6]), nil
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return nil, nil, nil
		}
		return nil, nil, fmt.Errorf("receive on %s: %w", s.link.Name, err)
	}
}

// party is addresses of one family, and the socket by which they are asked for and announced.
type party struct {
	*socket
	addrs []netip.Addr
}

// parties opens a socket for each family that there is among the addresses. The caller closes them.
func parties(link net.Interface, addrs []netip.Addr) (out []party, err error) {
	defer func() {
		if err != nil {
			closeAll(out)
		}
	}()
	for proto, six := range map[uint16]bool{unix.ETH_P_ARP: false, unix.ETH_P_IPV6: true} {
		var own []netip.Addr
		for _, a := range addrs {
			if a.Is6() == six {
				own = append(own, a)
			}
		}
		if len(own) == 0 {
			continue
		}
		s, err := openSocket(link, proto)
		if err != nil {
			return out, err
		}
		out = append(out, party{s, own})
	}
	return out, nil
}

func closeAll(all []party) {
	for _, p := range all {
		_ = p.close()
	}
}

// question returns what asks for an address by ARP (RFC 5227) or neighbour discovery (RFC 4862), and where it goes to.
func (p party) question(addr netip.Addr) ([]byte, net.HardwareAddr) {
	if addr.Is6() {
		return solicitFrame(addr)
	}
	return arpFrame(p.link.HardwareAddr, netip.IPv4Unspecified(), addr), broadcast
}

// announcement returns what tells all neighbours that an address is at the socket's interface now, and where it goes to.
func (p party) announcement(addr netip.Addr) ([]byte, net.HardwareAddr) {
	if addr.Is6() {
		return advertFrame(p.link.HardwareAddr, addr)
	}
	return arpFrame(p.link.HardwareAddr, addr, addr), broadcast
}

// sendAll sends a packet for each address.
func sendAll(all []party, packet func(party, netip.Addr) ([]byte, net.HardwareAddr)) error {
	for _, p := range all {
		for _, addr := range p.addrs {
			b, dest := packet(p, addr)
			if err := p.send(b, dest); err != nil {
				return err
			}
		}
	}
	return nil
}

// probe asks the link twice whether anybody has one of the addresses. An answer is a *TakenError.
func probe(ctx context.Context, link net.Interface, addrs []netip.Addr) error {
	all, err := parties(link, addrs)
	if err != nil {
		return err
	}
	defer closeAll(all)
	for range probes {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("probe %s: %w", addrs, err)
		}
		if err := sendAll(all, party.question); err != nil {
			return err
		}
		if err := listen(all, time.Now().Add(probeWait)); err != nil {
			return err
		}
	}
	return nil
}

// listen waits until the deadline for anybody who says that he has one of the addresses, who is a *TakenError.
func listen(all []party, deadline time.Time) error {
	for time.Now().Before(deadline) {
		quiet := true
		for _, p := range all {
			packet, from, err := p.receive()
			if err != nil {
				return err
			}
			quiet = quiet && packet == nil
			if err := p.claimed(packet, from); err != nil {
				return err
			}
		}
		if !quiet {
			continue
		}
		fds := make([]unix.PollFd, 0, len(all))
		for _, p := range all {
			fds = append(fds, unix.PollFd{Fd: int32(p.fd), Events: unix.POLLIN})
		}
		if _, err := unix.Poll(fds, int(time.Until(deadline).Milliseconds())+1); err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("receive on %s: %w", all[0].link.Name, err)
		}
	}
	return nil
}

// claimed returns a *TakenError if another host says with a packet that it has one of the addresses.
func (p party) claimed(packet []byte, from net.HardwareAddr) error {
	if packet == nil {
		return nil
	}
	for _, addr := range p.addrs {
		holder := from
		if p.proto == unix.ETH_P_ARP {
			holder = arpHolder(packet, addr)
		} else if !advertises(packet, addr) {
			holder = nil
		}
		if holder != nil && !bytes.Equal(holder, p.link.HardwareAddr) {
			return &TakenError{Addr: addr, Interface: p.link.Name, By: holder}
		}
	}
	return nil
}

// announce tells all neighbours that the addresses are at this interface now.
func announce(ctx context.Context, link net.Interface, addrs []netip.Addr) error {
	all, err := parties(link, addrs)
	if err != nil {
		return err
	}
	defer closeAll(all)
	tick := time.NewTicker(announceGap)
	defer tick.Stop()
	for i := range announcements {
		if i > 0 {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return fmt.Errorf("announce %s: %w", addrs, ctx.Err())
			}
		}
		if err := sendAll(all, party.announcement); err != nil {
			return err
		}
	}
	return nil
}
