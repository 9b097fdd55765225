//go:build linux

package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
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

func TestAGapIsATimeInWhichAHostThatIsOnIsNotSeen(t *testing.T) {
	at := time.UnixMilli
	for name, c := range map[string]struct {
		samples []int64
		away    []*absence
		want    Gap
	}{
		"between samples":         {[]int64{1000, 2000, 7000, 9000}, nil, Gap{at(2000), at(7000)}},
		"never seen":              {nil, nil, Gap{at(0), at(10000)}},
		"seen late":               {[]int64{6000, 9000}, nil, Gap{at(0), at(6000)}},
		"not seen any more":       {[]int64{1000, 2000}, nil, Gap{at(2000), at(10000)}},
		"while it was off":        {[]int64{1000, 8000}, []*absence{{at(1500), at(7500)}}, Gap{at(8000), at(10000)}},
		"longer than it was off":  {[]int64{1000, 9000}, []*absence{{at(1500), at(3000)}}, Gap{at(3000), at(9000)}},
		"twice off":               {[]int64{1000, 9000}, []*absence{{at(1500), at(3000)}, {at(7000), at(8500)}}, Gap{at(3000), at(7000)}},
		"off before it was seen":  {[]int64{4000, 9000}, []*absence{{at(100), at(3500)}}, Gap{at(4000), at(9000)}},
		"it has not come back":    {[]int64{1000, 2000}, []*absence{{at(2500), time.Time{}}}, Gap{at(0), at(1000)}},
		"it was off between seen": {[]int64{1000, 2000, 9500}, []*absence{{at(1200), at(1900)}}, Gap{at(2000), at(9500)}},
	} {
		one := &side{away: c.away}
		for _, n := range c.samples {
			one.samples = append(one.samples, Sample{At: at(n)})
		}
		if got := one.unseen(at(0), at(10000)); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// run is one run of a script.
type run struct {
	ended chan struct{}
	err   error
}

func (r *run) Wait() error { <-r.ended; return r.err }

// saying is a script that says so many lines and then ends with an error; without one it goes on in silence.
func saying(lines int, end error) probe {
	return func(ctx context.Context, out io.Writer) (interface{ Wait() error }, error) {
		r := &run{ended: make(chan struct{})}
		go func() {
			defer close(r.ended)
			for range lines {
				if _, err := fmt.Fprintf(out, "%d 1 - - - - - - -\n", time.Now().Unix()); err != nil {
					r.err = err
					return
				}
				select {
				case <-time.After(400 * time.Millisecond):
				case <-ctx.Done():
					r.err = ctx.Err()
					return
				}
			}
			if r.err = end; end == nil {
				<-ctx.Done()
				r.err = ctx.Err()
			}
		}()
		return r, nil
	}
}

func TestAProbeThatIsLostIsReportedAndBegunAnew(t *testing.T) {
	broken := errors.New("control channel broke")
	for name, c := range map[string]struct {
		probe probe
		away  bool
		want  string // in what Close returns; "": nothing
		again bool   // it is begun anew within 15 seconds
	}{
		"it can't be started":        {func(context.Context, io.Writer) (interface{ Wait() error }, error) { return nil, broken }, false, "can't be started: control channel broke", true},
		"it ends":                    {saying(10, broken), false, "its probe ended: control channel broke", true},
		"it ends as the host is off": {saying(10, broken), true, "", true},
		"it says nothing any more":   {saying(3, nil), false, "", true},
		"all is well":                {saying(1000, nil), false, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, stop := context.WithCancel(t.Context())
				w := &Watch{stop: stop, began: time.Now(), hosts: map[string]*side{HostA: {}}, address: &AddressWatch{stop: func() {}}}
				if c.away {
					defer w.Away(HostA)()
				}
				started := 0
				w.group.Go(func() error {
					w.follow(ctx, HostA, func(ctx context.Context, out io.Writer) (interface{ Wait() error }, error) {
						started++
						return c.probe(ctx, out)
					})
					return nil
				})
				<-time.After(15 * time.Second)
				err := w.Close()
				if again := started > 1; again != c.again {
					t.Errorf("it was started %d times", started)
				}
				if (err != nil) != (c.want != "") || err != nil && !strings.Contains(err.Error(), c.want) {
					t.Errorf("Close returned %v, want %q", err, c.want)
				}
			})
		})
	}
}

func TestWhoServesCanOnlyBeToldOfHostsThatAreSeen(t *testing.T) {
	now := time.Now()
	w := &Watch{hosts: map[string]*side{HostA: {samples: []Sample{{At: now, Processes: 1}}}, HostB: {samples: []Sample{{At: now.Add(-3 * time.Second)}}}}}
	if serving, err := w.Serving(); err == nil || !strings.Contains(err.Error(), HostB) {
		t.Errorf("%v, %v although nothing was seen of %s for three seconds", serving, err, HostB)
	}
	w.hosts[HostB].samples = append(w.hosts[HostB].samples, Sample{At: now})
	if serving, err := w.Serving(); err != nil || len(serving) != 1 || serving[0] != HostA {
		t.Errorf("%v, %v", serving, err)
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
