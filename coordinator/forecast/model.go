package forecast

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

// Model is what was learned of one instance at the end of its history. It does not change and may be
// used from several goroutines; train a new one when more is known, which takes milliseconds.
type Model struct {
	opts    Options
	events  []Event
	kinds   [resource.Kinds]kindModel
	figures []figure      // signals
	until   timeline.Time // how far a settled model can forecast; 0 means any time
}

// kindModel is what was learned of one resource.
type kindModel struct {
	learned
	grid     *grid
	fold     Fold
	members  []chosen
	follows  []follow // those of them that follow a signal
	effects  []kindEffect
	sundays  *sundays  // for holidays; nil: nothing is known, or there are none
	standIn  float64   // amount that stands in where there is too little history
	standsIn []float64 // the same per quantile, where that is known: it is preferred
	own      bool      // it is of this history, and enough
	straight straight
	cold     bool
	note     string
	recent   []float64 // per quantile: the level that the last hour showed

	held [][]float64 // per quantile: what a settled model's members make of the model steps after the history
	kept []float64   // per quantile: what a settled model's window says

	observed time.Duration // how much of the window has samples
	missing  float64       // share of it that has none
}

// coldBefore is how much time with samples a series needs to speak for its upper quantiles alone.
const coldBefore = 24 * time.Hour

// Train learns from the history of one instance and the events that touched it or are to come. Times that lie after the
// end of the history are forecast from there. It returns an *InputError for unusable input, and an error that wraps
// ErrColdStart when a resource has no history and nothing stands in for it.
func Train(h History, events []Event, opts Options) (*Model, error) {
	return Retrain(nil, h, events, opts)
}

// Retrain returns to the byte what Train does. Where before, which may be settled or nil, has learned from the same past up to the last multiple of LearnEvery, that
// takes a fifth of the time.
func Retrain(before *Model, h History, events []Event, opts Options) (*Model, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := checkEvents(events); err != nil {
		return nil, err
	}
	m := &Model{opts: opts, events: events}
	m.opts.Signals = nil // what is to be kept of them is learned
	if m.figures, err = learnFigures(before, events, opts); err != nil {
		return nil, err
	}
	for k, s := range h {
		kind := resource.Kind(k)
		if err := s.check(kind.String()); err != nil {
			return nil, err
		}
		if m.kinds[k], err = train(kind, s, moving(events, kind), opts, before.learnedOf(kind)); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// learnedOf returns what m, which may be nil, learned of the past of a resource.
func (m *Model) learnedOf(kind resource.Kind) *learned {
	if m == nil {
		return nil
	}
	return &m.kinds[kind].learned
}

func train(kind resource.Kind, s Series, events []Event, opts Options, before *learned) (kindModel, error) {
	m := kindModel{fold: s.Fold, standIn: float64(opts.Prior[kind]), standsIn: opts.PriorQuantiles[kind]}
	if m.standIn == 0 {
		m.standIn = float64(opts.Maximum[kind])
	}
	step := modelStep(max(s.Step, minModelStep), opts.Step)
	var g *grid
	window, beyond := opts.learnedFrom(s, step), int(clockReach/step)
	if observed(s.Values) > 0 {
		if fine := max(s.Step, opts.Step); fine < step {
			g = fineGrid(s.Resample(fine), step, window, opts.Location, beyond)
		} else {
			g = newGrid(s, step, window, opts.Location, beyond)
		}
	}
	if g == nil || len(g.y) == 0 {
		if m.standIn == 0 && m.standsIn == nil {
			return m, fmt.Errorf("forecast: %s: %w", kind, ErrColdStart)
		}
		m.cold = true
		m.note = fmt.Sprintf("no history in the last %s: %s", opts.Window, m.standInNote(kind, opts))
		m.effects = (&grid{step: step, day: 1}).learnEvents(events, opts.Quantiles)
		return m, nil
	}
	m.grid = g
	m.observed = time.Duration(observed(g.y)) * step
	m.missing = 1 - float64(observed(g.y))/float64(len(g.y))
	m.effects = g.learnEvents(events, opts.Quantiles)
	if g.means != nil {
		m.effects = g.means.learnEvents(events, opts.Quantiles)
		if fine := max(s.Step, opts.Step); len(events) > 0 && day%fine == 0 { // an event may be shorter than a model step
			m.effects = newGrid(s.Resample(fine), fine, window, opts.Location, 0).learnEvents(events, opts.Quantiles)
		}
	}
	if slices.ContainsFunc(events, func(e Event) bool { return IsHoliday(e.Kind) }) {
		m.sundays = g.learnSundays(opts.Location)
	}
	g.fill()
	if g.means != nil {
		if g.means.fill(); len(opts.Members) > 0 { // a baseline has what single steps show and nothing else
			g.means = nil
		}
	}
	var signals []Signal
	if len(opts.Members) == 0 { // who asks for members gets what he asks for
		signals = opts.Signals
	}
	p, now := pastOf(g, signals, events, opts.Maximum[kind], opts)
	m.learn(p, now, before)
	if len(opts.Members) == 0 { // a baseline is what it is
		m.straight = m.straighten(opts.Quantiles)
	}
	m.recent = g.lastHour(opts.Quantiles)
	if m.observed < coldBefore {
		m.cold = true
		what := m.standInNote(kind, opts)
		if after := m.policy.ownAfter; after > 0 && m.observed >= after && opts.Prior[kind] == 0 && m.standsIn == nil && m.twiceSeen() < m.standIn {
			m.standIn, m.own = m.twiceSeen(), true
			what = fmt.Sprintf("twice the highest value seen stands in, as it is %s", m.pattern)
		}
		m.note = fmt.Sprintf("only %s of history: for quantiles above the median %s", m.observed, what)
	}
	return m, nil
}

func (m *kindModel) standInNote(kind resource.Kind, opts Options) string {
	switch {
	case opts.Prior[kind] > 0 || m.standsIn != nil:
		return cmp.Or(opts.PriorFrom[kind], "the given prior") + " stands in"
	case m.standIn > 0:
		return "the instance type's maximum stands in"
	}
	return "twice the highest value seen stands in"
}

// lastHour returns per quantile what the observed steps of the grid's last hour showed.
func (g *grid) lastHour(quantiles []float64) []float64 {
	seen := g.hourOfFine()
	if g.means == nil {
		for _, v := range g.y[max(0, len(g.y)-g.hour):] {
			if !math.IsNaN(v) {
				seen = append(seen, v)
			}
		}
	}
	out := make([]float64, len(quantiles))
	if len(seen) > 0 {
		upperQuantiles(seen, quantiles, out)
	}
	return out
}

// Forecast predicts the demand from the step that contains now for the horizon, which is rounded up to whole steps. It
// returns an *InputError when the horizon is not positive, too long for the step, or now lies out of the calendar.
func (m *Model) Forecast(now timeline.Time, horizon time.Duration) (*Forecast, error) {
	f, err := m.predict(now, horizon, (*kindModel).values)
	if err != nil {
		return nil, err
	}
	for _, s := range m.figures {
		f.Signals = append(f.Signals, s.forecast(f.Start, f.Steps()))
	}
	return f, nil
}

// predict makes a forecast of what of says of each resource for n steps.
func (m *Model) predict(now timeline.Time, horizon time.Duration, of func(k *kindModel, all *Model, kind resource.Kind, start timeline.Time, n int) [][]float64) (*Forecast, error) {
	switch {
	case horizon <= 0 || horizon/m.opts.Step >= maxSteps:
		return nil, inputError("horizon", "%s at steps of %s: use 1 to %d steps", horizon, m.opts.Step, maxSteps)
	case now < earliest || now.Add(horizon) > latest:
		return nil, inputError("now", "%d lies outside the years 1900 to 2200", now)
	case m.until != 0 && now.Add(horizon) > m.until:
		return nil, inputError("horizon", "%s from %s on: the model was settled for what comes until %s", horizon, now, m.until)
	}
	n := int((horizon + m.opts.Step - 1) / m.opts.Step)
	f := &Forecast{Start: now.Floor(m.opts.Step), Step: m.opts.Step, Quantiles: m.opts.Quantiles}
	for k := range m.kinds {
		f.Values[k] = of(&m.kinds[k], m, resource.Kind(k), f.Start, n)
		f.Reasons[k] = m.kinds[k].reason(m.opts.Quantiles, f.Start)
	}
	return f, nil
}

// values forecasts one resource for n steps.
func (m *kindModel) values(all *Model, kind resource.Kind, start timeline.Time, n int) [][]float64 {
	quantiles := all.opts.Quantiles
	out := make([][]float64, len(quantiles))
	for qi := range out {
		out[qi] = make([]float64, n)
	}
	if m.grid == nil {
		for qi := range out {
			for i := range out[qi] {
				out[qi][i] = m.standIn
				if m.standsIn != nil {
					out[qi][i] = m.standsIn[qi]
				}
			}
		}
	} else {
		m.fromMembers(out, start, all.opts.Step, quantiles)
	}
	m.finish(out, all, kind, start)
	return out
}

// finish puts events back into one resource's quantiles, and makes them amounts that can be.
func (m *kindModel) finish(out [][]float64, all *Model, kind resource.Kind, start timeline.Time) {
	quantiles := all.opts.Quantiles
	addEvents(out, start, all.opts.Step, all.events, m.effects, kind, m.fold, quantiles, m.sundays)
	limit := float64(resource.Unlimited)
	if c := all.opts.Cap[kind]; c > 0 {
		limit = float64(c)
	}
	for qi := range out {
		for i, v := range out[qi] {
			if math.IsNaN(v) {
				v = limit
			}
			out[qi][i] = min(max(v, 0), limit)
		}
	}
	uncross(out, quantiles)
}

// uncross moves quantiles that have passed each other, which are of different members: from the one nearest to the median on outwards.
func uncross(values [][]float64, quantiles []float64) {
	middle := 0
	for qi, q := range quantiles {
		if math.Abs(q-.5) < math.Abs(quantiles[middle]-.5) {
			middle = qi
		}
	}
	for i := range values[middle] {
		for qi := middle + 1; qi < len(values); qi++ {
			values[qi][i] = max(values[qi][i], values[qi-1][i])
		}
		for qi := middle - 1; qi >= 0; qi-- {
			values[qi][i] = min(values[qi][i], values[qi+1][i])
		}
	}
}

// fromMembers writes the blended quantiles of the steps from start on. Steps that the history already covers are
// forecast as the first one after it; steps finer than the model's share its value.
func (m *kindModel) fromMembers(out [][]float64, start timeline.Time, step time.Duration, quantiles []float64) {
	g := m.grid
	n := len(out[0])
	// Of a history that ended long ago only the week counts: whole weeks between them are left out.
	week := timeline.Time((7 * day).Milliseconds())
	if gap := start - g.timeOf(len(g.x)); gap >= 2*week {
		start -= (gap/week - 1) * week
	}
	at := func(i int) int { // model steps after the history
		return max(0, int(start.Add(time.Duration(i)*step).Sub(g.start)/g.step)-len(g.x))
	}
	blended := m.held
	if blended == nil {
		blended = m.blended(at(n-1)+1, quantiles)
	}
	careful := m.straight.careful(g.step)
	for qi, q := range quantiles {
		for i := range out[qi] {
			h := at(i)
			v := blended[qi][h]
			told := q > .5 && m.cold && m.standsIn != nil
			if told {
				v = m.standsIn[qi]
			}
			if q > .5 && h < g.hour && (!m.policy.noFloor || careful) {
				v = max(v, m.recent[qi])
			}
			if q > .5 && m.cold && !told {
				v = max(v, m.standInFor())
				if m.own {
					v = m.standIn
				}
			}
			out[qi][i] = v
		}
	}
}

// blended returns per quantile what the members make of the first n model steps after the history.
func (m *kindModel) blended(n int, quantiles []float64) [][]float64 {
	g := m.grid
	paths := make([][]float64, len(m.members)) // of the last quantile asked for
	part := make([][]float64, len(m.members))  // of them in one bucket
	careful, top := m.straight.careful(g.step), slices.Max(g.x)
	out := make([][]float64, len(quantiles))
	for qi, q := range quantiles {
		upward := careful && q > .5
		if upward && (qi == 0 || quantiles[qi-1] <= .5) {
			clear(paths) // those so far are of the lower quantiles
		}
		for mi, mem := range m.members {
			if m.counts(qi, mi, n) && (paths[mi] == nil || mem.byQuantile) {
				paths[mi] = make([]float64, n)
				m.straight.path(paths[mi], m.members, mi, len(g.x), qi, upward)
			}
		}
		sum := make([]float64, n)
		for from := 0; from < n; {
			b, to := bucketOf(from, g.step), from
			for to < n && bucketOf(to, g.step) == b {
				to++
			}
			for mi, path := range paths {
				if path != nil {
					part[mi] = path[from:to]
				}
			}
			m.blends[b].quantile(sum[from:to], q, qi, part, top)
			from = to
		}
		out[qi] = sum
	}
	return out
}

// counts reports whether member mi has any weight for quantile qi within the first n model steps.
func (m *kindModel) counts(qi, mi, n int) bool {
	for b := 0; b <= bucketOf(n-1, m.grid.step); b++ {
		if m.blends[b].weight[qi][mi] > 0 {
			return true
		}
	}
	return false
}

// standInFor returns the amount that stands in for the upper quantiles of a series that is too short.
func (m *kindModel) standInFor() float64 {
	if m.standIn > 0 {
		return m.standIn
	}
	return m.twiceSeen()
}

func (m *kindModel) twiceSeen() float64 {
	top := 0.0
	for _, v := range m.grid.x {
		top = max(top, v)
	}
	return 2 * top
}
