package proto

import (
	"fmt"
	"math"
	"net/netip"
	"strings"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

// Signal is a figure that the application of an instance exposes in Prometheus' text format: what its users do. The agent of the instance's
// owner scrapes it, the sum of all series that match.
type Signal struct {
	Name   string     `msgpack:"n" json:"name" yaml:"name"`          // letters, digits and -, at most 63
	URL    string     `msgpack:"u" json:"url" yaml:"url"`            // http://127.0.0.1:9121/metrics: at the host's loopback or at an address of the instance
	Metric string     `msgpack:"m" json:"metric" yaml:"metric"`      // name of the metric
	Kind   SignalKind `msgpack:"k" json:"kind" yaml:"kind"`          // counter or gauge
	Labels []Label    `msgpack:"l" json:"labels,omitempty" yaml:"-"` // that a series has to have, sorted by key
}

// SignalKind says what a signal's values are.
type SignalKind string

// The kinds of signals.
const (
	SignalCounter SignalKind = "counter" // only rises: what is kept is its rate per second
	SignalGauge   SignalKind = "gauge"   // is what it is
)

// Bounds of an instance's signals.
const (
	MaxSignals      = 4
	maxSignalLabels = 8
	maxSignalText   = 512 // bytes of a URL, a metric's name or a label
)

// MostSignal is the most that a signal may be: a whole number of a float64.
const MostSignal = 1 << 53

// Place returns where a signal is scraped: an address and port, and a path with what follows it. The error says what is wrong with the URL.
func (s Signal) Place() (at netip.AddrPort, path string, err error) {
	rest, ok := strings.CutPrefix(s.URL, "http://")
	i := strings.IndexByte(rest, '/')
	if !ok || i < 0 || len(s.URL) > maxSignalText {
		return at, "", fmt.Errorf("%q is no URL like http://127.0.0.1:9121/metrics", shortened(s.URL))
	}
	at, err = netip.ParseAddrPort(rest[:i])
	switch {
	case err != nil || at.Port() == 0:
		return at, "", fmt.Errorf("%q has to name an address, not a host, and a port: http://127.0.0.1:9121/metrics", s.URL)
	case at.Addr().Zone() != "" || at.Addr().Is4In6():
		return at, "", fmt.Errorf("%q: write the address without a zone, and an IPv4 address as one", s.URL)
	case strings.ContainsFunc(rest[i:], func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`#\"<>^{|}`+"`", r) }):
		return at, "", fmt.Errorf("%q has characters that a URL has not: write them with %%", s.URL)
	}
	return at, rest[i:], nil
}

func shortened(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}

// SignalProblems returns what is wrong with the signals of an instance, in words. An agent fetches nothing but from its own host's loopback and the
// instance's own addresses.
func (s InstanceSpec) SignalProblems() []string {
	if len(s.Signals) > MaxSignals {
		return []string{fmt.Sprintf("signals: there are %d: use at most %d", len(s.Signals), MaxSignals)}
	}
	var wrong []string
	seen := map[string]bool{}
	for _, g := range s.Signals {
		bad := func(format string, args ...any) {
			wrong = append(wrong, fmt.Sprintf("signal "+shortened(g.Name)+": "+format, args...))
		}
		if err := ValidName("signal", g.Name); err != nil {
			bad("%s", err)
		}
		if seen[g.Name] {
			bad("there are two of that name")
		}
		seen[g.Name] = true
		if at, _, err := g.Place(); err != nil {
			bad("url: %s", err)
		} else if !at.Addr().IsLoopback() && !s.owns(at.Addr()) {
			bad("url: %s is neither the host's loopback nor an address of the instance: agents fetch from nowhere else", at.Addr())
		}
		if !metricName(g.Metric, ":") {
			bad("metric: %q is no name of a metric, like http_requests_total; what its labels have to be stands in labels", shortened(g.Metric))
		}
		if g.Kind != SignalCounter && g.Kind != SignalGauge {
			bad("kind: %q is neither counter, of which the rate per second counts, nor gauge", shortened(string(g.Kind)))
		}
		if len(g.Labels) > maxSignalLabels {
			bad("labels: there are %d: use at most %d", len(g.Labels), maxSignalLabels)
			continue
		}
		for i, l := range g.Labels {
			if !metricName(l.Key, "") || len(l.Value) > maxSignalText || i > 0 && g.Labels[i-1].Key >= l.Key {
				bad("labels: %q is no label's name, its value is too long, or it is not the only one of its name, in order", shortened(l.Key))
			}
		}
	}
	return wrong
}

// owns reports whether an address is one of the instance's.
func (s InstanceSpec) owns(a netip.Addr) bool {
	for _, p := range s.Floating() {
		if p.Addr() == a {
			return true
		}
	}
	return false
}

// metricName reports whether s can be the name of a metric, or of a label, which can't have the further character.
func metricName(s, further string) bool {
	for i, r := range s {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '_' || strings.ContainsRune(further, r)
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != "" && len(s) <= maxSignalText
}

// SignalSample is what a signal was in a window: the rate per second of a counter, the value of a gauge; never negative.
type SignalSample struct {
	Name  string  `msgpack:"n" json:"name"`
	Value float64 `msgpack:"v" json:"value"`
}

// SignalBlocks is a part of a signal's history, on the blocks of the page that it is in; NaN where there is none.
type SignalBlocks struct {
	Name string    `msgpack:"n" json:"name"`
	Mean []float64 `msgpack:"m" json:"mean"`
}

// SignalState is how scraping a signal goes, as its agent sees it.
type SignalState struct {
	Name  string        `msgpack:"n" json:"name"`
	Value float64       `msgpack:"v" json:"value"`          // the last one that was read
	At    timeline.Time `msgpack:"t" json:"at,omitzero"`    // when that was; 0: never
	Fault string        `msgpack:"f" json:"fault,omitzero"` // why nothing is read now
}

// SignalForecast is what a signal of an instance is expected to be, and what it says of the demand.
type SignalForecast struct {
	Name    string         `msgpack:"n" json:"name"`
	Kind    SignalKind     `msgpack:"k" json:"kind"`
	Values  [][]float64    `msgpack:"v" json:"values"`               // by quantile and step, as those of the forecast that it is in
	Pattern *SignalPattern `msgpack:"p" json:"pattern,omitempty"`    // how it runs, as far as its history tells
	Effects []SignalEffect `msgpack:"e" json:"effects,omitempty"`    // in the order of resources; those of which it tells nothing are left out
	Until   timeline.Time  `msgpack:"u" json:"known_until,omitzero"` // end of its history
}

// SignalPattern is how a signal runs.
type SignalPattern struct {
	Pattern    string `msgpack:"p" json:"pattern"`          // as that of demand
	Confidence int    `msgpack:"c" json:"confidence_milli"` // probability that it is this one, in thousandths
}

// SignalEffect is what a signal says of the demand for a resource.
type SignalEffect struct {
	Resource  resource.Kind `msgpack:"r" json:"resource"`
	Each      float64       `msgpack:"e" json:"each"`             // amount in the resource's unit that one more of the signal goes with
	NextHour  int           `msgpack:"h" json:"next_hour_milli"`  // what the member that follows the signal counts in the median of the next hour, in thousandths
	NextHours int           `msgpack:"l" json:"next_hours_milli"` // the same of the five hours after it
}

// Words says what one more of a signal of the kind goes with: 0.83 ms of cpu each, 12 KiB of read_bytes each.
func (e SignalEffect) Words(kind SignalKind) string {
	amount, per, each := e.Each, "/s", "each"
	if kind == SignalCounter { // which is a rate: what goes with one a second is what each takes
		per = ""
	}
	var text string
	switch e.Resource {
	case resource.CPU:
		text = fmt.Sprintf("%.3gm", amount)
		if kind == SignalCounter {
			text = fmt.Sprintf("%.3g ms", amount)
		}
	case resource.Memory:
		text = scaled(amount, 1024, "B", "KiB", "MiB", "GiB")
		if kind == SignalCounter {
			each = "for one a second"
		}
	case resource.ReadBytes, resource.WriteBytes:
		text = scaled(amount, 1024, "B", "KiB", "MiB", "GiB") + per
	case resource.NetTx, resource.NetRx:
		text = scaled(amount, 1000, "bit", "kbit", "Mbit", "Gbit") + per
	default:
		text = fmt.Sprintf("%.3g", amount) + per
	}
	return fmt.Sprintf("%s of %s %s", text, e.Resource, each)
}

// scaled writes an amount in the largest unit of which it is at least one.
func scaled(v, base float64, units ...string) string {
	i := 0
	for ; i < len(units)-1 && math.Abs(v) >= base; i++ {
		v /= base
	}
	return fmt.Sprintf("%.3g %s", v, units[i])
}
