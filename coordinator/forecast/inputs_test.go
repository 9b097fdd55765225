package forecast

import (
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

// input is all that Train gets.
type input struct {
	history History
	events  []Event
	opts    Options
}

// everything is an input in which each field of each part matters to something: three weeks and three hours of demand that follows a signal, with events, over a
// change of daylight saving time.
func everything(t *testing.T) input {
	const hours = 21*24 + 3
	requests := crowd(22, 1)
	in := input{history: cpu(servedLater(requests, 2)[:hours*perDay/24])}
	start := after(70 * day) // the clocks change on the thirteenth day
	in.history[resource.CPU].Start = start
	in.opts = Options{
		Step: step, Quantiles: []float64{.5, .95}, Location: mustLoad(t, "Europe/Berlin"), Window: 20 * day,
		Maximum: resource.Uniform(4000), Prior: resource.Uniform(100), Cap: resource.Uniform(3000),
		Signals: []Signal{{"requests", Series{Start: start, Step: step, Values: requests[:hours*perDay/24]}}},
	}
	for _, d := range []int{3, 8, 14, 19, 21} {
		at := start.Add(time.Duration(d)*day + 11*time.Hour)
		in.events = append(in.events, Event{Kind: "sale", Span: timeline.Span{Start: at, End: at.Add(2 * time.Hour)}, Size: 1, Stated: resource.Vector{resource.CPU: 50}})
	}
	return in
}

func (in input) end() timeline.Time { return in.history[resource.CPU].End() }

// changedSeries returns what may be changed of a series.
func changedSeries(of func(in *input) *Series) map[string]func(in *input) {
	return map[string]func(in *input){
		"Start": func(in *input) { of(in).Start = of(in).Start.Add(-step) },
		"Step": func(in *input) {
			of(in).Step = 2 * step
			of(in).Start = in.end().Add(-time.Duration(len(of(in).Values)) * 2 * step)
		},
		"Values": func(in *input) {
			s := of(in)
			s.Values = slices.Clone(s.Values)
			s.Values[10*perDay]++
		},
		"Fold": func(in *input) { of(in).Fold = Max },
	}
}

// TestEachFieldThatTrainReadsIsOneThatATrainingAgainHeeds goes over the fields of what Train gets. Who adds one says here how it is changed, and whether a model that was
// trained with the old value has anything that a new one may take over.
func TestEachFieldThatTrainReadsIsOneThatATrainingAgainHeeds(t *testing.T) {
	const anew, kept = true, false // what was learned of the past of CPU
	type change struct {
		anew bool
		to   func(in *input)
	}
	changes := map[reflect.Type]map[string]change{
		reflect.TypeFor[Options](): {
			"Step":           {anew, func(in *input) { in.opts.Step = 10 * time.Minute }},
			"Quantiles":      {anew, func(in *input) { in.opts.Quantiles = []float64{.5, .9} }},
			"Location":       {anew, func(in *input) { in.opts.Location = time.UTC }},
			"Window":         {anew, func(in *input) { in.opts.Window = 15 * day }},
			"LookAt":         {anew, func(in *input) { in.opts.LookAt = 2 * time.Hour }},
			"Once":           {anew, func(in *input) { in.opts.Once = true }},
			"Maximum":        {anew, func(in *input) { in.opts.Maximum[resource.CPU] = 3500 }},
			"Prior":          {kept, func(in *input) { in.opts.Prior[resource.CPU] = 200 }},
			"PriorQuantiles": {kept, func(in *input) { in.opts.PriorQuantiles[resource.CPU] = []float64{1, 2} }},
			"PriorFrom":      {kept, func(in *input) { in.opts.PriorFrom[resource.Memory] = "a guess" }},
			"Cap":            {kept, func(in *input) { in.opts.Cap[resource.CPU] = 120 }},
			"Signals":        {anew, func(in *input) { in.opts.Signals = nil }},
			"Members":        {anew, func(in *input) { in.opts.Members = BaselineMembers() }},
		},
		reflect.TypeFor[Event](): {
			"Kind":   {kept, func(in *input) { in.events[1].Kind = "another" }}, // its span is left out all the same
			"Span":   {anew, func(in *input) { in.events[1].Span.End = in.events[1].Span.End.Add(time.Hour) }},
			"Size":   {kept, func(in *input) { in.events[4].Size = 3 }},
			"Stated": {kept, func(in *input) { in.events[4].Stated[resource.CPU] = 400 }},
			"Not":    {anew, func(in *input) { in.events[1].Not[resource.CPU] = true }},
		},
		reflect.TypeFor[Signal](): {
			"Name":   {kept, func(in *input) { in.opts.Signals[0].Name = "sessions" }}, // its values say the same
			"Series": {anew, func(in *input) { in.opts.Signals[0].Series.Values = in.opts.Signals[0].Series.Values[10*perDay:] }},
		},
	}
	for name, to := range changedSeries(func(in *input) *Series { return &in.opts.Signals[0].Series }) {
		changes[reflect.TypeFor[Signal]()]["Series."+name] = change{name != "Fold", to} // which is always the mean
	}
	demand := reflect.TypeFor[Series]()
	changes[demand] = map[string]change{}
	for name, to := range changedSeries(func(in *input) *Series { return &in.history[resource.CPU] }) {
		changes[demand][name] = change{name != "Fold", to} // steps of the model's length are not folded
	}
	for of, all := range changes {
		for i := range of.NumField() {
			if _, ok := all[of.Field(i).Name]; !ok {
				t.Errorf("%s.%s is new: does what is learned of the past depend on it? Say so here, and have pastOf take it into account if it does", of.Name(), of.Field(i).Name)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(all)) {
			c := all[name]
			t.Run(of.Name()+"."+name, func(t *testing.T) {
				in := everything(t)
				before, err := Train(in.history, in.events, in.opts)
				if err != nil {
					t.Fatal(err)
				}
				was := saidOf(t, before, in.end())
				in = everything(t)
				c.to(&in)
				again, err := Retrain(before, in.history, in.events, in.opts)
				if err != nil {
					t.Fatal(err)
				}
				scratch, err := Train(in.history, in.events, in.opts)
				if err != nil {
					t.Fatal(err)
				}
				want := saidOf(t, scratch, in.end())
				if !reflect.DeepEqual(saidOf(t, again, in.end()), want) {
					t.Error("trained again it says something else than from scratch")
				}
				if got := again.kinds[resource.CPU].anew; got != c.anew {
					t.Errorf("learned anew: %v", got)
				}
				if c.anew && name != "Maximum" && reflect.DeepEqual(was, want) { // which decides only whether it is idle
					t.Error("the change changes nothing: this shows nothing")
				}
			})
		}
	}
}

// TestTheDigestIsOfAllThatAPastIs goes over the fields of what learn sees.
func TestTheDigestIsOfAllThatAPastIs(t *testing.T) {
	made := func() past {
		in := everything(t)
		g := newGrid(in.history[resource.CPU], step, in.opts.learnedFrom(in.history[resource.CPU], step), in.opts.Location, 3*perDay)
		g.y[100] = math.NaN()
		g.fill()
		in.opts.Members = []string{"theta"}
		p, _ := pastOf(g, in.opts.Signals, in.events, 4000, in.opts)
		return p
	}
	const worked = "worked out of the others"
	grids := func(of func(p *past) *grid) map[string]func(p *past) {
		return map[string]func(p *past){
			"start": func(p *past) { of(p).start++ },
			"step":  func(p *past) { of(p).step *= 2 },
			"y":     func(p *past) { of(p).y = slices.Clone(of(p).y); of(p).y[len(of(p).y)-1]++ },
			"x":     func(p *past) { of(p).x = slices.Clone(of(p).x); of(p).x[0]++ }, // the others follow
			"wall":  func(p *past) { of(p).wall = slices.Clone(of(p).wall); of(p).wall[len(of(p).wall)-1]++ },
			"means": func(p *past) { of(p).means = of(p).copyOf() },
			"day":   nil, "hour": nil, "from": nil, "meanDay": nil, "shape": nil, "rolling": nil, "cycleLength": nil, "cycleKnown": nil, "lately": nil, // they are worked out of the others
		}
	}
	changes := map[string]func(p *past){
		"grid": func(p *past) {
			p.grid = &grid{start: p.grid.start, step: p.grid.step, y: p.grid.y[1:], x: p.grid.x[1:]}
		},
		"signals":   func(p *past) { p.signals = append(p.signals, nil) },
		"quantiles": func(p *past) { p.quantiles = []float64{.5, .96} },
		"only":      func(p *past) { p.only = []string{"ridge"} },
		"maximum":   func(p *past) { p.maximum++ },
	}
	every := maps.Clone(changes)
	every["grid.means, others"] = func(p *past) { p.grid.means = p.grid.copyOf(); p.grid.means.y[5]++ }
	for name, of := range map[string]func(p *past) *grid{"grid": func(p *past) *grid { return p.grid }, "signal": func(p *past) *grid { return p.signals[0] }} {
		all := grids(of)
		for i := range reflect.TypeFor[grid]().NumField() {
			field := reflect.TypeFor[grid]().Field(i).Name
			if _, ok := all[field]; !ok {
				t.Errorf("grid.%s is new: put it into the digest, unless it is %s", field, worked)
			}
		}
		for field, to := range all {
			if to != nil {
				every[name+"."+field] = to
			}
		}
	}
	for i := range reflect.TypeFor[past]().NumField() {
		if field := reflect.TypeFor[past]().Field(i).Name; changes[field] == nil {
			t.Errorf("past.%s is new: put it into the digest", field)
		}
	}
	seen := map[string]string{fmt.Sprint(made().digest()): "no change"}
	if again := fmt.Sprint(made().digest()); seen[again] == "" {
		t.Fatal("the same past has two digests")
	}
	for _, name := range slices.Sorted(maps.Keys(every)) {
		p := made()
		every[name](&p)
		d := fmt.Sprint(p.digest())
		if other, ok := seen[d]; ok {
			t.Errorf("%s and %s have the same digest", name, other)
		}
		seen[d] = name
	}
}
