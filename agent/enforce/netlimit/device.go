package netlimit

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
)

// The queue that holds packets until their departure time, and how much it may hold.
const (
	ourMajor   = 0x7647 // marks the root queueing discipline as ours, also for an agent that starts anew
	flowLimit  = 1000   // packets of one flow: 100 ms of small acknowledgements at 100 Mbit/s
	totalLimit = 20000
)

// ForeignQueueError is a device whose queueing discipline an operator has set: it is not touched.
type ForeignQueueError struct {
	Device string
	Kind   string
}

// Error says what that means and what to do.
func (e *ForeignQueueError) Error() string {
	return fmt.Sprintf("%s has the queueing discipline %s, which somebody set: what instances send is not paced and what they receive is held by dropping alone; "+
		"remove it (tc qdisc del dev %s root), or make it fq, to have both", e.Device, e.Kind, e.Device)
}

// Pace puts fq on a network device, so that packets leave when the programs say. Only the kernel's default discipline is
// replaced; an fq that somebody set will do as it is.
func Pace(device string) error {
	dev, root, err := rootOf(device)
	if err != nil {
		return err
	}
	if root.Type() == "fq" || root.Attrs().Handle>>16 == ourMajor {
		return nil
	}
	if root.Attrs().Handle != 0 {
		return &ForeignQueueError{Device: device, Kind: root.Type()}
	}
	if root.Type() != "mq" {
		return replaced(device, netlink.QdiscReplace(fq(dev, netlink.HANDLE_ROOT, netlink.MakeHandle(ourMajor, 0))))
	}
	// A device with several queues: mq of ours, and fq on each queue.
	mq := &netlink.GenericQdisc{QdiscType: "mq", QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: dev.Attrs().Index, Parent: netlink.HANDLE_ROOT, Handle: netlink.MakeHandle(ourMajor, 0)}}
	if err := netlink.QdiscReplace(mq); err != nil {
		return replaced(device, err)
	}
	for queue := 1; queue <= dev.Attrs().NumTxQueues; queue++ {
		if err := netlink.QdiscReplace(fq(dev, netlink.MakeHandle(ourMajor, uint16(queue)), 0)); err != nil {
			return replaced(device, errors.Join(err, netlink.QdiscDel(mq)))
		}
	}
	return nil
}

func replaced(device string, err error) error {
	if err != nil {
		return fmt.Errorf("put fq on %s: %w (is the kernel's module sch_fq installed?)", device, err)
	}
	return nil
}

func fq(dev netlink.Link, parent, handle uint32) *netlink.Fq {
	q := netlink.NewFq(netlink.QdiscAttrs{LinkIndex: dev.Attrs().Index, Parent: parent, Handle: handle})
	q.FlowPacketLimit, q.PacketLimit = flowLimit, totalLimit
	return q
}

// Unpace takes off what Pace put on; the kernel then puts its default discipline back. Anything else is left as it is.
func Unpace(device string) error {
	dev, root, err := rootOf(device)
	if err != nil {
		return err
	}
	if root.Attrs().Handle>>16 != ourMajor {
		return nil
	}
	q := &netlink.GenericQdisc{QdiscType: root.Type(), QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: dev.Attrs().Index, Parent: netlink.HANDLE_ROOT, Handle: root.Attrs().Handle}}
	if err := netlink.QdiscDel(q); err != nil {
		return fmt.Errorf("take fq off %s: %w", device, err)
	}
	return nil
}

// rootOf returns a device and its root queueing discipline. No discipline at all counts as a default one.
func rootOf(device string) (netlink.Link, netlink.Qdisc, error) {
	dev, err := netlink.LinkByName(device)
	if err != nil {
		return nil, nil, fmt.Errorf("network device %s: %w", device, err)
	}
	all, err := netlink.QdiscList(dev)
	if err != nil {
		return nil, nil, fmt.Errorf("queueing disciplines of %s: %w", device, err)
	}
	for _, q := range all {
		if q.Attrs().Parent == netlink.HANDLE_ROOT {
			return dev, q, nil
		}
	}
	return dev, &netlink.GenericQdisc{QdiscType: "none"}, nil
}
