package metricdoc

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// heard is a test whose errors are kept, and fail nothing.
type heard struct {
	testing.TB
	errors []string
}

func (h *heard) Errorf(format string, args ...any) {
	h.errors = append(h.errors, fmt.Sprintf(format, args...))
}

func TestNoMetricHasALabelThatGrowsWithTheFleetUnlessItIsAskedFor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "metrics.md")
	if err := os.WriteFile(path, []byte("<!-- all -->\n<!-- end of all -->\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		labels, more []string
		says         string // "": nothing
	}{
		{labels: []string{"result", "resource"}},
		{labels: []string{"result", "name"}, more: []string{"name"}},
		{labels: []string{"result", "name"}, says: "glidepath_things_total has the label `name`"},
		{labels: []string{"host"}, more: []string{"name"}, says: "glidepath_things_total has the label `host`"},
		{labels: []string{"instance"}, more: []string{"instance"}, says: "given by Prometheus"},
	} {
		things := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "glidepath_things_total", Help: "Things."}, c.labels)
		things.WithLabelValues(c.labels...).Inc()
		registry := prometheus.NewRegistry()
		registry.MustRegister(things)
		h := &heard{TB: t}
		Check(h, path, "all", "glidepath_", registry, true, c.more...)
		if said := strings.Join(h.errors, "\n"); c.says == "" && said != "" || !strings.Contains(said, c.says) {
			t.Errorf("%v, allowed %v: it says %q, not %q", c.labels, c.more, said, c.says)
		}
	}
}
