package signals

import (
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
		values, faults, err := read(strings.NewReader(example), []proto.Signal{c.signal})
		switch {
		case err != nil:
			t.Errorf("%+v: %v", c.signal, err)
		case c.fault != "" && (faults[0] == nil || !strings.Contains(faults[0].Error(), c.fault)):
			t.Errorf("%+v: %v, want %q", c.signal, faults[0], c.fault)
		case c.fault == "" && (faults[0] != nil || values[0] != c.want):
			t.Errorf("%+v: %v %v, want %v", c.signal, values[0], faults[0], c.want)
		}
	}
}

func TestWhatIsWrongWithOneSignalIsNoFaultOfOthers(t *testing.T) {
	values, faults, err := read(strings.NewReader(example), []proto.Signal{signal("many"), signal("sessions"), signal("sessions")})
	if err != nil || faults[0] == nil || faults[1] != nil || values[1] != 41.5 || values[2] != 41.5 {
		t.Error(values, faults, err)
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
		if _, _, err := read(page, []proto.Signal{signal("sessions")}); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	series := strings.Repeat("sessions 1\n", 1<<20/11+2)
	_, faults, err := read(strings.NewReader(series+"other 7\n"), []proto.Signal{signal("sessions"), signal("other")})
	if err != nil || faults[0] == nil || !strings.Contains(faults[0].Error(), "more than 1 MiB of series") || faults[1] != nil {
		t.Errorf("%v %v", faults, err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(example)
	f.Add("sessions{a=\"b\"} 1\nsessions 2")
	f.Add("sessions\x00{ 1\n\n# TYPE sessions histogram\nsessions 3")
	f.Fuzz(func(t *testing.T, page string) {
		values, faults, err := read(strings.NewReader(page), []proto.Signal{signal("sessions"), signal("other", proto.Label{Key: "a", Value: "b"})})
		if err != nil {
			return
		}
		for i, v := range values {
			if faults[i] == nil && (math.IsNaN(v) || v < 0 || v > proto.MostSignal) {
				t.Errorf("a signal is %v", v)
			}
		}
	})
}
