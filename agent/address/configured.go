package address

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxConfigSize is the largest network configuration file that is read, in bytes.
const maxConfigSize = 1 << 20

// configFiles are the patterns of files by which hosts get addresses at boot, or from another manager of floating ones.
func configFiles() []string {
	return []string{
		"/etc/network/interfaces", "/etc/network/interfaces.d/*",
		"/etc/systemd/network/*.network", "/etc/systemd/network/*.network.d/*.conf",
		"/run/systemd/network/*.network", "/run/systemd/network/*.network.d/*.conf", "/usr/lib/systemd/network/*.network",
		"/etc/netplan/*.yaml", "/run/netplan/*.yaml", "/lib/netplan/*.yaml",
		"/etc/NetworkManager/system-connections/*", "/run/NetworkManager/system-connections/*",
		"/etc/sysconfig/network-scripts/ifcfg-*", "/etc/sysconfig/network/ifcfg-*",
		"/etc/keepalived/*.conf", "/etc/keepalived/conf.d/*.conf",
		"/etc/rc.local",
	}
}

// Configured returns where an address is configured persistently on the host whose root directory is given, as
// file:line, or "" if nowhere. Such an address comes up by itself after a reboot, on a host that has given it away, too.
func Configured(root string, addr netip.Addr) (string, error) {
	for _, pattern := range configFiles() {
		paths, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return "", fmt.Errorf("look for network configuration: %w", err)
		}
		for _, path := range paths {
			line, err := configuredIn(path, addr)
			if err != nil {
				return "", fmt.Errorf("look for address %s in the network configuration: %w", addr, err)
			}
			if line > 0 {
				return fmt.Sprintf("%s:%d", path, line), nil
			}
		}
	}
	return "", nil
}

// configuredIn returns the line of a file that gives the host an address, 0 if none does.
func configuredIn(path string, addr netip.Addr) (int, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
		return 0, nil // dangling links and directories configure nothing
	}
	if err != nil {
		return 0, err
	}
	if info.Size() > maxConfigSize {
		return 0, fmt.Errorf("%s has more than %d bytes", path, maxConfigSize)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	if strings.HasSuffix(path, ".yaml") {
		var doc yaml.Node
		if err := yaml.Unmarshal(text, &doc); err == nil {
			return inNetplan(&doc, "", addr), nil
		} // else read it as plain text: better one refusal too many
	}
	scan := bufio.NewScanner(strings.NewReader(string(text)))
	scan.Buffer(nil, maxConfigSize+1)
	for n := 1; scan.Scan(); n++ {
		line := strings.TrimSpace(scan.Text())
		if line != "" && !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, ";") && !namesOthers(line) && mentions(line, addr) {
			return n, nil
		}
	}
	return 0, scan.Err()
}

// namesOthers reports whether a line's first word says that the addresses on it are those of other hosts.
func namesOthers(line string) bool {
	word := strings.ToLower(strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(" \t=:", r) })[0])
	for _, other := range []string{"gateway", "dns", "nameserver", "ntp", "destination", "to", "via", "pointopoint", "broadcast", "network", "route", "domains"} {
		if strings.HasPrefix(word, other) {
			return true
		}
	}
	return false
}

// mentions reports whether a line has the address in it, with or without a prefix length.
func mentions(line string, addr netip.Addr) bool {
	words := strings.FieldsFunc(line, func(r rune) bool {
		return !strings.ContainsRune("0123456789abcdefABCDEF:./", r)
	})
	for _, w := range words {
		w, _, _ = strings.Cut(w, "/")
		if a, err := netip.ParseAddr(strings.Trim(w, ".")); err == nil && a.Unmap() == addr {
			return true
		}
	}
	return false
}

// inNetplan looks for the address in the lists named addresses, but for those of name servers.
func inNetplan(n *yaml.Node, parent string, addr netip.Addr) int {
	if n.Kind != yaml.MappingNode {
		for _, child := range n.Content {
			if line := inNetplan(child, parent, addr); line > 0 {
				return line
			}
		}
		return 0
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i].Value, n.Content[i+1]
		if key == "addresses" && parent != "nameservers" {
			if line := mentionedIn(value, addr); line > 0 {
				return line
			}
			continue
		}
		if line := inNetplan(value, key, addr); line > 0 {
			return line
		}
	}
	return 0
}

// mentionedIn looks through a list whose items are addresses, or mappings from addresses to their options.
func mentionedIn(n *yaml.Node, addr netip.Addr) int {
	if n.Kind == yaml.ScalarNode && mentions(n.Value, addr) {
		return n.Line
	}
	for _, child := range n.Content {
		if line := mentionedIn(child, addr); line > 0 {
			return line
		}
	}
	return 0
}
