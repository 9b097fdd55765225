package patterns

import (
	"flag"
	"testing"

	"github.com/glidepath/glidepath/coordinator/forecast/pattern"
	"github.com/glidepath/glidepath/internal/docfile"
)

var update = flag.Bool("update", false, "write what was trained anew")

func TestWhatPatternsAreToldByIsMadeFromGeneratedSeries(t *testing.T) {
	const path = "../../coordinator/forecast/pattern/trained.go"
	got, err := Source(Train())
	if err != nil {
		t.Fatal(err)
	}
	docfile.File(t, path, string(got), *update)
}

// The bars on series that were not trained on.
const (
	leastRight     = .9  // of all
	leastLongRight = .95 // of those of at least two days
	leastSure      = .65 // are told with a confidence of .9
	leastSureRight = .97 // of these
)

func TestSeriesThatWereHeldOutAreToldApartAndConfidenceIsWhatItSays(t *testing.T) {
	type count struct{ n, right, said float64 }
	var all, long, sure count
	var bands [10]count
	add := func(c *count, right bool, said float64) {
		c.n++
		c.said += said
		if right {
			c.right++
		}
	}
	missed := map[[2]pattern.Pattern]int{}
	for _, s := range Samples(Held, 100) {
		want := pattern.All()[s.Label]
		got, said := s.Features.Classify(pattern.Trained())
		right := got == want
		if !right {
			missed[[2]pattern.Pattern{want, got}]++
		}
		add(&all, right, said)
		add(&bands[min(int(said*10), 9)], right, said)
		if s.Days >= 2 {
			add(&long, right, said)
		}
		if said >= pattern.Sure {
			add(&sure, right, said)
		}
	}
	t.Logf("right: %.3f of all, %.3f of those of two days and more, %.3f of those that are sure, which are %.3f", all.right/all.n,
		long.right/long.n, sure.right/sure.n, sure.n/all.n)
	t.Logf("taken for others: %v", missed)
	if all.right < leastRight*all.n || long.right < leastLongRight*long.n {
		t.Errorf("%.3f are right, and %.3f of those of two days and more: want %v and %v", all.right/all.n, long.right/long.n, leastRight, leastLongRight)
	}
	if sure.n < leastSure*all.n || sure.right < leastSureRight*sure.n {
		t.Errorf("%.3f are told with confidence, and of them %.3f are right: want %v and %v", sure.n/all.n, sure.right/sure.n, leastSure, leastSureRight)
	}
	for i, b := range bands {
		if b.n < 30 {
			continue
		}
		t.Logf("confidence about .%d: %.3f of %.0f are right, %.3f is said", i, b.right/b.n, b.n, b.said/b.n)
		if d := b.right/b.n - b.said/b.n; d < -.12 {
			t.Errorf("of %.0f series with a confidence of %.2f only %.2f are right", b.n, b.said/b.n, b.right/b.n)
		}
	}
}
