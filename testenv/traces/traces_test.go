package traces

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/glidepath/glidepath/coordinator/history/historycsv"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

const monday timeline.Time = 1_767_571_200_000 // 2026-01-05T00:00:00Z

func mean(v []float64) float64 {
	sum, n := 0.0, 0.0
	for _, x := range v {
		if !math.IsNaN(x) {
			sum, n = sum+x, n+1
		}
	}
	return sum / n
}

func TestSameSpecMakesTheSameBytesAndAnotherSeedOthers(t *testing.T) {
	csv := func(seed uint64) string {
		trace, err := Generate(Spec{Seed: seed, Start: monday, Shapes: Redis(), Pattern: Bursty, Missing: .1})
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := trace.WriteCSV(&out); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	if first, again := csv(1), csv(1); first != again {
		t.Error("one seed made two traces")
	}
	if csv(1) == csv(2) {
		t.Error("two seeds made one trace")
	}
}

func TestRedisTraceHasItsBaseAndItsCampaign(t *testing.T) {
	start := monday.Add(9*day + 10*time.Hour)
	trace, err := Generate(Spec{Seed: 7, Start: monday, Shapes: Redis(), Campaigns: []Campaign{{Start: start, Length: 2 * time.Hour}}})
	if err != nil {
		t.Fatal(err)
	}
	cpu, memory := trace.History[resource.CPU].Values, trace.History[resource.Memory].Values
	if len(cpu) != 14*288 {
		t.Fatalf("%d steps, want two weeks", len(cpu))
	}
	if m := mean(cpu[:9*288]); m < 90 || m > 110 {
		t.Errorf("base CPU %.0f, want about 100 milli", m)
	}
	if m := mean(memory[:9*288]) / (1 << 20); m < 57 || m > 63 {
		t.Errorf("base memory %.1f MiB, want about 60", m)
	}
	at := int(start.Sub(monday) / (5 * time.Minute))
	if rise := mean(cpu[at+6:at+18]) - mean(cpu[at-12:at]); rise < 500 || rise > 700 {
		t.Errorf("the campaign adds %.0f milli, want about 600", rise)
	}
	if len(trace.Events) != 1 || trace.Events[0].Kind != CampaignKind || trace.Events[0].Span.Start != start {
		t.Errorf("events %+v", trace.Events)
	}
}

func TestPatternsHaveWhatTheyAreCalledFor(t *testing.T) {
	var shapes [resource.Kinds]Shape
	shapes[resource.CPU] = Shape{Base: 100, Swing: .5, Noise: .02}
	values := func(p Pattern) []float64 {
		trace, err := Generate(Spec{Seed: 3, Start: monday, Pattern: p, Shapes: shapes})
		if err != nil {
			t.Fatal(err)
		}
		return trace.History[resource.CPU].Values
	}
	hour := func(v []float64, d, h int) float64 { return mean(v[d*288+h*12 : d*288+h*12+12]) }
	if v := values(Daily); hour(v, 1, 14) < hour(v, 1, 3)+60 || hour(v, 5, 14) > hour(v, 4, 14)-10 {
		t.Error("daily: no day, or no weekend")
	}
	if v := values(Shift); mean(v[11*288:13*288]) < 1.5*mean(v[4*288:6*288]) {
		t.Error("shift: no shift")
	}
	if v := values(Batch); hour(v, 3, 2) < 3*hour(v, 3, 12) {
		t.Error("batch: no job at night")
	}
	if v := values(Idle); mean(v) > 12 {
		t.Error("idle: not idle")
	}
	if v := values(Trend); mean(v[7*288:]) < 1.3*mean(v[:7*288]) {
		t.Error("trend: no growth")
	}
	v, top := values(Bursty), 0.0
	for _, x := range v {
		top = max(top, x)
	}
	if top < 2*mean(v) {
		t.Error("bursty: no burst")
	}
}

func TestMissingStepsAreMissingInTheFile(t *testing.T) {
	trace, err := Generate(Spec{Seed: 1, Start: monday, Shapes: Redis(), Missing: .2})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := trace.WriteCSV(&out); err != nil {
		t.Fatal(err)
	}
	r, err := historycsv.NewReader(&out)
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for {
		if _, err := r.Read(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		rows++
	}
	if share := 1 - float64(rows)/(14*288); share < .1 || share > .3 {
		t.Errorf("%.2f of the steps are missing, want about .2", share)
	}
}

func TestGenerateRefusesWhatItCannotMake(t *testing.T) {
	for name, spec := range map[string]Spec{
		"pattern":  {Pattern: "quatsch"},
		"step":     {Step: time.Millisecond},
		"length":   {Length: -day},
		"missing":  {Missing: 1},
		"shape":    {Shapes: [resource.Kinds]Shape{{Base: math.NaN()}}},
		"campaign": {Campaigns: []Campaign{{Start: monday}}},
	} {
		if _, err := Generate(spec); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

func TestLoadBitbrainsReadsUnitsAndGaps(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vm1.csv.gz")
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := io.WriteString(z, "t,cpu_cores,cpu_usage_mhz,mem_usage_kb,disk_read_kbs,disk_write_kbs,net_rx_kbs,net_tx_kbs\n"+
		"1375315200,1,696.39,2048,0,6.5,,2\n1375315800,1,700,2048,0,6,1,2\n"); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, packed.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	h, err := LoadBitbrains(path)
	if err != nil {
		t.Fatal(err)
	}
	cpu := h[resource.CPU]
	if len(cpu.Values) != 3 || cpu.Values[0] != 696.39 || !math.IsNaN(cpu.Values[1]) || cpu.Values[2] != 700 {
		t.Errorf("cpu %+v", cpu)
	}
	if h[resource.Memory].Values[0] != 2<<20 || h[resource.NetTx].Values[0] != 16<<10 || !math.IsNaN(h[resource.NetRx].Values[0]) {
		t.Errorf("memory, network: %v %v %v", h[resource.Memory].Values, h[resource.NetTx].Values, h[resource.NetRx].Values)
	}
}
