package lesson

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/proto"
)

// moved is a history of five-minute means around a move at start plus half a step: CPU by the time of day, so many times as much after it, and packets that follow.
func moved(by, load float64) forecast.History {
	var h forecast.History
	const step = 5 * time.Minute
	from, n := start.Add(-48*time.Hour), 3*288
	for _, k := range []resource.Kind{resource.CPU, resource.NetTx, resource.WriteIOPS} {
		h[k] = forecast.Series{Start: from, Step: step, Values: make([]float64, n)}
	}
	for i := range n {
		day := 1 + .5*math.Sin(2*math.Pi*float64(i)/288)
		cpu, net := 400*day, 1e6*day
		if i >= 576 {
			cpu, net = cpu*by*load, net*load
		}
		h[resource.CPU].Values[i], h[resource.NetTx].Values[i] = cpu, net
	}
	return h
}

func TestARatioIsThatOfTheDayAfterToTheDayBeforeWithTheLoadAlike(t *testing.T) {
	at := start
	quiet := func(h forecast.History) forecast.History {
		h[resource.NetTx] = forecast.Series{}
		return h
	}
	for _, c := range []struct {
		name string
		h    forecast.History
		want float64
		ok   bool
	}{
		{"a slower CPU", moved(1.6, 1), 1.6, true},
		{"a little more load", moved(1.6, 1.1), 1.76, true},
		{"half as much load again", moved(1.6, 1.5), 0, false},
		{"half the load", moved(1.6, .5), 0, false},
		{"nothing tells of the load, and days are alike", quiet(moved(.7, 1)), .7, true},
		{"nothing tells of the load, and days differ", quiet(func() forecast.History {
			h := moved(.7, 1)
			for i := range 288 {
				h[resource.CPU].Values[i] *= 2
			}
			return h
		}()), 0, false},
		{"half of the day is missing", func() forecast.History {
			h := moved(1.6, 1)
			for i := 600; i < 760; i++ {
				h[resource.CPU].Values[i] = math.NaN()
			}
			return h
		}(), 0, false},
		{"a day that is not over", func() forecast.History { h := moved(1.6, 1); return h.Before(start.Add(12 * time.Hour)) }(), 0, false},
		{"next to nothing", func() forecast.History {
			h := moved(1.6, 1)
			for i := range h[resource.CPU].Values {
				h[resource.CPU].Values[i] /= 100
			}
			return h
		}(), 0, false},
		{"beyond what a CPU does", moved(9, 1), 0, false},
		{"nothing", forecast.History{}, 0, false},
	} {
		got, ok := Ratio(c.h, at)
		if ok != c.ok || ok && math.Abs(got-c.want) > .02 {
			t.Errorf("%s: %.3f, %v, want %.3f, %v", c.name, got, ok, c.want, c.ok)
		}
	}
}

// begun is the hour after a start in windows of ten seconds: CPU of 200, and of so much more at first that fades.
func begun(extra, decay float64) (means, highest forecast.History) {
	const step = 10 * time.Second
	for k := range means {
		means[k] = forecast.Series{Start: start, Step: step, Values: make([]float64, 366)}
		highest[k] = forecast.Series{Start: start, Step: step, Values: make([]float64, 366)}
	}
	for i := range 366 {
		from := float64(i) * 10
		// The mean over the window of what fades, and its highest second.
		mean := extra * decay / 10 * (math.Exp(-from/decay) - math.Exp(-(from+10)/decay))
		means[resource.CPU].Values[i] = 200 + mean
		highest[resource.CPU].Values[i] = 230 + extra*math.Exp(-from/decay)
		means[resource.Memory].Values[i], highest[resource.Memory].Values[i] = 64<<20+float64(i)*1000, 64<<20+float64(i)*1000 // which fills
	}
	return means, highest
}

func TestAStartIsWhatComesOnTopOfTheHourAfterIt(t *testing.T) {
	for _, c := range []struct{ extra, decay float64 }{{300, 20}, {1500, 60}, {120, 5}} {
		means, highest := begun(c.extra, c.decay)
		got, ok := StartOf(means, highest, start)
		if !ok || math.Abs(float64(got.Extra[resource.CPU])-c.extra) > 2 || math.Abs(float64(got.Decay)/1000-c.decay) > .05*c.decay+.1 {
			t.Errorf("%+v: %v, fading in %d ms, %v", c, got.Extra, got.Decay, ok)
		}
		if got.Extra[resource.Memory] != 0 {
			t.Errorf("memory that fills is taken for start-up demand: %v", got.Extra)
		}
	}
	means, highest := begun(30, 20)
	if got, ok := StartOf(means, highest, start); !ok || got != (proto.Start{}) {
		t.Errorf("a start that takes nothing: %+v, %v", got, ok)
	}
	if got, ok := StartOf(means.Before(start.Add(20*time.Minute)), highest.Before(start.Add(20*time.Minute)), start); ok {
		t.Errorf("from twenty minutes: %+v", got)
	}
}

func started(app string, on proto.CPU, cpu, decay int64) Entry {
	return Entry{proto.Lesson{From: on, To: on, Start: &proto.Start{Extra: resource.Vector{resource.CPU: cpu}, Decay: decay}}, app, proto.Standard}
}

func TestStartUpDemandIsLearnedAndWhatWasStatedIsAPrior(t *testing.T) {
	two := Book{started("web", slow, 400, 30_000), started("web", slow, 200, 10_000), started("db", slow, 9000, 1000)}
	for _, c := range []struct {
		name  string
		book  Book
		app   proto.Application
		cpu   int64
		decay time.Duration
		says  string
	}{
		{"nothing is known", nil, proto.Application{Name: "web"}, 0, saidDecay, ""},
		{"it was stated", nil, proto.Application{Name: "web", Startup: resource.Vector{resource.CPU: 300}, Decay: 60}, 300, time.Minute, "fading within about 180 s"},
		{"learned from one", two[:1], proto.Application{Name: "web"}, 400, 30 * time.Second, "by one earlier start"},
		{"learned from two", two, proto.Application{Name: "web"}, 400, 20 * time.Second, "by 2 earlier starts"},
		{"stated and learned", two, proto.Application{Name: "web", Startup: resource.Vector{resource.CPU: 100}, Decay: 50}, 200, 40 * time.Second, "by 2 earlier starts and what was stated"},
		{"of no application", two, proto.Application{}, 0, saidDecay, ""},
	} {
		got := c.book.Start(c.app, slow)
		if got.Extra != (resource.Vector{resource.CPU: c.cpu}) || got.Decay.Round(time.Second) != c.decay {
			t.Errorf("%s: %v fading in %s, want %d in %s", c.name, got.Extra, got.Decay, c.cpu, c.decay)
		}
		if said := got.Says(c.app.Name); (said == "") != (c.says == "") || c.says != "" && !strings.Contains(said, c.says) {
			t.Errorf("%s: says %q", c.name, said)
		}
	}
	if got := two.Start(proto.Application{Name: "web"}, fast); got.Extra[resource.CPU] != 200 {
		t.Errorf("on a CPU that is twice as fast: %v", got.Extra)
	}
}
