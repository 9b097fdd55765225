package forecast

import (
	"math"
	"testing"
	"time"

	"github.com/glidepath/glidepath/internal/resource"
)

func TestErrorsAreInDeviationsOfTheForecastAndOfWhatIsComplete(t *testing.T) {
	f := said()
	f.Values[resource.CPU][2][4] = 100.5 // as good as certain
	d := NewDrift(f, monday)
	h := cpu([]float64{300, 100, math.NaN(), 0, 500, 500})
	got := d.Errors(h)
	want := []float64{1.645, 0, math.NaN(), -1.645 / 2, math.NaN()}
	if len(got) != len(want) {
		t.Fatalf("%d steps, want %d: the last may rise yet", len(got), len(want))
	}
	for i, e := range got {
		if z := e.Of[resource.CPU]; math.IsNaN(z) != math.IsNaN(want[i]) || math.Abs(z-want[i]) > 1e-9 || !math.IsNaN(e.Of[resource.NetTx]) || e.At != after(time.Duration(i)*f.Step) {
			t.Errorf("step %d: %+v, want %v", i, e, want[i])
		}
	}
	d.See(h)
	if again := d.Errors(h); len(again) != 0 {
		t.Errorf("%+v is told again", again)
	}
}
