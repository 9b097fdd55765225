//go:build linux

package vm

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/glidepath/glidepath/testenv/vm/guestd"
)

// network is the fleet's Ethernet.
//
// All of it is in one namespace, the switch, around the bridge br0. A guest's tap is in a small
// bridge of its own, joined to br0 by a veth pair, so that both directions leave through a
// device on which they can be slowed, and the guest never sees its cable unplugged. A namespace
// is joined to br0 by a veth pair directly. Beside that, each guest has a tap of its own for the
// control channel, which is joined to nothing.
type network struct {
	fleet string
	nodes []node
}

// Names of devices. For node 3: dn3 is its port on the bridge br0.
func (n node) port() string    { return fmt.Sprintf("dn%d", n.Number) }
func (n node) uplink() string  { return fmt.Sprintf("up%d", n.Number) }
func (n node) tap() string     { return fmt.Sprintf("tap%d", n.Number) }
func (n node) edge() string    { return fmt.Sprintf("sw%d", n.Number) }
func (n node) control() string { return fmt.Sprintf("ctl%d", n.Number) }

func (n node) dataMAC() net.HardwareAddr {
	return net.HardwareAddr{0x52, 0x54, 0x00, 0x77, 0x00, byte(n.Number + 1)}
}

func (n node) controlMAC() net.HardwareAddr {
	return net.HardwareAddr{0x52, 0x54, 0x00, 0x78, 0x00, byte(n.Number + 1)}
}

// controlAddrs are the two ends of the guest's control link, which is invisible to everything
// else, in the guest and here.
func (n node) controlAddrs() (here, guest netip.Prefix) {
	base := byte(n.Number%64) * 4
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 78, 0, base + 1}), 30),
		netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 78, 0, base + 2}), 30)
}

func (n node) bootConfig() guestd.BootConfig {
	_, guest := n.controlAddrs()
	return guestd.BootConfig{
		Name:    n.Name,
		Data:    guestd.Interface{MAC: n.dataMAC(), Addr: n.Addr},
		Control: guestd.Interface{MAC: n.controlMAC(), Addr: guest},
	}
}

// switchNamespace is the namespace of the bridge and of the guests.
func (w network) switchNamespace() string { return "gp-" + w.fleet }

// namespace is that of the processes of a node.
func (w network) namespace(n node) string { return "gp-" + w.fleet + "." + n.Name }

// namespaces are all that the fleet has.
func (w network) namespaces() []string {
	names := []string{w.switchNamespace()}
	for _, n := range w.nodes {
		if !n.Guest {
			names = append(names, w.namespace(n))
		}
	}
	return names
}

// build makes the namespaces and all that is in them.
func (w network) build(ctx context.Context) error {
	for _, name := range w.namespaces() {
		if err := runTool(ctx, nil, "ip", "netns", "add", name); err != nil {
			return fmt.Errorf("make network namespace %s: %w", name, err)
		}
	}
	// Nothing is routed between the control links, and the bridge's own ports stay silent.
	err := inNamespace(w.switchNamespace(), func() error {
		for name, value := range map[string]string{"ipv4/ip_forward": "0", "ipv6/conf/default/disable_ipv6": "1"} {
			err := os.WriteFile(filepath.Join("/proc/sys/net", name), []byte(value), 0o644)
			if err != nil && !os.IsNotExist(err) { // a kernel may lack IPv6
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := w.ip(ctx, w.switchNamespace(), w.switchCommands()); err != nil {
		return err
	}
	for _, n := range w.nodes {
		if n.Guest {
			continue
		}
		commands := fmt.Sprintf("link set lo up\naddr add %s dev eth0\nlink set eth0 up\n", n.Addr)
		if err := w.ip(ctx, w.namespace(n), commands); err != nil {
			return err
		}
	}
	return w.nft(ctx, "table bridge fleet {\n"+
		"set cut { type ifname . ifname; }\n"+
		"chain forward { type filter hook forward priority 0; policy accept; iifname . oifname @cut drop; }\n}\n")
}

// switchCommands returns what iproute2 is told in the switch's namespace.
func (w network) switchCommands() string {
	var b strings.Builder
	bridge := func(name string) {
		fmt.Fprintf(&b, "link add %s type bridge stp_state 0 forward_delay 0 mcast_snooping 0\nlink set %s up\n", name, name)
	}
	join := func(device, bridge string) {
		fmt.Fprintf(&b, "link set %s master %s\nlink set %s up\n", device, bridge, device)
	}
	b.WriteString("link set lo up\n")
	bridge("br0")
	for _, n := range w.nodes {
		if !n.Guest {
			fmt.Fprintf(&b, "link add %s type veth peer name eth0 netns %s\n", n.port(), w.namespace(n))
			join(n.port(), "br0")
			continue
		}
		bridge(n.edge())
		fmt.Fprintf(&b, "tuntap add dev %s mode tap\n", n.tap())
		join(n.tap(), n.edge())
		fmt.Fprintf(&b, "link add %s type veth peer name %s\n", n.port(), n.uplink())
		join(n.uplink(), n.edge())
		join(n.port(), "br0")

		here, guest := n.controlAddrs()
		fmt.Fprintf(&b, "tuntap add dev %s mode tap\n", n.control())
		fmt.Fprintf(&b, "addr add %s dev %s\nlink set %s up\n", here, n.control(), n.control())
		// Known beforehand, so that a guest that does not answer yet costs no failed lookup.
		fmt.Fprintf(&b, "neigh add %s lladdr %s dev %s nud permanent\n", guest.Addr(), n.controlMAC(), n.control())
	}
	return b.String()
}

// cut stops all frames from and to a node.
func (w network) cut(ctx context.Context, n node) error {
	return w.ip(ctx, w.switchNamespace(), "link set "+n.port()+" down\n")
}

func (w network) heal(ctx context.Context, n node) error {
	return w.ip(ctx, w.switchNamespace(), "link set "+n.port()+" up\n")
}

// cutPair stops all frames between two nodes, broadcasts included.
func (w network) cutPair(ctx context.Context, a, b node) error {
	return w.nft(ctx, "add element bridge fleet cut "+pairElements(a, b))
}

func (w network) healPair(ctx context.Context, a, b node) error {
	// Deleting what is not there is refused: add it first.
	elements := pairElements(a, b)
	return w.nft(ctx, "add element bridge fleet cut "+elements+"\ndelete element bridge fleet cut "+elements)
}

func pairElements(a, b node) string {
	return fmt.Sprintf("{ %q . %q, %q . %q }\n", a.port(), b.port(), b.port(), a.port())
}

// slow limits both directions of a node's link to so many bits per second; 0 lifts the limit.
func (w network) slow(ctx context.Context, n node, bitsPerSecond int64) error {
	discipline := []string{"pfifo"}
	if bitsPerSecond > 0 {
		discipline = []string{"tbf", "rate", fmt.Sprintf("%dbit", bitsPerSecond), "burst", "64kb", "latency", "100ms"}
	}
	towards, from := [2]string{w.switchNamespace(), n.port()}, [2]string{w.namespace(n), "eth0"}
	if n.Guest {
		towards[1], from = n.tap(), [2]string{w.switchNamespace(), n.uplink()}
	}
	for _, device := range [][2]string{towards, from} {
		args := append([]string{"-n", device[0], "qdisc", "replace", "dev", device[1], "root"}, discipline...)
		if err := runTool(ctx, nil, "tc", args...); err != nil {
			return fmt.Errorf("slow %s: %w", n.Name, err)
		}
	}
	return nil
}

// ip runs iproute2's commands, one per line, in a namespace.
func (w network) ip(ctx context.Context, namespace, commands string) error {
	return feedTool(ctx, commands, "ip", "-n", namespace, "-batch", "-")
}

func (w network) nft(ctx context.Context, commands string) error {
	return feedTool(ctx, commands, "nsenter", "--net="+filepath.Join(netnsDir, w.switchNamespace()), "nft", "-f", "-")
}

func feedTool(ctx context.Context, input, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = strings.NewReader(input)
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", cmd, err, lastLines(string(output), 15))
	}
	return nil
}
