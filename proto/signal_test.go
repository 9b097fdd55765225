package proto

import (
	"strings"
	"testing"

	"github.com/glidepath/glidepath/internal/resource"
)

func requests(change func(s *Signal)) Signal {
	s := Signal{
		Name: "requests", URL: "http://127.0.0.1:9121/metrics", Metric: "http_requests_total", Kind: SignalCounter,
		Labels: []Label{{"code", "200"}, {"method", "GET"}},
	}
	change(&s)
	return s
}

func TestASignalIsFetchedFromLoopbackOrAnAddressOfItsInstanceAlone(t *testing.T) {
	for url, want := range map[string]string{
		"http://127.0.0.1:9121/metrics":                     "",
		"http://[::1]:9121/metrics?format=text":             "",
		"http://10.77.0.60:8080/metrics":                    "",
		"http://[fd00::60]:8080/":                           "",
		"http://10.77.0.61:8080/metrics":                    "neither the host's loopback nor an address of the instance",
		"http://169.254.169.254:80/latest":                  "neither the host's loopback",
		"http://[fd00::60%25eth0]:8080/metrics":             "without a zone",
		"http://[::ffff:127.0.0.1]:8080/metrics":            "IPv4 address as one",
		"http://localhost:9121/metrics":                     "has to name an address",
		"http://127.0.0.1/metrics":                          "and a port",
		"http://127.0.0.1:0/metrics":                        "and a port",
		"http://127.0.0.1:9121":                             "is no URL like",
		"https://127.0.0.1:9121/metrics":                    "is no URL like",
		"file:///etc/shadow":                                "is no URL like",
		"http://a@127.0.0.1:9121/metrics":                   "has to name an address",
		"http://127.0.0.1:9121/metrics#x":                   "characters that a URL has not",
		"http://127.0.0.1:9121/a b":                         "characters that a URL has not",
		"http://127.0.0.1:9121/a\r\nHost: x":                "characters that a URL has not",
		"http://127.0.0.1:9121/é":                           "characters that a URL has not",
		"http://127.0.0.1:9121/" + strings.Repeat("x", 512): "is no URL like",
	} {
		spec := InstanceSpec{Addresses: []string{"10.77.0.60/24", "fd00::60/64"}, Signals: []Signal{requests(func(s *Signal) { s.URL = url })}}
		problems := strings.Join(spec.SignalProblems(), "; ")
		if want == "" && problems != "" || !strings.Contains(problems, want) {
			t.Errorf("%q: %q, want %q", url, problems, want)
		}
	}
}

func TestWhatIsWrongWithASignalIsSaid(t *testing.T) {
	for want, change := range map[string]func(s *Signal){
		"signal":                          func(s *Signal) { s.Name = "Requests!" },
		`metric: "a{b=\"c\"}" is no name`: func(s *Signal) { s.Metric = `a{b="c"}` },
		`metric: "" is no name`:           func(s *Signal) { s.Metric = "" },
		`metric: "9a" is no name`:         func(s *Signal) { s.Metric = "9a" },
		`kind: "histogram" is neither`:    func(s *Signal) { s.Kind = "histogram" },
		"labels: there are 9":             func(s *Signal) { s.Labels = make([]Label, 9) },
		`labels: "a:b" is no label`:       func(s *Signal) { s.Labels = []Label{{"a:b", ""}} },
		"not the only one of its name":    func(s *Signal) { s.Labels = []Label{{"a", "1"}, {"a", "2"}} },
		"its value is too long":           func(s *Signal) { s.Labels = []Label{{"a", strings.Repeat("x", 513)}} },
	} {
		problems := strings.Join(InstanceSpec{Signals: []Signal{requests(change)}}.SignalProblems(), "; ")
		if !strings.Contains(problems, want) {
			t.Errorf("%q does not say %q", problems, want)
		}
	}
	twice := InstanceSpec{Signals: []Signal{requests(func(*Signal) {}), requests(func(*Signal) {})}}
	if problems := strings.Join(twice.SignalProblems(), "; "); problems != "signal requests: there are two of that name" {
		t.Error(problems)
	}
	if problems := strings.Join(InstanceSpec{Signals: make([]Signal, 5)}.SignalProblems(), "; "); problems != "signals: there are 5: use at most 4" {
		t.Error(problems)
	}
}

func TestAnApplyIsOfTheVersionThatSignalsCameWithOnlyIfThereAreAny(t *testing.T) {
	for _, c := range []struct {
		signals []Signal
		version uint8
	}{{nil, 1}, {[]Signal{requests(func(*Signal) {})}, 2}} {
		cmd, err := NewCommand("r", "test", &InstanceApply{Spec: InstanceSpec{Signals: c.signals}})
		if err != nil || cmd.Version != c.version {
			t.Errorf("with %d signals it is version %d, %v", len(c.signals), cmd.Version, err)
		}
		if _, err := cmd.Decode(); err != nil {
			t.Error(err)
		}
	}
}

func TestWhatASignalTakesIsSaidInItsUnit(t *testing.T) {
	for _, c := range []struct {
		effect SignalEffect
		kind   SignalKind
		want   string
	}{
		{SignalEffect{Resource: resource.CPU, Each: .8312}, SignalCounter, "0.831 ms of cpu each"},
		{SignalEffect{Resource: resource.CPU, Each: 2.5}, SignalGauge, "2.5m of cpu each"},
		{SignalEffect{Resource: resource.Memory, Each: 3 << 19}, SignalGauge, "1.5 MiB of memory each"},
		{SignalEffect{Resource: resource.Memory, Each: 3 << 19}, SignalCounter, "1.5 MiB of memory for one a second"},
		{SignalEffect{Resource: resource.ReadBytes, Each: 2048}, SignalCounter, "2 KiB of read_bytes each"},
		{SignalEffect{Resource: resource.NetTx, Each: 12_000}, SignalGauge, "12 kbit/s of net_tx each"},
		{SignalEffect{Resource: resource.WriteIOPS, Each: .25}, SignalCounter, "0.25 of write_iops each"},
		{SignalEffect{Resource: resource.CPU, Each: -1}, SignalGauge, "-1m of cpu each"},
	} {
		if got := c.effect.Words(c.kind); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
