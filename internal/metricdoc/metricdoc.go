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

// Check checks that the table of a section in the file lists what g gathers under the prefix, which must have every metric
// with every label, and that promtool would have nothing to say. With update it writes the table.
func Check(t testing.TB, path, section, prefix string, g prometheus.Gatherer, update bool) {
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
				if label := "`" + l.GetName() + "`"; !slices.Contains(labels, label) {
					labels = append(labels, label)
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
