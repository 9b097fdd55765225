// Package address holds floating addresses at run time: it probes, adds, announces and removes them, and keeps one silent while its instance is starting.
//
// An address is held on the interface, where neighbours reach it, or silently on the loopback, where only this host does. Nothing is written to
// the host's network configuration: after a reboot the address is gone until the agent, which knows who owns it, puts it back.
package address

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const loopback = "lo"

// Place says where on this host an address is.
type Place int

// The places of an address.
const (
	Nowhere   Place = iota
	Silent          // on the loopback: local processes use it, neighbours get no answer
	Announced       // on the interface
)

func (p Place) String() string { return [...]string{"nowhere", "silent", "announced"}[p] }

// Holder holds the floating addresses of one interface. Its methods may be called concurrently, one works at a time.
// All of them can be called again after a failure, and when what they bring about is already so.
type Holder struct {
	iface string
	quiet *quiet

	mu    sync.Mutex
	asked map[netip.Addr]time.Time // when nobody answered a probe, the last time
}

// probeKeeps is for how long a probe that nobody answered spares another one for an address that is held silently since.
const probeKeeps = 10 * time.Second

// New returns the holder of the addresses on an interface. What it has to remember until the next reboot it keeps in runDir, which must exist.
func New(iface, runDir string) *Holder {
	return &Holder{iface: iface, quiet: newQuiet(iface, runDir), asked: map[netip.Addr]time.Time{}}
}

// Place returns where on this host an address is. An interface other than the holder's and the loopback is an error.
func (h *Holder) Place(p netip.Prefix) (Place, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	at, err := h.find(p.Addr())
	if err != nil {
		return Nowhere, err
	}
	return at.place(), nil
}

// Probe asks the link whether another host has any of the addresses. An answer is a *TakenError. It takes 200 ms when there is none. An address
// that this host itself announces is not asked for.
func (h *Holder) Probe(ctx context.Context, all ...netip.Prefix) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var questions []netip.Addr
	for _, p := range all {
		at, err := h.find(p.Addr())
		if err != nil {
			return err
		}
		if at.place() != Announced {
			questions = append(questions, p.Addr())
		}
	}
	return h.ask(ctx, questions)
}

// ask probes, and notes when nobody answered.
func (h *Holder) ask(ctx context.Context, addrs []netip.Addr) error {
	if len(addrs) == 0 {
		return nil
	}
	link, err := h.link()
	if err != nil {
		return err
	}
	for _, addr := range addrs {
		delete(h.asked, addr)
	}
	if err := probe(ctx, link, addrs); err != nil {
		return err
	}
	for _, addr := range addrs {
		h.asked[addr] = time.Now()
	}
	return nil
}

// Hold puts the address on the loopback, silently: a service that is bound to it can start, and answers local processes only.
func (h *Holder) Hold(p netip.Prefix) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	at, err := h.find(p.Addr())
	if err != nil {
		return err
	}
	if at.place() == Announced {
		return fmt.Errorf("hold %s silently: it is on %s already", p, h.iface)
	}
	// The link falls silent before the address is there.
	if err := h.quiet.add(p.Addr()); err != nil {
		return err
	}
	if at.place() == Silent {
		return nil
	}
	host := netip.PrefixFrom(p.Addr(), p.Addr().BitLen())
	if err := add(loopback, host, unix.RT_SCOPE_HOST); err != nil {
		return errors.Join(err, h.quiet.remove(p.Addr()))
	}
	return nil
}

// Take probes for the addresses, unless one is held silently and Probe has just done so, and, when nobody answers for any of them, calls decide, which
// makes the decision durable; only then it puts them on the interface and announces them, several times. An answer to a probe is a *TakenError; an error of
// decide is returned as it is: in both cases nothing has changed. An address that is on the interface already is announced again. Where there is none to take
// it only calls decide.
func (h *Holder) Take(ctx context.Context, all []netip.Prefix, decide func() error) error {
	if len(all) == 0 {
		return decide()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	places := make([]found, len(all))
	var questions, addrs []netip.Addr
	for i, p := range all {
		var err error
		if places[i], err = h.find(p.Addr()); err != nil {
			return err
		}
		addrs = append(addrs, p.Addr())
		asked := places[i].place() == Silent && time.Since(h.asked[p.Addr()]) < probeKeeps
		if places[i].place() != Announced && !asked {
			questions = append(questions, p.Addr())
		}
	}
	link, err := h.link()
	if err != nil {
		return err
	}
	if err := h.ask(ctx, questions); err != nil {
		return err
	}
	if err := decide(); err != nil {
		return err
	}
	for i, p := range all {
		if err := h.announced(p, places[i]); err != nil {
			return err
		}
	}
	errs := []error{announce(ctx, link, addrs)}
	for _, addr := range addrs {
		errs = append(errs, h.quiet.remove(addr))
	}
	return errors.Join(errs...)
}

// announced puts an address on the interface.
func (h *Holder) announced(p netip.Prefix, at found) error {
	if at.place() != Announced {
		if err := add(h.iface, p, unix.RT_SCOPE_UNIVERSE); err != nil {
			return err
		}
	}
	// Only now off the loopback: without a gap in which the address is nowhere, connections to it stay.
	if at.silent != nil {
		return remove(loopback, at.silent)
	}
	return nil
}

// Remove takes the address off the interface and the loopback, and makes sure that it is gone.
func (h *Holder) Remove(p netip.Prefix) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	at, err := h.find(p.Addr())
	if err != nil {
		return err
	}
	if at.announced != nil {
		if err := h.removeAlone(at.announced); err != nil {
			return err
		}
	}
	if at.silent != nil {
		if err := remove(loopback, at.silent); err != nil {
			return err
		}
	}
	if at, err = h.find(p.Addr()); err != nil {
		return err
	}
	if at.place() != Nowhere {
		return fmt.Errorf("remove address %s: it is back on this host, %s: something else puts it there; find it (ip monitor address) and stop it", p, at.place())
	}
	return h.quiet.remove(p.Addr())
}

// Temporary reports whether the kernel holds the address with a lifetime, as a DHCP client or router advertisements put it there.
func (h *Holder) Temporary(p netip.Prefix) (bool, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	at, err := h.find(p.Addr())
	if err != nil || at.announced == nil {
		return false, err
	}
	return at.announced.Flags&unix.IFA_F_PERMANENT == 0, nil
}

// found is where an address was found.
type found struct{ announced, silent *netlink.Addr }

func (f found) place() Place {
	switch {
	case f.announced != nil:
		return Announced
	case f.silent != nil:
		return Silent
	}
	return Nowhere
}

// find looks for an address on all interfaces of the host.
func (h *Holder) find(addr netip.Addr) (found, error) {
	family := netlink.FAMILY_V4
	if addr.Is6() {
		family = netlink.FAMILY_V6
	}
	all, err := netlink.AddrList(nil, family)
	if err != nil {
		return found{}, fmt.Errorf("list addresses: %w", err)
	}
	var at found
	for _, a := range all {
		if got, ok := netip.AddrFromSlice(a.IP); !ok || got.Unmap() != addr {
			continue
		}
		link, err := netlink.LinkByIndex(a.LinkIndex)
		if err != nil {
			return found{}, fmt.Errorf("find address %s: %w", addr, err)
		}
		switch link.Attrs().Name {
		case h.iface:
			at.announced = &a
		case loopback:
			at.silent = &a
		default:
			return found{}, fmt.Errorf("address %s is on interface %s of this host, not on %s: take it off there (ip addr del %s dev %s)", addr, link.Attrs().Name, h.iface, a.IPNet, link.Attrs().Name)
		}
	}
	return at, nil
}

func (h *Holder) link() (net.Interface, error) {
	link, err := netlink.LinkByName(h.iface)
	if err != nil {
		return net.Interface{}, fmt.Errorf("interface %s for floating addresses: %w: name the right one in the agent's configuration", h.iface, err)
	}
	a := link.Attrs()
	if a.Flags&net.FlagUp == 0 {
		return net.Interface{}, fmt.Errorf("interface %s for floating addresses is down: ip link set %s up", h.iface, h.iface)
	}
	return net.Interface{Index: a.Index, Name: a.Name, HardwareAddr: a.HardwareAddr}, nil
}

func add(iface string, p netip.Prefix, scope int) error {
	link, err := netlink.LinkByName(iface)
	if err != nil {
		return fmt.Errorf("add address %s to %s: %w", p, iface, err)
	}
	a := &netlink.Addr{IPNet: ipNet(p), Scope: scope}
	if p.Addr().Is6() {
		a.Flags = unix.IFA_F_NODAD // probed by us, and faster
	} else if label := iface + ":gp"; len(label) < unix.IFNAMSIZ {
		a.Label = label // for people: whose address it is
	}
	if err := netlink.AddrAdd(link, a); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("add address %s to %s: %w", p, iface, err)
	}
	return nil
}

func remove(iface string, a *netlink.Addr) error {
	link, err := netlink.LinkByName(iface)
	if err != nil {
		return fmt.Errorf("remove address %s from %s: %w", a.IPNet, iface, err)
	}
	if err := netlink.AddrDel(link, a); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
		return fmt.Errorf("remove address %s from %s: %w", a.IPNet, iface, err)
	}
	return nil
}

// removeAlone removes an address from the interface and no other with it: the kernel drops all secondary addresses of a
// subnet with the primary one, the host's own among them, unless it is told to promote one.
func (h *Holder) removeAlone(a *netlink.Addr) error {
	if a.IP.To4() == nil || a.Flags&unix.IFA_F_SECONDARY != 0 {
		return remove(h.iface, a)
	}
	was, err := readSysctl(h.iface, "promote_secondaries")
	if err != nil {
		return err
	}
	if was != "0" {
		return remove(h.iface, a)
	}
	if err := writeSysctl(h.iface, "promote_secondaries", "1"); err != nil {
		return err
	}
	return errors.Join(remove(h.iface, a), writeSysctl(h.iface, "promote_secondaries", was))
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
