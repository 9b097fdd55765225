// Package metricdoc holds docs/metrics.md, and what is made of its metrics, to those that the programs serve, and them to Prometheus' conventions, in tests.
package metricdoc

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/glidepath/glidepath/internal/docfile"
)

// bounded are the labels that metrics may have: what their values are is a list of the programs' own, as long in a fleet of a thousand hosts as in one of
// three. incarnation and version have one value at a time.
var bounded = []string{
	"by", "code", "command", "direction", "driver", "figure", "hook", "incarnation", "mode", "operation", "outcome", "phase", "resource", "result", "route", "state",
	"to", "version",
}

// Check checks that the table of a section in the file lists what g gathers under the prefix, which must have every metric
// with every label, and that promtool would have nothing to say. With update it writes the table. No metric may have a label whose values grow with
// the fleet but those in more: they are for sections of what is there only where it is asked for.
func Check(t testing.TB, path, section, prefix string, g prometheus.Gatherer, update bool, more ...string) {
	t.Helper()
	problems, err := testutil.GatherAndLint(g)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("| metric | type | labels | |\n|---|---|---|---|\n")
	for _, f := range families { // sorted by name
		if !strings.HasPrefix(f.GetName(), prefix) {
			continue
		}
		var labels []string
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				label := "`" + l.GetName() + "`"
				if slices.Contains(labels, label) {
					continue
				}
				labels = append(labels, label)
				if !slices.Contains(bounded, l.GetName()) && !slices.Contains(more, l.GetName()) {
					t.Errorf("%s has the label %s: where its values are few in a fleet of any size, name it in bounded; else leave it out, or have the metric only with metrics_instances", f.GetName(), label)
				}
			}
		}
		if slices.Contains(labels, "`instance`") || slices.Contains(labels, "`job`") {
			t.Errorf("%s has labels %s: instance and job are given by Prometheus to what it scrapes", f.GetName(), labels)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.GetName(), strings.ToLower(f.GetType().String()), strings.Join(labels, ", "), f.GetHelp())
	}
	docfile.Section(t, path, section, b.String(), update)
}

// Promtool checks that `promtool check metrics` has nothing to say about what g gathers. Where it is not installed the test is skipped,
// but not in CI.
func Promtool(t testing.TB, g prometheus.Gatherer) {
	t.Helper()
	out := httptest.NewRecorder()
	promhttp.HandlerFor(g, promhttp.HandlerOpts{}).ServeHTTP(out, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	if out.Code != http.StatusOK {
		t.Fatal(out.Body)
	}
	Run(t, out.Body, "check", "metrics")
}

// Run runs promtool with args, which must succeed. Where it is not installed the test is skipped, but not in CI.
func Run(t testing.TB, stdin io.Reader, args ...string) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("%v: run internal/tools/ensure.sh packages", err)
		}
		t.Skipf("%v: it comes with Debian's package prometheus", err)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Stdin = stdin
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v:\n%s", strings.Join(args, " "), err, out)
	}
}

// Listed returns the metrics in all tables of the file, by name, with their types.
func Listed(t testing.TB, path string) map[string]string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for line := range strings.Lines(string(b)) {
		if cells := strings.Split(line, "|"); len(cells) > 3 && strings.HasPrefix(cells[1], " `glidepath_") {
			out[strings.Trim(cells[1], " `")] = strings.TrimSpace(cells[2])
		}
	}
	if len(out) == 0 {
		t.Fatalf("%s lists no metrics", path)
	}
	return out
}
