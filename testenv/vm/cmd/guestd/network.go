//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/glidepath/glidepath/testenv/vm/guestd"
)

const (
	dataName = "eth0"
	// probeWait is how long the kernel is given to find an interface.
	probeWait = 30 * time.Second
)

// configureData names the data interface eth0, gives it its address and brings it up.
func configureData(config guestd.Interface) error {
	loopback, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	if err := netlink.LinkSetUp(loopback); err != nil {
		return err
	}
	link, err := findLink(config.MAC)
	if err != nil {
		return err
	}
	if link.Attrs().Name != dataName {
		if err := netlink.LinkSetDown(link); err != nil {
			return err
		}
		if err := netlink.LinkSetName(link, dataName); err != nil {
			return fmt.Errorf("rename %s: %w", link.Attrs().Name, err)
		}
	}
	return bringUp(link, config)
}

// listenControl takes the control interface into a network namespace that nothing else in the
// guest sees: it is neither measured nor used by what is tested, and can't bridge a cut.
func listenControl(config guestd.Interface) (net.Listener, error) {
	runtime.LockOSThread()
	// While the thread is still in the guest's own namespace.
	link, err := findLink(config.MAC)
	if err != nil {
		return nil, err
	}
	outside, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	defer outside.Close()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return nil, fmt.Errorf("make a network namespace: %w", err)
	}
	namespace, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, err
	}
	defer namespace.Close()
	if err := outside.LinkSetNsFd(link, int(namespace.Fd())); err != nil {
		return nil, fmt.Errorf("move %s: %w", link.Attrs().Name, err)
	}
	inside, err := findLink(config.MAC)
	if err != nil {
		return nil, err
	}
	if err := bringUp(inside, config); err != nil {
		return nil, err
	}
	return net.Listen("tcp", fmt.Sprintf(":%d", guestd.Port))
}

func findLink(mac net.HardwareAddr) (netlink.Link, error) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(probeWait); time.Now().Before(deadline); <-tick.C {
		links, err := netlink.LinkList()
		if err != nil {
			return nil, err
		}
		for _, link := range links {
			if bytes.Equal(link.Attrs().HardwareAddr, mac) {
				return link, nil
			}
		}
	}
	return nil, fmt.Errorf("no interface has the address %s", mac)
}

func bringUp(link netlink.Link, config guestd.Interface) error {
	address := &netlink.Addr{IPNet: &net.IPNet{
		IP:   config.Addr.Addr().AsSlice(),
		Mask: net.CIDRMask(config.Addr.Bits(), config.Addr.Addr().BitLen()),
	}}
	// The address is there already after a restart of this program.
	if err := netlink.AddrAdd(link, address); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("add address %s: %w", config.Addr, err)
	}
	return netlink.LinkSetUp(link)
}
