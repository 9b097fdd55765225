//go:build linux

package fleet

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Sample is what was seen on a host at one time.
type Sample struct {
	At        time.Time // by this machine's clock
	Processes int       // of Redis, whoever started them
	Present   bool      // the unit has a control group, which the rest is of
	Used      time.Duration
	Throttled time.Duration
	Cores     float64 // granted; infinite if not limited
	Memory    int64   // bytes used
	High, Max int64   // limits, bytes; math.MaxInt64 if not limited
}

// side is what is known of one host.
type side struct {
	samples []Sample
	// ahead is how far the guest's clock is ahead of this machine's, by the sample that was delivered soonest.
	ahead time.Duration
	known bool
	// run is the index of the first sample since the watch last lost sight of the host.
	run int
	// away is when the host was off, in order.
	away []*absence
}

// absence is a time in which a host is off. It has not ended while to is zero.
type absence struct{ from, to time.Time }

func (a *absence) lasts(t time.Time) bool { return a.to.IsZero() || a.to.After(t) }

// Gap is a time in which nothing was seen of a host.
type Gap struct{ From, To time.Time }

// Length returns how long it was.
func (g Gap) Length() time.Duration { return g.To.Sub(g.From) }

func (g Gap) String() string {
	return fmt.Sprintf("%s from %s to %s", g.Length().Round(time.Millisecond), g.From.Format(clockFormat), g.To.Format(clockFormat))
}

// wasAway reports whether the host was off at some time since t.
func (s *side) wasAway(t time.Time) bool {
	return slices.ContainsFunc(s.away, func(a *absence) bool { return a.lasts(t) })
}

// unseen returns the longest time between two samples, or one and the ends of the span, as far as the host was not away.
func (s *side) unseen(start, end time.Time) Gap {
	longest, seen := Gap{}, start
	look := func(from, to time.Time) {
		if g := (Gap{from, to}); g.Length() > longest.Length() {
			longest = g
		}
	}
	for i := 0; i <= len(s.samples); i++ {
		next := end
		if i < len(s.samples) {
			next = s.samples[i].At
		}
		from := seen
		for _, a := range s.away {
			if a.from.Before(next) && a.lasts(from) {
				look(from, a.from)
				if from = a.to; a.to.IsZero() {
					from = next
				}
			}
		}
		look(from, next)
		seen = next
	}
	return longest
}

// restart says that the host was away, so that its clock may be another.
func (s *side) restart() { s.known, s.run = false, len(s.samples) }

// add takes a sample by the guest's clock, which arrived now.
func (s *side) add(sample Sample, now time.Time) {
	// Nothing arrives before it was sent: the largest difference is the truest.
	if ahead := sample.At.Sub(now); !s.known || ahead > s.ahead {
		s.ahead, s.known = ahead, true
	}
	sample.At = sample.At.Add(-s.ahead)
	if n := len(s.samples); n > 0 && sample.At.Before(s.samples[n-1].At) {
		sample.At = s.samples[n-1].At // the clock was just understood better
	}
	s.samples = append(s.samples, sample)
}

// twoRun returns a sentence if the latest samples prove that Redis ran on two hosts at once: on one it was seen before and
// after a time at which it was seen on the other. It may have stopped and started within a quarter of a second, which no Redis does.
func twoRun(hosts map[string]*side) string {
	for name, one := range hosts {
		n := len(one.samples)
		if n-one.run < 2 || one.samples[n-1].Processes == 0 || one.samples[n-2].Processes == 0 {
			continue
		}
		from, to := one.samples[n-2].At, one.samples[n-1].At
		for other, two := range hosts {
			if other == name {
				continue
			}
			for i := len(two.samples) - 1; i >= 0 && two.samples[i].At.After(from); i-- {
				if s := two.samples[i]; s.Processes > 0 && s.At.Before(to) {
					return fmt.Sprintf("redis-server ran on %s from %s to %s, and on %s at %s",
						name, from.Format(clockFormat), to.Format(clockFormat), other, s.At.Format(clockFormat))
				}
			}
		}
	}
	return ""
}

const clockFormat = "15:04:05.000"

// parseSample reads a line of the script.
func parseSample(line string) (Sample, error) {
	f := strings.Fields(line)
	if len(f) != 9 {
		return Sample{}, fmt.Errorf("a sample of %d fields: %q", len(f), line)
	}
	var s Sample
	var fault error
	number := func(text string, unlimited float64) float64 {
		switch text {
		case "-":
			return 0
		case "max":
			return unlimited
		}
		n, err := strconv.ParseFloat(text, 64)
		if err != nil {
			fault = fmt.Errorf("sample %q: %w", line, err)
		}
		return n
	}
	limit := func(text string) int64 {
		if n := number(text, math.Inf(1)); !math.IsInf(n, 1) {
			return int64(n)
		}
		return math.MaxInt64
	}
	s.At = time.UnixMicro(int64(number(f[0], 0) * 1e6))
	s.Processes = int(number(f[1], 0))
	s.Present = f[2] != "-"
	s.Used = time.Duration(number(f[2], 0)) * time.Microsecond
	s.Throttled = time.Duration(number(f[3], 0)) * time.Microsecond
	if f[4] != "-" {
		s.Cores = number(f[4], math.Inf(1)) / number(f[5], 0)
	}
	s.Memory, s.High, s.Max = limit(f[6]), limit(f[7]), limit(f[8])
	return s, fault
}
