package guestd

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// BootConfig is what a guest is told on its kernel command line.
type BootConfig struct {
	// Name is the guest's host name.
	Name string
	// Data is the interface that what is tested uses; Control carries this package's requests.
	Data, Control Interface
}

// Interface is one network interface of a guest.
type Interface struct {
	MAC  net.HardwareAddr
	Addr netip.Prefix
}

const (
	nameKey    = "glidepath.name="
	dataKey    = "glidepath.data="
	controlKey = "glidepath.control="
)

// CommandLine returns the kernel arguments that ParseBootConfig reads.
func (b BootConfig) CommandLine() string {
	return nameKey + b.Name + " " + dataKey + b.Data.String() + " " + controlKey + b.Control.String()
}

// String returns the address of the hardware and of the network, separated by a comma.
func (i Interface) String() string { return i.MAC.String() + "," + i.Addr.String() }

// ParseBootConfig finds the configuration on a kernel command line.
func ParseBootConfig(commandLine string) (BootConfig, error) {
	var boot BootConfig
	var failed error
	for _, word := range strings.Fields(commandLine) {
		if name, ok := strings.CutPrefix(word, nameKey); ok {
			boot.Name = name
		} else if text, ok := strings.CutPrefix(word, dataKey); ok {
			failed = errors.Join(failed, boot.Data.parse(text))
		} else if text, ok := strings.CutPrefix(word, controlKey); ok {
			failed = errors.Join(failed, boot.Control.parse(text))
		}
	}
	if failed != nil {
		return BootConfig{}, fmt.Errorf("kernel command line: %w", failed)
	}
	if boot.Name == "" || boot.Data.MAC == nil || boot.Control.MAC == nil {
		return BootConfig{}, fmt.Errorf("kernel command line lacks %s, %s or %s", nameKey, dataKey, controlKey)
	}
	return boot, nil
}

func (i *Interface) parse(text string) error {
	mac, address, _ := strings.Cut(text, ",")
	var err error
	if i.MAC, err = net.ParseMAC(mac); err != nil {
		return err
	}
	i.Addr, err = netip.ParsePrefix(address)
	return err
}
