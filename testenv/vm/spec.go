//go:build linux

package vm

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"regexp"
	"slices"
)

// Spec describes a fleet. Only Name has no default.
type Spec struct {
	// Name tells fleets that run at the same time apart: lower-case letters, digits and hyphens.
	// The network namespaces are called gp-NAME (the switch) and gp-NAME.NAMESPACE.
	Name string
	// Image is what all guests boot from.
	Image Image
	// Subnet is the fleet's IPv4 network, 10.77.0.0/24 if empty. Fleets may use the same one:
	// each has its network to itself.
	Subnet     string
	Guests     []GuestSpec
	Namespaces []NamespaceSpec
	// Keep lets guests and processes live on if this program ends without Close, and makes
	// Detach possible. Otherwise they die with it.
	Keep bool
	// Progress is told what is going on, in sentences. It is called from one goroutine at a time.
	Progress func(string)
	// Logger gets what is of interest to a developer of tests; nothing is logged if nil.
	Logger *slog.Logger
}

// GuestSpec describes one guest.
type GuestSpec struct {
	// Name is also the guest's host name; all guests and namespaces can resolve it.
	Name string
	// Addr is the address with prefix length, as 10.77.0.1/24. If empty: the first guest has host
	// number 1, and so on.
	Addr string
	// CPUs is 2 if 0, MemoryMiB 1024 if 0.
	CPUs, MemoryMiB int
	// Off leaves the guest off until Guest.Boot.
	Off bool
}

// NamespaceSpec describes a place for processes on the fleet's network.
type NamespaceSpec struct {
	Name string
	// Addr is the address with prefix length. If empty: the first namespace has host number
	// 101, and so on.
	Addr string
}

// node is a guest or namespace and its place in the network.
type node struct {
	Name  string
	Guest bool
	// Number is unique in the fleet, from 0.
	Number          int
	Addr            netip.Prefix
	CPUs, MemoryMiB int
	Off             bool
}

const (
	maxGuests     = 64
	maxNamespaces = 64
	// firstNamespace is the host number of the first namespace.
	firstNamespace = 101
)

// resolve checks the description and fills in defaults.
func (s Spec) resolve() ([]node, error) {
	if err := checkName("fleet", s.Name); err != nil {
		return nil, err
	}
	subnet, err := netip.ParsePrefix(cmp.Or(s.Subnet, "10.77.0.0/24"))
	if err != nil || !subnet.Addr().Is4() || subnet.Bits() > 24 {
		return nil, fmt.Errorf("fleet %s: subnet %q: give an IPv4 network of at least 256 addresses, as 10.77.0.0/24", s.Name, s.Subnet)
	}
	if len(s.Guests) > maxGuests || len(s.Namespaces) > maxNamespaces {
		return nil, fmt.Errorf("fleet %s: at most %d guests and %d namespaces", s.Name, maxGuests, maxNamespaces)
	}
	var nodes []node
	var faults []error
	for i, g := range s.Guests {
		addr, err := address(g.Addr, subnet, 1+i)
		faults = append(faults, checkName("guest", g.Name), err)
		n := node{
			Name: g.Name, Guest: true, Number: len(nodes), Addr: addr,
			CPUs: cmp.Or(g.CPUs, 2), MemoryMiB: cmp.Or(g.MemoryMiB, 1024), Off: g.Off,
		}
		if n.CPUs < 1 || n.CPUs > 64 || n.MemoryMiB < 128 {
			faults = append(faults, fmt.Errorf("guest %s: %d CPUs and %d MiB: give 1 to 64 and at least 128", g.Name, n.CPUs, n.MemoryMiB))
		}
		nodes = append(nodes, n)
	}
	for i, ns := range s.Namespaces {
		addr, err := address(ns.Addr, subnet, firstNamespace+i)
		faults = append(faults, checkName("namespace", ns.Name), err)
		nodes = append(nodes, node{Name: ns.Name, Number: len(nodes), Addr: addr})
	}
	for i, n := range nodes {
		for _, other := range nodes[:i] {
			if n.Name == other.Name {
				faults = append(faults, fmt.Errorf("two nodes are called %q", n.Name))
			}
			if n.Addr.Addr() == other.Addr.Addr() {
				faults = append(faults, fmt.Errorf("%s and %s have the same address %s", other.Name, n.Name, n.Addr.Addr()))
			}
		}
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("fleet %s: %w", s.Name, err)
	}
	return nodes, nil
}

func checkName(what, name string) error {
	if !regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$`).MatchString(name) {
		return fmt.Errorf("%s name %q: use up to 40 lower-case letters, digits and hyphens", what, name)
	}
	return nil
}

// address parses text or, if empty, takes the subnet's address with the given host number.
func address(text string, subnet netip.Prefix, host int) (netip.Prefix, error) {
	if text == "" {
		base := subnet.Masked().Addr().As4()
		base[3] += byte(host)
		return netip.PrefixFrom(netip.AddrFrom4(base), subnet.Bits()), nil
	}
	addr, err := netip.ParsePrefix(text)
	if err != nil || !addr.Addr().Is4() {
		return netip.Prefix{}, fmt.Errorf("address %q: give an IPv4 address with prefix length, as 10.77.0.1/24", text)
	}
	return addr, nil
}

func findNode(nodes []node, name string) (node, error) {
	i := slices.IndexFunc(nodes, func(n node) bool { return n.Name == name })
	if i < 0 {
		return node{}, fmt.Errorf("the fleet has no guest or namespace %q", name)
	}
	return nodes[i], nil
}
