//go:build linux

package fleet

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/glidepath/glidepath/testenv/vm"
)

// Answer is someone's word that it has the address.
type Answer struct {
	At    time.Time
	MAC   string
	Asked bool // a reply to us; otherwise it told everybody
}

const (
	askEvery = 250 * time.Millisecond
	// answersTogether is within what time answers of two contradict each other: they are to the same question.
	answersTogether = 200 * time.Millisecond
)

// asker asks on the fleet's network who has an address (ARP, RFC 826), several times a second.
type asker struct {
	file   *os.File
	to     unix.SockaddrLinklayer
	mac    net.HardwareAddr
	own    netip.Addr
	target netip.Addr
}

// openAsker opens a packet socket in the namespace.
func openAsker(ns *vm.Namespace, target netip.Addr) (*asker, error) {
	a := &asker{own: ns.Addr(), target: target}
	err := ns.Do(func() error {
		link, err := linkOf(ns.Addr())
		if err != nil {
			return err
		}
		a.mac = link.HardwareAddr
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, int(bigEndian(unix.ETH_P_ARP)))
		if err != nil {
			return err
		}
		a.to = unix.SockaddrLinklayer{Protocol: bigEndian(unix.ETH_P_ARP), Ifindex: link.Index, Halen: 6, Addr: [8]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}
		if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: bigEndian(unix.ETH_P_ARP), Ifindex: link.Index}); err != nil {
			return errors.Join(err, unix.Close(fd))
		}
		a.file = os.NewFile(uintptr(fd), "arp")
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("ask who has %s: %w", target, err)
	}
	return a, nil
}

// linkOf returns the interface that has an address.
func linkOf(addr netip.Addr) (net.Interface, error) {
	links, err := net.Interfaces()
	if err != nil {
		return net.Interface{}, err
	}
	for _, link := range links {
		addrs, err := link.Addrs()
		if err != nil {
			return net.Interface{}, err
		}
		for _, a := range addrs {
			if p, ok := a.(*net.IPNet); ok && p.IP.Equal(addr.AsSlice()) {
				return link, nil
			}
		}
	}
	return net.Interface{}, fmt.Errorf("no interface has %s", addr)
}

func bigEndian(v uint16) uint16 { return v<<8 | v>>8 }

func (a *asker) close() { a.file.Close() }

// run asks and hands on what is answered until ctx ends.
func (a *asker) run(ctx context.Context, answered func(Answer)) error {
	raw, err := a.file.SyscallConn()
	if err != nil {
		return err
	}
	question := a.question()
	packet := make([]byte, 256)
	for ctx.Err() == nil {
		var sent error
		if err := raw.Control(func(fd uintptr) { sent = unix.Sendto(int(fd), question, 0, &a.to) }); err != nil {
			return err
		}
		if sent != nil && !errors.Is(sent, unix.EAGAIN) && !errors.Is(sent, unix.ENOBUFS) {
			return fmt.Errorf("ask who has %s: %w", a.target, sent)
		}
		until := time.Now().Add(askEvery)
		if err := a.file.SetReadDeadline(until); err != nil {
			return err
		}
		for time.Now().Before(until) {
			n, err := a.file.Read(packet)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if err != nil {
				return fmt.Errorf("ask who has %s: %w", a.target, err)
			}
			if answer, ok := readAnswer(packet[:n], a.target); ok {
				answer.At = time.Now()
				answered(answer)
			}
		}
	}
	return nil
}

// question is the ARP request.
func (a *asker) question() []byte {
	b := make([]byte, 28)
	binary.BigEndian.PutUint16(b, 1)
	binary.BigEndian.PutUint16(b[2:], unix.ETH_P_IP)
	b[4], b[5] = 6, 4
	binary.BigEndian.PutUint16(b[6:], 1)
	copy(b[8:], a.mac)
	copy(b[14:], a.own.AsSlice())
	copy(b[24:], a.target.AsSlice())
	return b
}

// readAnswer returns who says in an ARP packet that it has the address.
func readAnswer(b []byte, target netip.Addr) (Answer, bool) {
	if len(b) < 28 || b[4] != 6 || b[5] != 4 {
		return Answer{}, false
	}
	op := binary.BigEndian.Uint16(b[6:])
	if sender := netip.AddrFrom4([4]byte(b[14:18])); sender != target || op != 1 && op != 2 {
		return Answer{}, false
	}
	return Answer{MAC: net.HardwareAddr(b[8:14]).String(), Asked: op == 2}, true
}

// AddressWatch observes from outside who answers for an address.
type AddressWatch struct {
	stop  context.CancelFunc
	group errgroup.Group

	mu      sync.Mutex
	answers []Answer
	faults  []string
}

// WatchAddress begins to observe an address. The caller must Close it.
func (f *Fleet) WatchAddress(ctx context.Context, addr netip.Addr) (*AddressWatch, error) {
	asker, err := openAsker(f.Clients(), addr)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	w := &AddressWatch{stop: stop}
	w.group.Go(func() error {
		defer asker.close()
		return asker.run(ctx, w.answered)
	})
	return w, nil
}

// Close ends it, and returns an error if asking for the address did not work.
func (w *AddressWatch) Close() error {
	w.stop()
	return w.group.Wait()
}

// answered takes who said that he has the address.
func (w *AddressWatch) answered(a Answer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answers = append(w.answers, a)
	if text := twoAnswer(w.answers); text != "" {
		w.faults = append(w.faults, text)
	}
}

// Answerer returns the hardware address that last answered within two seconds, or "".
func (w *AddressWatch) Answerer() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := len(w.answers); n > 0 && time.Since(w.answers[n-1].At) < 2*time.Second {
		return w.answers[n-1].MAC
	}
	return ""
}

// Faults returns each time that two were seen to have the address at once.
func (w *AddressWatch) Faults() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.faults)
}

// twoAnswer returns a sentence if the latest answer and an earlier one to the same question are of two.
func twoAnswer(answers []Answer) string {
	n := len(answers) - 1
	last := answers[n]
	if !last.Asked {
		return ""
	}
	for i := n - 1; i >= 0 && last.At.Sub(answers[i].At) < answersTogether; i-- {
		if before := answers[i]; before.Asked && before.MAC != last.MAC {
			return fmt.Sprintf("%s and %s both answered for the address, at %s and %s", before.MAC, last.MAC,
				before.At.Format(clockFormat), last.At.Format(clockFormat))
		}
	}
	return ""
}
