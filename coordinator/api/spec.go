package api

import (
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/proto"
)

// companionKinds are the kinds of units that may move along with a service.
var companionKinds = []string{".service", ".socket", ".timer", ".path"}

// checkSpec returns an error that names everything that is wrong with a spec by itself. What it refers to is checked when
// it is applied.
func checkSpec(s proto.InstanceSpec) error {
	var problems []string
	bad := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	if err := proto.ValidName("host", s.Host); err != nil {
		bad("host: %s", err)
	}
	if err := proto.ValidName("instance type", s.Type); err != nil {
		bad("type: %s", err)
	}
	if !slices.Contains([]proto.Class{proto.Critical, proto.Standard, proto.BestEffort}, s.Class) {
		bad("class: %q is none of critical, standard, besteffort", s.Class)
	}
	if !slices.Contains([]proto.Mode{"", proto.Observe, proto.Enforce}, s.Mode) {
		bad("mode: %q is neither observe nor enforce", s.Mode)
	}
	problems = append(problems, checkAddresses(s)...)
	switch {
	case s.Driver != "service":
		bad("driver: %q is not known: use service", s.Driver)
	case s.Service == nil:
		bad("service: name its unit, like {unit: redis-server.service, data: [/var/lib/redis]}")
	default:
		problems = append(problems, checkService(*s.Service)...)
	}
	problems = append(problems, checkHealth(s.Health)...)
	problems = append(problems, s.Hooks.Problems()...)
	problems = append(problems, s.Placement.Problems()...)
	problems = append(problems, s.SignalProblems()...)
	if len(problems) == 0 {
		return nil
	}
	e := &v1.Error{Code: v1.CodeInvalid, Message: "instance " + s.Name + ": " + strings.Join(problems, "; ")}
	return withDetail(e, v1.ErrorDetail{Problems: problems})
}

// checkAddresses checks the floating addresses, each of which is named once.
func checkAddresses(s proto.InstanceSpec) (problems []string) {
	bad := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	all := s.FloatingAddresses()
	if len(all) > proto.MaxAddresses {
		return []string{fmt.Sprintf("addresses: there are %d: use at most %d", len(all), proto.MaxAddresses)}
	}
	seen := map[netip.Addr]bool{}
	for i, text := range all {
		field := "addresses"
		if s.Address != "" && i == 0 {
			field = "address"
		}
		if err := checkAddress(text); err != nil {
			bad("%s: %s", field, err)
			continue
		}
		addr := netip.MustParsePrefix(text).Addr()
		if seen[addr] {
			bad("addresses: %s is named twice", addr)
		}
		seen[addr] = true
	}
	return problems
}

func checkAddress(text string) error {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return fmt.Errorf("%q is no address with its prefix length, like 10.77.0.60/24", text)
	}
	a := p.Addr()
	switch {
	case a.IsUnspecified(), a.IsLoopback(), a.IsMulticast(), a.IsLinkLocalUnicast(), a.Is4In6():
		return fmt.Errorf("%s can't move between hosts: use one of the hosts' network", a)
	case a == p.Masked().Addr() && p.Bits() < a.BitLen()-1:
		return fmt.Errorf("%s is a network, not the address of one instance", p)
	}
	return nil
}

func checkService(s proto.ServiceSpec) (problems []string) {
	bad := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	switch {
	case !unitName(s.Unit, ".service"):
		bad("service.unit: %q is not the name of a service, like redis-server.service", s.Unit)
	case strings.HasSuffix(s.Unit, "@.service"):
		bad("service.unit: %q is a template: name one of its units, like %s", s.Unit, strings.Replace(s.Unit, "@.", "@15-main.", 1))
	}
	for _, u := range s.Companions {
		if !slices.ContainsFunc(companionKinds, func(kind string) bool { return unitName(u, kind) }) {
			bad("service.companions: %q is not the name of a unit of the kinds %s", u, strings.Join(companionKinds, ", "))
		}
	}
	for field, list := range map[string][]string{"data": s.Data, "config": s.Config} {
		for _, p := range list {
			if !path.IsAbs(p) || path.Clean(p) != p || p == "/" {
				bad("service.%s: %q is not an absolute path in its shortest form", field, p)
			}
		}
	}
	for _, d := range s.Data {
		for _, other := range s.Data {
			if d != other && strings.HasPrefix(other, d+"/") {
				bad("service.data: %s lies in %s: name it once", other, d)
			}
		}
	}
	slices.Sort(problems)
	return problems
}

// unitName reports whether u can be the name of a unit of the kind.
func unitName(u, kind string) bool {
	name, ok := strings.CutSuffix(u, kind)
	return ok && name != "" && len(u) < 256 && !strings.ContainsFunc(name, func(r rune) bool {
		return r > '~' || r <= ' ' || !strings.ContainsRune(`:-_.\@`, r) && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	})
}

func checkHealth(h proto.HealthSpec) (problems []string) {
	bad := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	set := 0
	if h.TCP != 0 {
		set++
		if h.TCP < 1 || h.TCP > 65535 {
			bad("health.tcp: %d is no port", h.TCP)
		}
	}
	if h.HTTP != "" {
		set++
		port, rest, _ := strings.Cut(strings.TrimPrefix(h.HTTP, ":"), "/")
		n, err := strconv.Atoi(port)
		if !strings.HasPrefix(h.HTTP, ":") || err != nil || n < 1 || n > 65535 || strings.ContainsAny(rest, " \t\r\n") {
			bad("health.http: %q is not a port with a path, like :8080/ready", h.HTTP)
		}
	}
	if len(h.Exec) > 0 {
		set++
		if !path.IsAbs(h.Exec[0]) {
			bad("health.exec: %q is not an absolute path", h.Exec[0])
		}
	} else if h.User != "" {
		bad("health.user: it is who runs exec, and there is no exec")
	}
	if h.Within < 0 || h.Time() > proto.HealthWithinMost {
		bad("health.within: %s is not between 1s and %s", h.Time(), proto.HealthWithinMost)
	}
	if set > 1 {
		bad("health: use one of tcp, http and exec")
	}
	return problems
}
