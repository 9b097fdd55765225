package collect

import (
	"cmp"
	"slices"
	"time"

	"github.com/glidepath/glidepath/agent/demand"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

const (
	window = proto.WindowLength * time.Millisecond

	// farBack is how far corrected time may go backwards without windows being begun again. It is what the correction of a
	// host's clock may amount to; a step beyond it is another clock.
	farBack = 30 * time.Second

	// mostFaults is how many different faults a window names.
	mostFaults = 8
)

// Measured is one sample with what was made of it.
type Measured struct {
	Instance    string
	Observation demand.Observation
	Demand      resource.Vector
	Granted     resource.Vector // Unlimited where no limit is
	Scheduled   resource.Vector // what the schedule alone says
	Debt        int64           // bytes of memory that could not be taken back
	Faults      []string        // limits that the kernel does not hold as they were set
}

// Folder folds samples into windows of proto.WindowLength. Samples weigh as much as the time that they cover. It is
// used by one goroutine.
type Folder struct {
	open   map[string]*fold
	closed []proto.Window
	last   timeline.Time // of a sample
	taken  timeline.Time // windows that had ended by then are gone
}

// fold is a window that samples are still added to.
type fold struct {
	start     timeline.Time
	samples   int
	weight    float64 // seconds
	usage     sum
	demand    sum
	pressure  demand.Pressure // seconds
	throttled time.Duration
	oomKills  uint64
	latest    Measured
	faults    []string
	void      bool // nobody is to hear of it
}

// sum is a Fold in the making.
type sum struct {
	weighted  [resource.Kinds]float64 // amount × seconds
	max, last resource.Vector
}

func (s *sum) add(v resource.Vector, seconds float64) {
	for k, n := range v {
		s.weighted[k] += float64(n) * seconds
	}
	s.max, s.last = s.max.Max(v), v
}

func (s *sum) fold(seconds float64) proto.Fold {
	f := proto.Fold{Max: s.max, Last: s.last}
	for k := range f.Mean {
		f.Mean[k] = min(int64(s.weighted[k]/seconds+0.5), s.max[k])
	}
	return f
}

// NewFolder returns a folder without windows.
func NewFolder() *Folder { return &Folder{open: map[string]*fold{}} }

// Add adds a sample that ended at at, by the coordinators' time. Time that goes back a little, because its correction
// changed, stands still until it has caught up: no window is begun twice. Time that goes back far is believed.
func (f *Folder) Add(at timeline.Time, m Measured) {
	if m.Observation.Elapsed <= 0 {
		return
	}
	if at < f.last {
		if f.last.Sub(at) <= farBack {
			at = f.last
		} else {
			f.taken = at
		}
	}
	f.last = at
	// A sample at the very start of a window is about the second before it.
	start := max((at - 1).Floor(window), f.taken.Floor(window))
	w := f.open[m.Instance]
	if w != nil && w.start != start {
		f.end(w)
		w = nil
	}
	if w == nil {
		w = &fold{start: start}
		f.open[m.Instance] = w
	}
	w.add(m)
}

// Void keeps the window that a sample of the instance which ended at at would go to from being told of.
func (f *Folder) Void(at timeline.Time, m Measured) {
	f.Add(at, m)
	if w := f.open[m.Instance]; w != nil {
		w.void = true
	}
}

func (w *fold) add(m Measured) {
	o := m.Observation
	seconds := o.Elapsed.Seconds()
	w.samples++
	w.weight += seconds
	w.usage.add(o.Usage, seconds)
	w.demand.add(m.Demand, seconds)
	w.pressure.CPU += o.Pressure.CPU * seconds
	w.pressure.Memory += o.Pressure.Memory * seconds
	w.pressure.IO += o.Pressure.IO * seconds
	w.throttled += min(o.Throttled, o.Elapsed)
	w.oomKills += o.OOMKills
	for _, fault := range m.Faults {
		if len(w.faults) < mostFaults && !slices.Contains(w.faults, fault) {
			w.faults = append(w.faults, fault)
		}
	}
	w.latest = m
}

func (f *Folder) end(w *fold) {
	if !w.void {
		f.closed = append(f.closed, w.window())
	}
}

func (w *fold) window() proto.Window {
	tenThousandths := func(seconds float64) int { return min(10_000, int(10_000*seconds/w.weight+0.5)) }
	return proto.Window{
		Instance:  w.latest.Instance,
		Start:     w.start,
		Samples:   min(w.samples, proto.WindowLength/1000),
		Usage:     w.usage.fold(w.weight),
		Demand:    w.demand.fold(w.weight),
		Granted:   w.latest.Granted,
		Scheduled: w.latest.Scheduled,
		Throttled: min(w.throttled.Milliseconds(), proto.WindowLength),
		Pressure: proto.Pressure{
			CPU: tenThousandths(w.pressure.CPU), Memory: tenThousandths(w.pressure.Memory), IO: tenThousandths(w.pressure.IO),
		},
		OOMKills: int(w.oomKills),
		Debt:     w.latest.Debt,
		Faults:   w.faults,
	}
}

// Take returns the windows that had ended by at, sorted by start and instance, and forgets them. Take(timeline.Forever) returns all
// there is, for the end; nothing is added after it.
func (f *Folder) Take(at timeline.Time) []proto.Window {
	for instance, w := range f.open {
		if w.start.Add(window) <= at {
			f.end(w)
			delete(f.open, instance)
		}
	}
	if at < timeline.Forever {
		f.taken = max(f.taken, at)
	}
	out := f.closed
	f.closed = nil
	slices.SortFunc(out, func(a, b proto.Window) int {
		return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(a.Instance, b.Instance))
	})
	return out
}
