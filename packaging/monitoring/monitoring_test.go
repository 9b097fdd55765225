// Package monitoring_test holds the alerts and the dashboard to the metrics that there are, and to the runbook.
package monitoring_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"

	"github.com/glidepath/glidepath/internal/metricdoc"
)

const (
	alerts    = "alerts.yaml"
	dashboard = "grafana/glidepath.json"
	docs      = "../../docs"
	runbook   = "https://github.com/glidepath/glidepath/blob/main/docs/operations.md#"
)

// rule is one alert.
type rule struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	Annotations map[string]string `yaml:"annotations"`
}

func rules(t *testing.T) []rule {
	t.Helper()
	text, err := os.ReadFile(alerts)
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Rules []rule `yaml:"rules"`
		} `yaml:"groups"`
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	var out []rule
	for _, g := range file.Groups {
		out = append(out, g.Rules...)
	}
	if len(out) == 0 {
		t.Fatal("no alerts")
	}
	return out
}

// queries returns the dashboard's queries, by the panels' titles.
func queries(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(dashboard)
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels []struct {
			Title   string `json:"title"`
			Type    string `json:"type"`
			Targets []struct {
				Expr string `json:"expr"`
			} `json:"targets"`
		} `json:"panels"`
	}
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	out := map[string][]string{}
	for _, p := range board.Panels {
		if p.Type == "row" {
			continue
		}
		if len(p.Targets) == 0 || out[p.Title] != nil {
			t.Errorf("panel %q shows nothing, or is there twice", p.Title)
		}
		for _, target := range p.Targets {
			// Grafana fills these in.
			out[p.Title] = append(out[p.Title], strings.ReplaceAll(target.Expr, "$__rate_interval", "5m"))
		}
	}
	if len(out) == 0 {
		t.Fatal("no panels")
	}
	return out
}

// used returns the metrics that a query asks for, each with its selector.
func used(t *testing.T, where, query string) map[string]string {
	t.Helper()
	expr, err := parser.ParseExpr(query)
	if err != nil {
		t.Errorf("%s: %s: %v", where, query, err)
		return nil
	}
	out := map[string]string{}
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		if s, ok := n.(*parser.VectorSelector); ok {
			out[s.Name] = s.String()
			for _, m := range s.LabelMatchers {
				if m.Name == labels.MetricName && m.Type != labels.MatchEqual {
					t.Errorf("%s: %s: name the metric", where, query)
				}
			}
		}
		return nil
	})
	if len(out) == 0 {
		t.Errorf("%s: %s asks for no metric", where, query)
	}
	return out
}

// known checks that a series is one of a metric that the programs serve: docs/metrics.md is held to them by their own tests.
func known(listed map[string]string, series string) bool {
	if kind, ok := listed[series]; ok {
		return kind != "histogram"
	}
	for _, part := range []string{"_bucket", "_sum", "_count"} {
		if name, ok := strings.CutSuffix(series, part); ok && listed[name] == "histogram" {
			return true
		}
	}
	return false
}

func TestAlertsAndDashboardUseMetricsThatThereAre(t *testing.T) {
	listed := metricdoc.Listed(t, filepath.Join(docs, "metrics.md"))
	check := func(where, query string) {
		for series, selector := range used(t, where, query) {
			if !known(listed, series) {
				t.Errorf("%s: nobody serves %s", where, selector)
			}
		}
	}
	for _, r := range rules(t) {
		check(alerts+": "+r.Alert, r.Expr)
	}
	for panel, all := range queries(t) {
		for _, q := range all {
			check(dashboard+": "+panel, q)
		}
	}
	if known(listed, "glidepath_no_such_thing") || known(listed, "glidepath_proposal_duration_seconds") {
		t.Error("everything is known")
	}
}

// What an operator looks for first must be on the dashboard.
func TestTheDashboardShowsEveryMetricOfTheFleet(t *testing.T) {
	var all strings.Builder
	for _, qs := range queries(t) {
		all.WriteString(strings.Join(qs, "\n") + "\n")
	}
	for name := range metricdoc.Listed(t, filepath.Join(docs, "metrics.md")) {
		switch {
		case strings.HasSuffix(name, "build_info"), strings.HasPrefix(name, "glidepath_documents_"), strings.HasSuffix(name, "_document_revision"),
			name == "glidepath_home_hosts", strings.HasSuffix(name, "_instances"), strings.HasSuffix(name, "_instance_memory_debt_bytes"):
			continue // shown by others, or of use only when something is looked for
		}
		if !strings.Contains(all.String(), name) {
			t.Errorf("%s is on no panel", name)
		}
	}
}

func TestEveryAlertSaysWhatToDoInTheRunbook(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(docs, "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	anchors, notInAnchor := map[string]bool{}, regexp.MustCompile(`[^a-z0-9 _-]`)
	for line := range strings.Lines(string(text)) {
		if heading, ok := strings.CutPrefix(line, "#"); ok {
			heading = strings.ToLower(strings.TrimSpace(strings.TrimLeft(heading, "#")))
			anchors[strings.ReplaceAll(notInAnchor.ReplaceAllString(heading, ""), " ", "-")] = true
		}
	}
	for _, r := range rules(t) {
		anchor, ok := strings.CutPrefix(r.Annotations["runbook_url"], runbook)
		if !ok || !anchors[anchor] {
			t.Errorf("%s: docs/operations.md has no section %q", r.Alert, r.Annotations["runbook_url"])
		}
		if r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
			t.Errorf("%s does not say what is wrong", r.Alert)
		}
	}
}

// An alert that was never seen to fire may never do so, and one that was never seen quiet may always.
func TestEveryAlertIsSeenToFireAndToBeQuiet(t *testing.T) {
	text, err := os.ReadFile("alerts_test.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Tests []struct {
			Alerts []struct {
				Name string `yaml:"alertname"`
				Want []any  `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		} `yaml:"tests"`
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	fires, quiet := map[string]bool{}, map[string]bool{}
	for _, test := range file.Tests {
		for _, a := range test.Alerts {
			fires[a.Name] = fires[a.Name] || len(a.Want) > 0
			quiet[a.Name] = quiet[a.Name] || len(a.Want) == 0
		}
	}
	for _, r := range rules(t) {
		if !fires[r.Alert] {
			t.Errorf("%s is not seen to fire in alerts_test.yaml", r.Alert)
		}
		if !quiet[r.Alert] {
			t.Errorf("%s is not seen to be quiet in alerts_test.yaml", r.Alert)
		}
	}
}

func TestAlertsFireWhenTheyShould(t *testing.T) {
	metricdoc.Run(t, nil, "check", "rules", alerts)
	metricdoc.Run(t, nil, "test", "rules", "alerts_test.yaml")
}
