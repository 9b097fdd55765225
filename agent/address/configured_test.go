package address

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestConfiguredFindsTheAddressWhereverHostsKeepIt(t *testing.T) {
	for name, c := range map[string]struct{ file, text, want string }{
		"ifupdown":         {"etc/network/interfaces", "auto eth0\niface eth0 inet static\n  address 10.77.0.60/24\n", ":3"},
		"ifupdown command": {"etc/network/interfaces.d/vip", "iface eth0 inet dhcp\n  up ip addr add 10.77.0.60/24 dev eth0\n", ":2"},
		"networkd":         {"etc/systemd/network/10-eth0.network", "[Network]\nAddress=10.77.0.60/24\n", ":2"},
		"networkd drop-in": {"etc/systemd/network/10-eth0.network.d/vip.conf", "[Address]\nAddress = 10.77.0.60/24\n", ":2"},
		"netplan":          {"etc/netplan/01.yaml", "network:\n  ethernets:\n    eth0:\n      addresses: [10.77.0.4/24, 10.77.0.60/24]\n", ":4"},
		"netplan options":  {"etc/netplan/01.yaml", "network:\n  ethernets:\n    eth0:\n      addresses:\n        - 10.77.0.60/24: {label: vip}\n", ":5"},
		"NetworkManager":   {"etc/NetworkManager/system-connections/eth0.nmconnection", "[ipv4]\naddress1=10.77.0.60/24,10.77.0.1\n", ":2"},
		"ifcfg":            {"etc/sysconfig/network-scripts/ifcfg-eth0", "DEVICE=eth0\nIPADDR=10.77.0.60\n", ":2"},
		"keepalived":       {"etc/keepalived/keepalived.conf", "virtual_ipaddress {\n 10.77.0.60/24\n}\n", ":2"},

		"comment":           {"etc/network/interfaces", "# address 10.77.0.60/24\n", ""},
		"gateway":           {"etc/network/interfaces", "  gateway 10.77.0.60\n", ""},
		"networkd DNS":      {"etc/systemd/network/a.network", "DNS=10.77.0.60\n", ""},
		"netplan resolvers": {"etc/netplan/01.yaml", "network:\n  ethernets:\n    eth0:\n      nameservers: {addresses: [10.77.0.60]}\n", ""},
		"another address":   {"etc/network/interfaces", "  address 10.77.0.6/24\n  address 110.77.0.60\n", ""},
	} {
		root := t.TempDir()
		path := filepath.Join(root, c.file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(c.text), 0o644); err != nil {
			t.Fatal(err)
		}
		got, err := Configured(root, v4)
		if err != nil || (got == "") != (c.want == "") || !strings.HasSuffix(got, c.want) {
			t.Errorf("%s: %q, %v; want …%s", name, got, err, c.want)
		}
	}
}

func TestConfiguredKnowsEverySpellingOfAnIPv6Address(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "etc/systemd/network/a.network")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("[Network]\nAddress=FD00:0:0::0001:2:60/64\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got, err := Configured(root, netip.MustParseAddr("fd00::1:2:60")); err != nil || got == "" {
		t.Errorf("%q, %v", got, err)
	}
}
