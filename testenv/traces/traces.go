// Package traces makes demand histories for tests and demonstrations, and loads published ones for research.
package traces

import (
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/coordinator/history/historycsv"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

// Pattern is how the demand for one resource runs.
type Pattern string

// The patterns.
const (
	Daily  Pattern = "daily"  // higher by day than by night, lower at weekends
	Bursty Pattern = "bursty" // mostly at its base, with bursts that come at random and fade
	Shift  Pattern = "shift"  // daily, and at ShiftAt of the span to ShiftBy times the level
	Batch  Pattern = "batch"  // a job at the same hour each night
	Idle   Pattern = "idle"   // a tenth of the base, no season
	Trend  Pattern = "trend"  // daily, growing steadily to twice the level
)

// Patterns returns all of them.
func Patterns() []Pattern { return []Pattern{Daily, Bursty, Shift, Batch, Idle, Trend} }

// Shape is the demand for one resource, in the resource's unit.
type Shape struct {
	Base     float64 // mean level outside events
	Swing    float64 // how far the pattern moves it, as a share of Base
	Noise    float64 // standard deviation of what is left, as a share of Base
	Campaign float64 // what a campaign of size 1 adds at its height
}

// Campaign is a past or coming event that moves demand.
type Campaign struct {
	Kind   string // empty means CampaignKind
	Start  timeline.Time
	Length time.Duration
	Size   float64 // 0 means 1
}

// CampaignKind is the kind of the events of a trace that names none.
const CampaignKind = "campaign"

// Spec says what trace to make. The same Spec makes the same trace.
type Spec struct {
	Seed      uint64
	Start     timeline.Time
	Step      time.Duration // 0 means 5 minutes
	Length    time.Duration // 0 means 14 days
	Location  *time.Location
	Pattern   Pattern // "" means Daily
	Shapes    [resource.Kinds]Shape
	Campaigns []Campaign
	Missing   float64 // share of steps that are left out, in gaps of about an hour
	ShiftAt   float64 // of the span, for Shift; 0 means .7
	ShiftBy   float64 // 0 means 1.8
}

// Trace is a demand history with the events that are in it.
type Trace struct {
	History forecast.History // step means
	Events  []forecast.Event
}

const (
	day = 24 * time.Hour
	// busiestHour and batchHour are local times of day.
	busiestHour, batchHour = 14.0, 2.0
)

// Redis returns the shapes of a Redis under light load: base demand of a tenth of a core and 60 MiB, to which a
// campaign adds six tenths of a core and 90 MiB.
func Redis() [resource.Kinds]Shape {
	var s [resource.Kinds]Shape
	s[resource.CPU] = Shape{Base: 100, Swing: .4, Noise: .08, Campaign: 600}
	s[resource.Memory] = Shape{Base: 60 << 20, Swing: .05, Noise: .01, Campaign: 90 << 20}
	s[resource.ReadIOPS] = Shape{Base: 2, Swing: .3, Noise: .3, Campaign: 5}
	s[resource.WriteIOPS] = Shape{Base: 40, Swing: .4, Noise: .1, Campaign: 240}
	s[resource.ReadBytes] = Shape{Base: 8 << 10, Swing: .3, Noise: .3, Campaign: 64 << 10}
	s[resource.WriteBytes] = Shape{Base: 160 << 10, Swing: .4, Noise: .1, Campaign: 1 << 20}
	s[resource.NetTx] = Shape{Base: 400e3, Swing: .4, Noise: .1, Campaign: 3e6}
	s[resource.NetRx] = Shape{Base: 500e3, Swing: .4, Noise: .1, Campaign: 4e6}
	return s
}

// Generate makes the trace of spec. It returns an error that names what in spec cannot be made.
func Generate(spec Spec) (Trace, error) {
	spec = spec.withDefaults()
	if err := spec.check(); err != nil {
		return Trace{}, err
	}
	var out Trace
	for _, c := range spec.Campaigns {
		out.Events = append(out.Events, forecast.Event{
			Kind: c.Kind, Size: c.Size, Span: timeline.Span{Start: c.Start, End: c.Start.Add(c.Length)},
		})
	}
	n := int(spec.Length / spec.Step)
	shared := rand.New(rand.NewPCG(spec.Seed, 0)) // what moves all resources at once
	load, gaps := spec.load(n, shared), spec.gaps(n, shared)
	for k, shape := range spec.Shapes {
		own := rand.New(rand.NewPCG(spec.Seed, uint64(k)+1))
		s := forecast.Series{Start: spec.Start, Step: spec.Step, Values: make([]float64, n)}
		noise := 0.0
		for i := range s.Values {
			// Noise that remembers a little, as demand does.
			noise = .6*noise + .8*own.NormFloat64()
			v := shape.Base*load[i].level*(1+shape.Swing*load[i].swing+shape.Noise*noise) + shape.Campaign*spec.campaign(spec.time(i))
			s.Values[i] = max(0, v)
			if gaps[i] {
				s.Values[i] = math.NaN()
			}
		}
		out.History[k] = s
	}
	return out, nil
}

func (s Spec) withDefaults() Spec {
	if s.Step == 0 {
		s.Step = 5 * time.Minute
	}
	if s.Length == 0 {
		s.Length = 14 * day
	}
	if s.Location == nil {
		s.Location = time.UTC
	}
	if s.Pattern == "" {
		s.Pattern = Daily
	}
	if s.ShiftAt == 0 {
		s.ShiftAt = .7
	}
	if s.ShiftBy == 0 {
		s.ShiftBy = 1.8
	}
	campaigns := make([]Campaign, len(s.Campaigns))
	for i, c := range s.Campaigns {
		if c.Kind == "" {
			c.Kind = CampaignKind
		}
		if c.Size == 0 {
			c.Size = 1
		}
		campaigns[i] = c
	}
	s.Campaigns = campaigns
	return s
}

const maxSteps = 1 << 24

func (s Spec) check() error {
	switch {
	case s.Step < time.Second || s.Length < s.Step || s.Length/s.Step > maxSteps:
		return fmt.Errorf("trace of %s in steps of %s: use steps of at least 1s and 1 to %d of them", s.Length, s.Step, maxSteps)
	case !(s.Missing >= 0 && s.Missing < 1):
		return fmt.Errorf("trace with a missing share of %v: use 0 to less than 1", s.Missing)
	}
	known := false
	for _, p := range Patterns() {
		known = known || p == s.Pattern
	}
	if !known {
		return fmt.Errorf("trace pattern %q: use one of %v", s.Pattern, Patterns())
	}
	for k, shape := range s.Shapes {
		if !(shape.Base >= 0 && shape.Noise >= 0 && shape.Base+math.Abs(shape.Swing)+math.Abs(shape.Campaign) < float64(resource.Unlimited)) {
			return fmt.Errorf("trace shape of %s: %+v is not finite and positive", resource.Kind(k), shape)
		}
	}
	for _, c := range s.Campaigns {
		if c.Length <= 0 || !(c.Size > 0 && c.Size < 1000) {
			return fmt.Errorf("campaign at %s: length %s and size %v must be positive", c.Start, c.Length, c.Size)
		}
	}
	return nil
}

func (s Spec) time(i int) timeline.Time { return s.Start.Add(time.Duration(i) * s.Step) }

// WriteCSV writes the history as `glidepath history import` reads it.
func (t Trace) WriteCSV(w io.Writer) error {
	out := historycsv.NewWriter(w)
	first := t.History[0]
	for i := range first.Values {
		row := historycsv.Row{Time: first.Start.Add(time.Duration(i) * first.Step)}
		missing := 0
		for k := range row.Values {
			row.Values[k] = t.History[k].Values[i]
			if math.IsNaN(row.Values[k]) {
				missing++
			}
		}
		if missing == resource.Kinds {
			continue
		}
		if err := out.Write(row); err != nil {
			return err
		}
	}
	return out.Flush()
}

// WriteEvents writes the events as `glidepath event add --file` reads them.
func (t Trace) WriteEvents(w io.Writer) error {
	rows := [][]string{{"kind", "start", "end", "size"}}
	for _, e := range t.Events {
		rows = append(rows, []string{
			e.Kind, e.Span.Start.Std().Format(time.RFC3339), e.Span.End.Std().Format(time.RFC3339), strconv.FormatFloat(e.Size, 'g', -1, 64),
		})
	}
	return csv.NewWriter(w).WriteAll(rows)
}
