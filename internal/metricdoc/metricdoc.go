// Package metricdoc holds docs/metrics.md to the metrics that the programs serve, and those to Prometheus' conventions, in tests.
package metricdoc

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
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
	compare(t, path, section, b.String(), update)
}

// compare checks that a section of a file is as it should be, or writes it.
func compare(t testing.TB, path, section, want string, update bool) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := fmt.Sprintf("<!-- %s -->\n", section), fmt.Sprintf("<!-- end of %s -->\n", section)
	before, rest, found := strings.Cut(string(b), begin)
	got, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("%s has no lines %q and %q, between which the table stands", path, strings.TrimSpace(begin), strings.TrimSpace(end))
	}
	if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n")); diff == "" {
		return
	} else if !update {
		t.Fatalf("%s does not list what is served: run this test with -update (-served +listed):\n%s", path, diff)
	}
	if err := os.WriteFile(path, []byte(before+begin+want+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}
