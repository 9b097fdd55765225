package agent

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"

	"github.com/glidepath/glidepath/agent/collect"
	"github.com/glidepath/glidepath/agent/fence"
	"github.com/glidepath/glidepath/internal/durable"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// host knows what this host is and has. Its methods may be called concurrently.
type host struct {
	facts   collect.FactsConfig
	config  Config
	missing []proto.Missing       // what limits lack, as found at the start
	records func() []fence.Record // whose addresses are not the host's own
	paused  func() timeline.Time  // since when limits are lifted by a word said here; 0: they are not
	cpu     cpuScore
	last    atomic.Pointer[proto.HostFacts]
}

// newHost finds the host's facts out for the first time.
func newHost(ctx context.Context, cfg Config, name, version, cgroups string, records func() []fence.Record, paused func() timeline.Time) (*host, error) {
	h := &host{config: cfg, records: records, paused: paused, cpu: cpuScore{path: cfg.path(scoreFile), files: durable.OS{}}, facts: collect.FactsConfig{
		Name: name, AgentVersion: version, Cgroups: cgroups, DataPath: cfg.DataDir,
		Interface: cfg.Interface, Segment: cfg.Segment, Capacity: cfg.Capacity.Vector(), Reserve: cfg.Reserve.Vector(),
	}}
	_, err := h.look(ctx)
	return h, err
}

// look finds the facts out as they are now.
func (h *host) look(ctx context.Context) (proto.HostFacts, error) {
	f, err := collect.Facts(ctx, h.facts)
	if err != nil {
		return f, err
	}
	for _, m := range h.missing {
		if !slices.ContainsFunc(f.Missing, func(known proto.Missing) bool { return known.What == m.What }) {
			f.Missing = append(f.Missing, m)
		}
	}
	if f.SyncAddr, err = h.syncAddr(f.Interface); err != nil {
		return f, err
	}
	f.PausedAt, f.CPUScore = h.paused(), h.cpu.known.Load()
	f.Labels = labels(h.config.Labels)
	h.last.Store(&f)
	return f, nil
}

// labels returns labels sorted by key.
func labels(of map[string]string) []proto.Label {
	var out []proto.Label
	for _, key := range slices.Sorted(maps.Keys(of)) {
		out = append(out, proto.Label{Key: key, Value: of[key]})
	}
	return out
}

// limits returns what the host has, and what of it may be promised.
func (h *host) limits() (capacity, allocatable resource.Vector) {
	f := h.last.Load()
	return f.Capacity, f.Allocatable
}

// syncAddr returns where other agents reach this one: as configured, or at the interface's own address.
func (h *host) syncAddr(iface string) (string, error) {
	if h.config.Advertise != "" {
		return h.config.Advertise, nil
	}
	at, port, err := net.SplitHostPort(h.config.Listen)
	if err != nil {
		return "", fmt.Errorf("listen: %w", err)
	}
	if ip, err := netip.ParseAddr(at); err == nil && !ip.IsUnspecified() {
		return h.config.Listen, nil
	}
	nic, err := net.InterfaceByName(iface)
	if err != nil {
		return "", fmt.Errorf("interface %s: %w", iface, err)
	}
	addrs, err := nic.Addrs()
	if err != nil {
		return "", fmt.Errorf("addresses of interface %s: %w", iface, err)
	}
	own := ownAddress(addrs, h.records())
	if !own.IsValid() {
		return "", fmt.Errorf("interface %s has no address of the host's own: say in the configuration where other agents reach this one: advertise: HOST:PORT", iface)
	}
	return net.JoinHostPort(own.String(), port), nil
}

// ownAddress returns the first address that is no instance's, IPv4 before IPv6.
func ownAddress(addrs []net.Addr, records []fence.Record) netip.Addr {
	var own netip.Addr
	for _, a := range addrs {
		p, err := netip.ParsePrefix(a.String())
		if err != nil || !p.Addr().IsGlobalUnicast() {
			continue
		}
		floating := slices.ContainsFunc(records, func(r fence.Record) bool {
			return slices.ContainsFunc(r.Spec.Floating(), func(f netip.Prefix) bool { return f.Addr() == p.Addr() })
		})
		if !floating && (!own.IsValid() || own.Is6() && p.Addr().Is4()) {
			own = p.Addr()
		}
	}
	return own
}
