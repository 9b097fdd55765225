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

// receive returns the next packet and who sent it, or nil when none comes until the deadline.
func (s *socket) receive(deadline time.Time) ([]byte, net.HardwareAddr, error) {
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
		case !errors.Is(err, unix.EAGAIN):
			return nil, nil, fmt.Errorf("receive on %s: %w", s.link.Name, err)
		}
		left := time.Until(deadline)
		if left <= 0 {
			return nil, nil, nil
		}
		_, err = unix.Poll([]unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLIN}}, int(left.Milliseconds())+1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return nil, nil, fmt.Errorf("receive on %s: %w", s.link.Name, err)
		}
	}
}

// probe asks the link twice whether anybody has addr, by ARP (RFC 5227) or neighbour discovery (RFC 4862). An answer is a *TakenError.
func probe(ctx context.Context, link net.Interface, addr netip.Addr) error {
	proto := uint16(unix.ETH_P_ARP)
	packet, dest := arpFrame(link.HardwareAddr, netip.IPv4Unspecified(), addr), broadcast
	if addr.Is6() {
		proto = unix.ETH_P_IPV6
		packet, dest = solicitFrame(addr)
	}
	s, err := openSocket(link, proto)
	if err != nil {
		return err
	}
	defer s.close()
	for range probes {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("probe %s: %w", addr, err)
		}
		if err := s.send(packet, dest); err != nil {
			return err
		}
		holder, err := s.listen(addr, time.Now().Add(probeWait))
		if err != nil {
			return err
		}
		if holder != nil {
			return &TakenError{Addr: addr, Interface: link.Name, By: holder}
		}
	}
	return nil
}

// listen returns who else says until the deadline that it has addr.
func (s *socket) listen(addr netip.Addr, deadline time.Time) (net.HardwareAddr, error) {
	for time.Now().Before(deadline) {
		packet, from, err := s.receive(deadline)
		if err != nil {
			return nil, err
		}
		holder := from
		if s.proto == unix.ETH_P_ARP {
			holder = arpHolder(packet, addr)
		} else if !advertises(packet, addr) {
			holder = nil
		}
		if holder != nil && !bytes.Equal(holder, s.link.HardwareAddr) {
			return holder, nil
		}
	}
	return nil, nil
}

// announce tells all neighbours that addr is at this interface now.
func announce(ctx context.Context, link net.Interface, addr netip.Addr) error {
	proto := uint16(unix.ETH_P_ARP)
	packet, dest := arpFrame(link.HardwareAddr, addr, addr), broadcast
	if addr.Is6() {
		proto = unix.ETH_P_IPV6
		packet, dest = advertFrame(link.HardwareAddr, addr)
	}
	s, err := openSocket(link, proto)
	if err != nil {
		return err
	}
	defer s.close()
	tick := time.NewTicker(announceGap)
	defer tick.Stop()
	for i := range announcements {
		if i > 0 {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return fmt.Errorf("announce %s: %w", addr, ctx.Err())
			}
		}
		if err := s.send(packet, dest); err != nil {
			return err
		}
	}
	return nil
}
