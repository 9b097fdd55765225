package signals

import (
	"fmt"
	"hash/maphash"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/glidepath/glidepath/proto"
)

const example = `# HELP http_requests_total The total number of HTTP requests.
# TYPE http_requests_total counter
http_requests_total{method="post",code="200"} 1027 1395066363000
http_requests_total{method="post",code="400"}    3 1395066363000
  http_requests_total { method = "get" , code = "200" , path="a\nb\"}" } 10
http_requests_total_more 99
# A broken line of another metric is nobody's fault.
broken{a="b" 12
sessions 41.5
temperature -3
nothing NaN
huge 1e300
many{n="1"} 1
many{n="2"} twelve
`

func signal(metric string, labels ...proto.Label) proto.Signal {
	return proto.Signal{Name: "s", URL: "http://127.0.0.1:1/", Metric: metric, Kind: proto.SignalGauge, Labels: labels}
}

// on reads a page.
func on(page io.Reader, of ...proto.Signal) ([]found, []error, error) {
	return read(page, of, maphash.MakeSeed())
}

func TestASignalIsTheSumOfTheSeriesThatMatch(t *testing.T) {
	for _, c := range []struct {
		signal proto.Signal
		want   float64
		fault  string
	}{
		{signal("http_requests_total"), 1040, ""},
		{signal("http_requests_total", proto.Label{Key: "code", Value: "200"}), 1037, ""},
		{signal("http_requests_total", proto.Label{Key: "code", Value: "200"}, proto.Label{Key: "method", Value: "get"}), 10, ""},
		{signal("http_requests_total", proto.Label{Key: "path", Value: ""}), 1030, ""},
		{signal("http_requests_total", proto.Label{Key: "code", Value: "500"}), 0, "none of the 3 series of metric http_requests_total has the labels"},
		{signal("sessions"), 41.5, ""},
		{signal("http_requests"), 0, "there is no metric http_requests"},
		{signal("temperature"), 0, "metric temperature is -3: it has to be from 0"},
		{signal("nothing"), 0, "metric nothing is NaN"},
		{signal("huge"), 0, "it has to be from 0 to 2^53"},
		{signal("many"), 0, "metric many can't be read"},
		{signal("broken"), 0, "metric broken can't be read"},
	} {
		got, faults, err := on(strings.NewReader(example), c.signal)
		switch {
		case err != nil:
			t.Errorf("%+v: %v", c.signal, err)
		case c.fault != "" && (faults[0] == nil || !strings.Contains(faults[0].Error(), c.fault)):
			t.Errorf("%+v: %v, want %q", c.signal, faults[0], c.fault)
		case c.fault == "" && (faults[0] != nil || got[0].total != c.want):
			t.Errorf("%+v: %v %v, want %v", c.signal, got[0].total, faults[0], c.want)
		}
	}
}

func TestWhatIsWrongWithOneSignalIsNoFaultOfOthers(t *testing.T) {
	got, faults, err := on(strings.NewReader(example), signal("many"), signal("sessions"), signal("sessions"))
	if err != nil || faults[0] == nil || faults[1] != nil || got[1].total != 41.5 || got[2].total != 41.5 {
		t.Error(got, faults, err)
	}
}

func TestALineIsReadAsPrometheusReadsIt(t *testing.T) {
	for _, c := range []struct {
		page   string
		signal proto.Signal
		want   float64
		fault  string
	}{
		{"s 1e3\r\ns_total 2\n", signal("s"), 1000, ""},
		{"s\t4", signal("s"), 4, ""},
		{"s{} 3\n", signal("s"), 3, ""},
		{`s{a="1",} 3`, signal("s", proto.Label{Key: "a", Value: "1"}), 3, ""},
		{`s{a="x\\y\"z\n="} 3`, signal("s", proto.Label{Key: "a", Value: "x\\y\"z\n="}), 3, ""},
		{"s 1 1700000000000\n", signal("s"), 1, ""},
		{"s 1\ns{a=\"1\"} 2\ns{b=\"1\"} 4\n", signal("s", proto.Label{Key: "a", Value: "1"}), 2, ""},
		{"# TYPE s histogram\ns_bucket{le=\"1\"} 2\ns_bucket{le=\"+Inf\"} 7\ns_sum 9\ns_count 7\n", signal("s_bucket", proto.Label{Key: "le", Value: "+Inf"}), 7, ""},
		{"# TYPE s summary\ns{quantile=\"0.5\"} 2\ns_sum 9\ns_count 7\n", signal("s_count"), 7, ""},
		{"s{a=\"1\",b=\"2\"} 3\ns{b=\"2\",a=\"1\"} 4\ns{c=\"\",a=\"1\",b=\"2\"} 5\n", signal("s"), 3, ""}, // the first of the same
		{"s{a=\"1\",b=\"2\"} 3\ns{a=\"12\",b=\"\"} 4\ns{a1=\"2\"} 5\n", signal("s"), 12, ""},
		{"s 1\ns{a=\"1\"} -3\n", signal("s"), 0, "metric s is -2: it has to be from 0"},
		{"s +Inf\n", signal("s"), 0, "metric s is +Inf"},
		{"s 5\ns{a=\"1\"} NaN\n", signal("s"), 0, "metric s is NaN"},
		{"s 1_000\n", signal("s"), 0, "metric s can't be read"},
		{"s 1 1700000000.5\n", signal("s"), 0, "expected integer as timestamp"},
		{"s 1 # {trace_id=\"x\"} 1\n", signal("s"), 0, "expected integer as timestamp"},
		{`s{a="\x"} 1`, signal("s"), 0, "invalid escape sequence"},
		{`s{a="1",a="2"} 1`, signal("s"), 0, "duplicate label names"},
		{"s{a=\"\xff\"} 1", signal("s"), 0, "invalid label value"},
		{"s \n", signal("s"), 0, "metric s can't be read"},
		{"s\n{\"s\"} 1\n", signal("s"), 0, "there is no metric s"},
		{"", signal("s"), 0, "there is no metric s"},
	} {
		got, faults, err := on(strings.NewReader(c.page), c.signal)
		switch {
		case err != nil:
			t.Errorf("%q: %v", c.page, err)
		case c.fault != "" && (faults[0] == nil || !strings.Contains(faults[0].Error(), c.fault)):
			t.Errorf("%q: %v, want %q", c.page, faults[0], c.fault)
		case c.fault == "" && (faults[0] != nil || got[0].total != c.want):
			t.Errorf("%q: %v %v, want %v", c.page, got[0].total, faults[0], c.want)
		}
	}
}

// repeated is a page without end.
type repeated string

func (r repeated) Read(b []byte) (int, error) {
	for n := 0; n < len(b); {
		n += copy(b[n:], r)
	}
	return len(b), nil
}

func TestAPageIsReadAsFarAsItIsBoundedTo(t *testing.T) {
	for want, page := range map[string]repeated{
		"the page has more than 16 MiB":           "other 1\n",
		"the page has a line of more than 64 KiB": "sessions",
	} {
		if _, _, err := on(page, signal("sessions")); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	for n, long := range map[int]bool{maxLine / 2: false, maxLine: true} {
		_, faults, err := on(strings.NewReader("other "+strings.Repeat("1", n)+"\nsessions 1\n"), signal("sessions"))
		if long != (err != nil) || !long && faults[0] != nil {
			t.Errorf("with a line of %d bytes: %v %v", n, faults, err)
		}
	}
	series := strings.Repeat("sessions 1\n", 1<<20/11+2)
	_, faults, err := on(strings.NewReader(series+"other 7\n"), signal("sessions"), signal("other"))
	if err != nil || faults[0] == nil || !strings.Contains(faults[0].Error(), "more than 1 MiB of series") || faults[1] != nil {
		t.Errorf("%v %v", faults, err)
	}
}

func TestSeriesAndLabelsAreBounded(t *testing.T) {
	var page strings.Builder
	for i := range maxSeries + 1 {
		fmt.Fprintf(&page, "sessions{n=\"%d\"} 1\n", i)
	}
	got, faults, err := on(strings.NewReader(page.String()), signal("sessions"), signal("sessions", proto.Label{Key: "n", Value: "7"}))
	if err != nil || faults[0] == nil || faults[0].Error() != "more than 10000 series match: name labels that fewer have" || len(got[0].series) > maxSeries || faults[1] != nil || got[1].total != 1 {
		t.Errorf("%v %v, %d series kept", faults, err, len(got[0].series))
	}
	labels := func(n int) string {
		page.Reset()
		page.WriteString("sessions{")
		for i := range n - 1 {
			fmt.Fprintf(&page, "l%d=\"\",", i)
		}
		return page.String() + `l="` + strings.Repeat(`=\"`, 2*maxLabels) + "\"} 1\nother 2\n"
	}
	for n, fault := range map[int]bool{maxLabels: false, maxLabels + 1: true, 6000: true} {
		got, faults, err := on(strings.NewReader(labels(n)), signal("sessions"), signal("other"))
		if err != nil || fault != (faults[0] != nil) || fault && !strings.Contains(faults[0].Error(), "a series of more than 64 labels") || faults[1] != nil || got[1].total != 2 {
			t.Errorf("with %d labels: %v %v", n, faults, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(example)
	f.Add("sessions{a=\"b\"} 1\nsessions 2")
	f.Add("sessions\x00{ 1\n\n# TYPE sessions histogram\nsessions 3")
	f.Fuzz(func(t *testing.T, page string) {
		got, faults, err := on(strings.NewReader(page), signal("sessions"), signal("other", proto.Label{Key: "a", Value: "b"}))
		if err != nil {
			return
		}
		for i, f := range got {
			if faults[i] == nil && (math.IsNaN(f.total) || f.total < 0 || f.total > proto.MostSignal) {
				t.Errorf("a signal is %v", f.total)
			}
		}
	})
}
