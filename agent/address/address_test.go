package address

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// space is a network namespace without a name, and the thread that lives in it. Both are gone with the test.
type space struct {
	t    *testing.T
	work chan func() error
	done chan error
	fd   int
}

func newSpace(t *testing.T) *space {
	t.Helper()
	s := &space{t: t, work: make(chan func() error), done: make(chan error)}
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with its goroutine
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			s.fd, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		}
		s.done <- err
		for f := range s.work {
			s.done <- f()
		}
	}()
	if err := <-s.done; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		close(s.work)
		unix.Close(s.fd)
	})
	s.do(func() error { return up("lo") })
	return s
}

// try runs f inside the namespace.
func (s *space) try(f func() error) error {
	s.work <- f
	return <-s.done
}

func (s *space) do(f func() error) {
	s.t.Helper()
	if err := s.try(f); err != nil {
		s.t.Fatal(err)
	}
}

func up(name string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(link)
}

// site is two hosts and a client on one switch.
type site struct {
	hosts   [2]*space
	holders [2]*Holder
	client  *space
}

const eth = "eth0"

func newSite(t *testing.T) *site {
	t.Helper()
	if os.Getuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("needs root, to make network namespaces")
		}
		t.Skip("needs root, to make network namespaces")
	}
	bridge := newSpace(t)
	bridge.do(func() error {
		br := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}}
		return errors.Join(netlink.LinkAdd(br), up("br0"))
	})
	port := 0
	plug := func() *space {
		s := newSpace(t)
		port++
		name := fmt.Sprintf("p%d", port)
		bridge.do(func() error {
			veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: eth, PeerNamespace: netlink.NsFd(s.fd)}
			if err := netlink.LinkAdd(veth); err != nil {
				return err
			}
			br, err := netlink.LinkByName("br0")
			if err != nil {
				return err
			}
			return errors.Join(netlink.LinkSetMaster(veth, br), up(name))
		})
		s.do(func() error {
			return errors.Join(
				os.WriteFile("/proc/sys/net/ipv6/conf/"+eth+"/accept_dad", []byte("0"), 0o644), up(eth),
				plain(fmt.Sprintf("10.77.0.%d/24", port)), plain(fmt.Sprintf("fd77::%d/64", port)))
		})
		return s
	}
	x := &site{hosts: [2]*space{plug(), plug()}, client: plug()}
	for i := range x.hosts {
		x.holders[i] = New(eth, t.TempDir())
	}
	return x
}

// plain adds an address to eth0 as a host has it of its own.
func plain(s string) error { return add(eth, netip.MustParsePrefix(s), unix.RT_SCOPE_UNIVERSE) }

// whoAnswers returns the MAC that a client on the link finds behind an address, asking as a neighbour does.
func (x *site) whoAnswers(p netip.Prefix) (mac string) {
	x.client.do(func() error {
		ifi, err := net.InterfaceByName(eth)
		if err != nil {
			return err
		}
		err = probe(context.Background(), *ifi, []netip.Addr{p.Addr()})
		var taken *TakenError
		if errors.As(err, &taken) {
			mac = taken.By.String()
			return nil
		}
		return err
	})
	return mac
}

func (x *site) mac(host int) (mac string) {
	x.hosts[host].do(func() error {
		ifi, err := net.InterfaceByName(eth)
		if err == nil {
			mac = ifi.HardwareAddr.String()
		}
		return err
	})
	return mac
}

func (x *site) take(host int, all ...netip.Prefix) error {
	return x.hosts[host].try(func() error {
		return x.holders[host].Take(context.Background(), all, func() error { return nil })
	})
}

func (x *site) place(host int, p netip.Prefix) (at Place) {
	x.hosts[host].do(func() error {
		var err error
		at, err = x.holders[host].Place(p)
		return err
	})
	return at
}

var families = map[string]netip.Prefix{"IPv4": netip.MustParsePrefix("10.77.0.60/24"), "IPv6": netip.MustParsePrefix("fd77::60/64")}

func TestAddressMovesFromHostToHost(t *testing.T) {
	for family, p := range families {
		t.Run(family, func(t *testing.T) {
			x := newSite(t)
			if err := x.take(0, p); err != nil {
				t.Fatal(err)
			}
			if got := x.whoAnswers(p); got != x.mac(0) {
				t.Fatalf("answered by %q, want host 0", got)
			}
			var taken *TakenError
			if err := x.take(1, p); !errors.As(err, &taken) || taken.By.String() != x.mac(0) {
				t.Fatalf("taken from a living owner: %v", err)
			}
			if got := x.place(1, p); got != Nowhere {
				t.Fatalf("after the refusal it is %s on host 1", got)
			}
			x.hosts[0].do(func() error { return x.holders[0].Remove(p) })
			if got := x.whoAnswers(p); got != "" {
				t.Fatalf("removed, but %s answers", got)
			}
			x.hosts[1].do(func() error { return x.holders[1].Hold(p) })
			if err := x.take(1, p); err != nil {
				t.Fatal(err)
			}
			if got := x.whoAnswers(p); got != x.mac(1) || x.place(1, p) != Announced {
				t.Fatalf("answered by %q, %s on host 1", got, x.place(1, p))
			}
		})
	}
}

func TestHeldSilentlyItServesThisHostOnly(t *testing.T) {
	for family, p := range families {
		t.Run(family, func(t *testing.T) {
			x := newSite(t)
			before := settings(x)
			for range 2 { // the second time changes nothing
				x.hosts[1].do(func() error { return x.holders[1].Hold(p) })
			}
			if got := x.whoAnswers(p); got != "" || x.place(1, p) != Silent {
				t.Fatalf("held silently (%s), but %s answers", x.place(1, p), got)
			}
			x.hosts[1].do(func() error {
				l, err := net.Listen("tcp", netip.AddrPortFrom(p.Addr(), 6379).String())
				if err != nil {
					return err
				}
				defer l.Close()
				c, err := net.DialTimeout("tcp", l.Addr().String(), 2*time.Second)
				if err != nil {
					return err
				}
				return c.Close()
			})
			if err := x.take(0, p); err != nil {
				t.Fatalf("the silent holder kept the owner from it: %v", err)
			}
			// A restarted agent knows what to put back.
			x.holders[1] = New(eth, strings.TrimSuffix(x.holders[1].quiet.path, "/quiet-eth0.json"))
			x.hosts[1].do(func() error { return x.holders[1].Remove(p) })
			if got := settings(x); got != before || x.place(1, p) != Nowhere {
				t.Errorf("afterwards %q, %s; before %q", got, x.place(1, p), before)
			}
		})
	}
}

func settings(x *site) (s string) {
	x.hosts[1].do(func() error {
		for _, q := range quietSettings {
			v, err := readSysctl(eth, q.name)
			if err != nil {
				return err
			}
			s += q.name + "=" + v + " "
		}
		return nil
	})
	return s
}

// TestNeighboursLearnTheNewHost has a client with the old host in its cache reach the new one at once.
func TestNeighboursLearnTheNewHost(t *testing.T) {
	for family, p := range families {
		t.Run(family, func(t *testing.T) {
			x := newSite(t)
			reach := func(host int) error {
				var l net.Listener
				x.hosts[host].do(func() (err error) {
					l, err = net.Listen("tcp", netip.AddrPortFrom(p.Addr(), 6379).String())
					return err
				})
				defer l.Close()
				return x.client.try(func() error {
					c, err := net.DialTimeout("tcp", l.Addr().String(), 500*time.Millisecond)
					if err != nil {
						return err
					}
					return c.Close()
				})
			}
			if err := x.take(0, p); err != nil {
				t.Fatal(err)
			}
			if err := reach(0); err != nil {
				t.Fatal(err)
			}
			x.hosts[0].do(func() error { return x.holders[0].Remove(p) })
			if err := x.take(1, p); err != nil {
				t.Fatal(err)
			}
			if err := reach(1); err != nil {
				t.Fatalf("after the move: %v", err)
			}
		})
	}
}

func TestRemovingLeavesTheHostsOwnAddresses(t *testing.T) {
	x := newSite(t)
	p := families["IPv4"]
	x.hosts[0].do(func() error {
		if err := writeSysctl(eth, "promote_secondaries", "0"); err != nil {
			return err
		}
		link, err := netlink.LinkByName(eth)
		if err != nil {
			return err
		}
		own := &netlink.Addr{IPNet: ipNet(netip.MustParsePrefix("10.77.0.1/24"))}
		// The floating address comes first, so that it is the primary one of the subnet.
		return errors.Join(netlink.AddrDel(link, own), plain(p.String()), plain("10.77.0.1/24"), x.holders[0].Remove(p))
	})
	if got := x.place(0, netip.MustParsePrefix("10.77.0.1/24")); got != Announced {
		t.Errorf("the host's own address went with the floating one: it is %s", got)
	}
	if got := x.place(0, p); got != Nowhere {
		t.Errorf("the floating address is %s", got)
	}
}

func TestNothingIsAddedUnlessTheDecisionIsDurable(t *testing.T) {
	x := newSite(t)
	p := families["IPv4"]
	no := errors.New("disk full")
	err := x.hosts[0].try(func() error {
		return x.holders[0].Take(context.Background(), []netip.Prefix{p}, func() error { return no })
	})
	if !errors.Is(err, no) || x.place(0, p) != Nowhere {
		t.Errorf("%v, and it is %s", err, x.place(0, p))
	}
}

func TestAddressOnAnotherInterfaceIsNamed(t *testing.T) {
	x := newSite(t)
	p := families["IPv4"]
	x.hosts[0].do(func() error {
		return errors.Join(netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "other0"}}), add("other0", p, unix.RT_SCOPE_UNIVERSE))
	})
	if err := x.take(0, p); err == nil || !strings.Contains(err.Error(), "other0") {
		t.Errorf("got %v", err)
	}
}

// several are addresses of one instance, of both families.
var several = []netip.Prefix{netip.MustParsePrefix("10.77.0.60/24"), netip.MustParsePrefix("fd77::60/64"), netip.MustParsePrefix("10.77.0.61/24")}

func (x *site) expect(host int, want ...Place) {
	x.hosts[host].t.Helper()
	for i, p := range several {
		if got := x.place(host, p); got != want[i] {
			x.hosts[host].t.Errorf("%s is %s on host %d, want %s", p, got, host, want[i])
		}
	}
}

func TestSeveralAddressesMoveTogether(t *testing.T) {
	x := newSite(t)
	before := settings(x)
	if err := x.take(0, several...); err != nil {
		t.Fatal(err)
	}
	x.expect(0, Announced, Announced, Announced)
	x.hosts[0].do(func() error {
		for _, p := range several {
			if err := x.holders[0].Remove(p); err != nil {
				return err
			}
		}
		return nil
	})
	x.hosts[1].do(func() error {
		for _, p := range several {
			if err := x.holders[1].Hold(p); err != nil {
				return err
			}
		}
		return x.holders[1].Probe(context.Background(), several...)
	})
	x.expect(1, Silent, Silent, Silent)
	for _, p := range several {
		if got := x.whoAnswers(p); got != "" {
			t.Errorf("%s is held silently, but %s answers", p, got)
		}
	}
	if err := x.take(1, several...); err != nil {
		t.Fatal(err)
	}
	x.expect(1, Announced, Announced, Announced)
	for _, p := range several {
		if got := x.whoAnswers(p); got != x.mac(1) {
			t.Errorf("%s is answered by %q, want host 1", p, got)
		}
	}
	if got := settings(x); got != before {
		t.Errorf("afterwards %q, before %q", got, before)
	}
}

func TestNoneOfSeveralIsTakenWhereSomebodyAnswersForOne(t *testing.T) {
	for i, theirs := range several {
		t.Run(theirs.Addr().String(), func(t *testing.T) {
			x := newSite(t)
			if err := x.take(0, theirs); err != nil {
				t.Fatal(err)
			}
			decided := false
			err := x.hosts[1].try(func() error {
				return x.holders[1].Take(context.Background(), several, func() error { decided = true; return nil })
			})
			var taken *TakenError
			if !errors.As(err, &taken) || taken.Addr != theirs.Addr() || decided {
				t.Errorf("number %d is somebody's: %v, decided %v", i, err, decided)
			}
			x.expect(1, Nowhere, Nowhere, Nowhere)
		})
	}
}

// A crash between two of the addresses leaves one on the interface, one on both, one on the loopback.
func TestAHalfTakenSetIsTakenToItsEnd(t *testing.T) {
	x := newSite(t)
	before := settings(x)
	x.hosts[1].do(func() error {
		for _, p := range several {
			if err := x.holders[1].Hold(p); err != nil {
				return err
			}
		}
		return errors.Join(add(eth, several[0], unix.RT_SCOPE_UNIVERSE), add(eth, several[1], unix.RT_SCOPE_UNIVERSE), x.loopbackOff(several[0]))
	})
	x.holders[1] = New(eth, strings.TrimSuffix(x.holders[1].quiet.path, "/quiet-eth0.json"))
	for range 2 { // the second time changes nothing
		if err := x.take(1, several...); err != nil {
			t.Fatal(err)
		}
		x.expect(1, Announced, Announced, Announced)
		if got := settings(x); got != before {
			t.Errorf("afterwards %q, before %q", got, before)
		}
	}
	x.hosts[1].do(func() error {
		lo, err := netlink.LinkByName(loopback)
		if err != nil {
			return err
		}
		left, err := netlink.AddrList(lo, netlink.FAMILY_ALL)
		for _, a := range left {
			if !a.IP.IsLoopback() {
				t.Errorf("%s is still on the loopback", a.IPNet)
			}
		}
		return err
	})
}

func (x *site) loopbackOff(p netip.Prefix) error {
	lo, err := netlink.LinkByName(loopback)
	if err != nil {
		return err
	}
	return netlink.AddrDel(lo, &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(p.Addr(), p.Addr().BitLen()))})
}

func TestTemporaryTellsALeaseFromAnAddressThatStays(t *testing.T) {
	x := newSite(t)
	p := families["IPv4"]
	x.hosts[0].do(func() error {
		link, err := netlink.LinkByName(eth)
		if err != nil {
			return err
		}
		if err := netlink.AddrAdd(link, &netlink.Addr{IPNet: ipNet(p), ValidLft: 600, PreferedLft: 600}); err != nil {
			return err
		}
		if leased, err := x.holders[0].Temporary(p); err != nil || !leased {
			return fmt.Errorf("a lease: %v, %w", leased, err)
		}
		if leased, err := x.holders[0].Temporary(netip.MustParsePrefix("10.77.0.1/24")); err != nil || leased {
			return fmt.Errorf("the host's own: %v, %w", leased, err)
		}
		return nil
	})
}
