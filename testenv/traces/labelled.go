package traces

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/coordinator/forecast/pattern"
)

// Labelled makes a series of the pattern: its length, step, unit, level, noise, gaps and stray values differ from seed to seed, and
// so does how plainly it shows what it is. The same seed makes the same series.
func Labelled(p pattern.Pattern, seed uint64) forecast.Series {
	m := newMaker(seed)
	switch p {
	case pattern.Idle:
		m.idle()
	case pattern.Steady:
		m.steady()
	case pattern.Periodic:
		m.periodic()
	case pattern.Trending:
		m.trending()
	case pattern.Bursty:
		m.bursty()
	case pattern.Intermittent:
		m.intermittent()
	case pattern.Batch:
		m.batch()
	}
	m.measure(p)
	return m.series
}

// maker makes one labelled series.
type maker struct {
	*rand.Rand
	series forecast.Series
	v      []float64 // its values, around 1
	perDay int
	offset float64 // time of day at which it begins, in days
}

func newMaker(seed uint64) *maker {
	m := &maker{Rand: rand.New(rand.NewPCG(seed, 77))}
	step := pick[time.Duration](m, 5, 5, 5, 10, 30, 60) * time.Minute
	m.perDay = int(day / step)
	m.offset = m.between(0, 1)
	m.series = forecast.Series{Start: 1_767_571_200_000, Step: step}
	m.series.Start = m.series.Start.Add(time.Duration(m.offset * float64(7*day)).Truncate(step))
	long := m.logBetween(2.2, 28)
	if m.chance(.25) {
		long = m.logBetween(.2, 2.2) // too short to be sure of much
	}
	m.v = make([]float64, max(30, int(long*float64(m.perDay))))
	return m
}

func pick[T any](m *maker, of ...T) T { return of[m.IntN(len(of))] }

func (m *maker) chance(p float64) bool { return m.Float64() < p }

func (m *maker) between(lo, hi float64) float64 { return lo + (hi-lo)*m.Float64() }

func (m *maker) logBetween(lo, hi float64) float64 { return lo * math.Pow(hi/lo, m.Float64()) }

// days returns the time of step i in days; whole ones are midnights, multiples of seven begin a week.
func (m *maker) days(i int) float64 { return m.offset*7 + float64(i)/float64(m.perDay) }

// noise returns values with mean 0 and deviation 1 that remember: mostly little, sometimes for hours.
func (m *maker) noise() []float64 {
	out := make([]float64, len(m.v))
	phi := pick(m, 0, .5, .8, .95)
	skewed := m.chance(.3)
	at := 0.0
	for i := range out {
		at = phi*at + math.Sqrt(1-phi*phi)*m.NormFloat64()
		out[i] = at
		if skewed { // a lognormal of the same mean and about the same deviation
			out[i] = (math.Exp(.6*at) - 1.197) / .79
		}
	}
	return out
}

// day returns a season by day, with deviation about 1: a wave, or a plateau of working hours; weekends may be lower.
func (m *maker) day() []float64 {
	out := make([]float64, len(m.v))
	peak, second := m.between(0, 1), pick(m, 0, .3, .6)
	plateau := m.chance(.35)
	long, weekend := m.between(.25, .5), pick(m, 1, 1, .6, .1)
	for i := range out {
		at := m.days(i)
		phase := at - peak
		v := math.Cos(2*math.Pi*phase) + second*math.Cos(4*math.Pi*phase)
		if plateau {
			v = -1
			if in := phase - math.Floor(phase); in < long {
				v = 1
			}
		}
		if w := math.Mod(at, 7); w >= 5 {
			v = (v+1)*weekend - 1
		}
		out[i] = v * 1.2
	}
	return out
}

func (m *maker) idle() {
	if m.chance(.15) {
		return
	}
	every := m.logBetween(1, 20) * float64(m.perDay) // steps between lone ones
	every = max(every, 150)
	for i := range m.v {
		if m.chance(1 / every) {
			m.v[i] = m.logBetween(.2, 5)
		}
	}
}

func (m *maker) steady() {
	noise, cv := m.noise(), m.logBetween(.001, .3)
	if m.chance(.15) {
		cv = 0
	}
	season, weak := m.day(), m.between(0, .25)
	for i := range m.v {
		m.v[i] = 1 + cv*(noise[i]+weak*season[i])
	}
	m.maybeShift()
}

func (m *maker) periodic() {
	noise, season := m.noise(), m.day()
	swing := m.logBetween(.03, .6)
	cv := swing * m.between(.05, .9)
	for i := range m.v {
		m.v[i] = 1 + swing*season[i] + cv*noise[i]
	}
	m.maybeShift()
}

func (m *maker) trending() {
	if n := 3 * m.perDay / 2; len(m.v) < n { // before, it could as well be a day that begins
		m.v = make([]float64, n)
	}
	noise, season := m.noise(), m.day()
	rise := m.logBetween(.15, 1.6) // over the whole, relative to the mean
	cv := rise * .29 * m.between(.03, .7)
	weak := rise * .29 * pick(m, 0, 0, .3, .6)
	bend := pick(m, 1, 1, .6, 1.6)
	down := m.chance(.4)
	for i := range m.v {
		at := math.Pow(float64(i)/float64(len(m.v)), bend)
		if down {
			at = 1 - at
		}
		m.v[i] = 1 + rise*(at-.5) + cv*noise[i] + weak*season[i]
	}
}

func (m *maker) bursty() {
	noise, cv := m.noise(), m.logBetween(.02, .3)
	season, weak := m.day(), pick(m, 0, 0, .1, .2)
	apart := m.logBetween(2, 24) / 24 * float64(m.perDay) // steps
	fade := math.Exp2(-1 / (m.logBetween(.08, 1.5) / 24 * float64(m.perDay)))
	height, width := m.logBetween(1.5, 15), m.between(.3, 1)
	burst := 0.0
	for i := range m.v {
		burst *= fade
		if m.chance(1 / apart) {
			burst += height * math.Exp(width*m.NormFloat64())
		}
		m.v[i] = 1 + cv*noise[i] + weak*season[i] + burst
	}
}

func (m *maker) intermittent() {
	share, run := m.logBetween(.015, .35), pick(m, 1, 1, 2, 4)
	size, width := m.logBetween(.5, 2), m.between(0, 1.2)
	begin, left := share/float64(run)/(1-share), 0
	for i := range m.v {
		if left == 0 && m.chance(begin) {
			left = 1
			for m.chance(1 - 1/float64(run)) {
				left++
			}
		}
		if left > 0 {
			left--
			m.v[i] = size * math.Exp(width*m.NormFloat64())
		}
	}
}

func (m *maker) batch() {
	noise, cv := m.noise(), m.logBetween(.01, .2)
	base := pick(m, 0, 0, .02, 1)
	height := m.logBetween(1.5, 15) * max(base, .1)
	times := pick(m, 1, 1, 1, 2, 4) // a day
	long := min(m.logBetween(.3, 5)/24, .25/float64(times))
	long = max(long, 1/float64(m.perDay))
	first, missed := m.between(0, 1), pick(m, 0, 0, .1)
	workdays := m.chance(.15) && len(m.v) > 4*m.perDay
	jitter := pick(m, 0, 0, .005) // of a day
	ran, late := true, 0.0
	last := math.Inf(-1)
	for i := range m.v {
		at := m.days(i) - first/float64(times)
		in := math.Mod(at*float64(times), 1) / float64(times)
		if turn := math.Floor(at * float64(times)); turn != last {
			last, ran, late = turn, !m.chance(missed), jitter*m.Float64()
			if workdays && math.Mod(m.days(i), 7) >= 5 {
				ran = false
			}
		}
		m.v[i] = base * (1 + cv*noise[i])
		if in -= late; ran && in >= 0 && in < long {
			m.v[i] += height * (1 + cv*noise[i])
		}
	}
}

// maybeShift moves the level of one in ten for good.
func (m *maker) maybeShift() {
	if !m.chance(.1) {
		return
	}
	by := pick(m, .6, .8, 1.3, 1.7)
	for i := int(m.between(.2, .9) * float64(len(m.v))); i < len(m.v); i++ {
		m.v[i] *= by
	}
}

// measure gives the series its unit, and what measuring does to it: stray values, rounding and gaps.
func (m *maker) measure(p pattern.Pattern) {
	if p != pattern.Idle && p != pattern.Intermittent && m.chance(.2) {
		for range 1 + m.IntN(3) {
			m.v[m.IntN(len(m.v))] *= m.logBetween(2, 10)
		}
	}
	scale := m.logBetween(.1, 1e7)
	round := 0.0
	if m.chance(.25) {
		round = m.logBetween(.001, .03)
	}
	missing := pick(m, 0, 0, 0, .02, .1)
	gap := 0
	m.series.Values = m.v
	for i, v := range m.v {
		v = max(0, v)
		if round > 0 {
			v = math.Round(v/round) * round
		}
		m.v[i] = v * scale
		if gap == 0 && m.chance(missing*4/float64(m.perDay)) {
			gap = m.perDay / 4
		}
		if gap > 0 && missing > 0 {
			gap--
			m.v[i] = math.NaN()
		}
	}
}
