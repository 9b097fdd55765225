//go:build linux

package fleet

import (
	"math"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestSamplesAreRead(t *testing.T) {
	at := time.UnixMicro(1795360929791234)
	for line, want := range map[string]Sample{
		"1795360929.791234 1 4674313 1000 25000 100000 15597568 134217728 150994944": {
			At: at, Processes: 1, Present: true, Used: 4674313 * time.Microsecond, Throttled: time.Millisecond, Cores: .25,
			Memory: 15597568, High: 134217728, Max: 150994944,
		},
		"1795360929.791234 2 7 0 max 100000 15597568 max max": {
			At: at, Processes: 2, Present: true, Used: 7 * time.Microsecond, Cores: math.Inf(1), Memory: 15597568, High: math.MaxInt64, Max: math.MaxInt64,
		},
		"1795360929.791234 0 - - - - - - -": {At: at},
	} {
		got, err := parseSample(line)
		if err != nil {
			t.Errorf("%s: %v", line, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s:\n%s", line, diff)
		}
	}
	for _, line := range []string{"", "1 2 3", "1795360929.791234 x - - - - - - -"} {
		if s, err := parseSample(line); err == nil {
			t.Errorf("%q was read as %+v", line, s)
		}
	}
}

// seen is a sample of a host: when it was taken by the host's clock, when it arrived, in milliseconds, and whether Redis ran.
type seen struct {
	host        string
	at, arrived int64
	running     bool
}

func TestTwoSidesAreOnlySeenWhereThereAreTwo(t *testing.T) {
	for name, c := range map[string]struct {
		samples []seen
		two     bool
	}{
		"one after the other":      {[]seen{{"a", 0, 1, true}, {"a", 250, 251, true}, {"a", 500, 501, false}, {"b", 600, 601, true}, {"b", 850, 851, true}}, false},
		"b begins while a runs on": {[]seen{{"a", 0, 1, true}, {"b", 100, 101, true}, {"a", 250, 251, true}}, true},
		"a's last words came late": {[]seen{{"a", 0, 1, true}, {"b", 400, 401, true}, {"a", 250, 600, true}, {"a", 500, 601, false}}, false},
		"a's clock is ahead":       {[]seen{{"a", 9000, 1, true}, {"b", 300, 301, true}, {"a", 9250, 500, true}, {"a", 9500, 501, false}}, false},
		"a comes back beside b":    {[]seen{{"a", 0, 1, true}, {"a", 250, 251, false}, {"b", 400, 401, true}, {"a", 500, 501, true}, {"b", 650, 651, true}}, true},
	} {
		hosts := map[string]*side{"a": {}, "b": {}}
		two := ""
		for _, s := range c.samples {
			n := 0
			if s.running {
				n = 1
			}
			hosts[s.host].add(Sample{At: time.UnixMilli(s.at), Processes: n}, time.UnixMilli(s.arrived))
			if text := twoRun(hosts); text != "" {
				two = text
			}
		}
		if (two != "") != c.two {
			t.Errorf("%s: %q", name, two)
		}
	}
}

func TestAHostThatWasAwayIsNotTakenToHaveRunMeanwhile(t *testing.T) {
	hosts := map[string]*side{"a": {}, "b": {}}
	hosts["a"].add(Sample{At: time.UnixMilli(0), Processes: 1}, time.UnixMilli(1))
	hosts["b"].add(Sample{At: time.UnixMilli(5000), Processes: 1}, time.UnixMilli(5001))
	hosts["b"].add(Sample{At: time.UnixMilli(5250), Processes: 0}, time.UnixMilli(5251))
	hosts["a"].restart()
	hosts["a"].add(Sample{At: time.UnixMilli(9000), Processes: 1}, time.UnixMilli(9001))
	if text := twoRun(hosts); text != "" {
		t.Error(text)
	}
}

func TestTwoThatAnswerForOneAddressAreSeen(t *testing.T) {
	at := time.UnixMilli
	for name, c := range map[string]struct {
		answers []Answer
		two     bool
	}{
		"the same twice":     {[]Answer{{at(0), "a", true}, {at(1), "a", true}}, false},
		"after a move":       {[]Answer{{at(0), "a", true}, {at(3000), "b", true}}, false},
		"both at once":       {[]Answer{{at(0), "a", true}, {at(3), "b", true}}, true},
		"an announcement":    {[]Answer{{at(0), "a", true}, {at(3), "b", false}}, false},
		"one between others": {[]Answer{{at(0), "b", true}, {at(3), "a", false}, {at(5), "a", true}}, true},
	} {
		if got := twoAnswer(c.answers); (got != "") != c.two {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestAnswersAreReadFromPackets(t *testing.T) {
	target := netip.MustParseAddr("10.77.0.60")
	packet := func(op byte, sender string) []byte {
		b := make([]byte, 28)
		b[1], b[2], b[4], b[5], b[7] = 1, 8, 6, 4, op
		copy(b[8:], []byte{2, 0, 0, 0, 0, 7})
		copy(b[14:], netip.MustParseAddr(sender).AsSlice())
		return b
	}
	for name, c := range map[string]struct {
		packet []byte
		want   Answer
		ok     bool
	}{
		"a reply":            {packet(2, "10.77.0.60"), Answer{MAC: "02:00:00:00:00:07", Asked: true}, true},
		"an announcement":    {packet(1, "10.77.0.60"), Answer{MAC: "02:00:00:00:00:07"}, true},
		"of another address": {packet(2, "10.77.0.61"), Answer{}, false},
		"too short":          {packet(2, "10.77.0.60")[:20], Answer{}, false},
	} {
		got, ok := readAnswer(c.packet, target)
		if got != c.want || ok != c.ok {
			t.Errorf("%s: %+v, %v", name, got, ok)
		}
	}
}
