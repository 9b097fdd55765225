package seriescsv

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// matrix is what Prometheus answers to a range query with the given series.
func matrix(series ...string) string {
	return `{"status":"success","data":{"resultType":"matrix","result":[` + strings.Join(series, ",") + `],"stats":{"x":[1,{}]}},"warnings":["slow"]}`
}

func TestTheAnswerToARangeQueryIsReadAsColumns(t *testing.T) {
	text := matrix(
		`{"metric":{"__name__":"up","job":"web","instance":"a\"b"},"values":[[1767225600,"1"],[1767225900.25,"2.5"],[1767226200,"NaN"]]}`,
		`{"metric":{},"values":[[1767225900.250,"4e1"],[1767226500,"0"]]}`,
	)
	got, err := parse(text, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{`up{instance="a\"b",job="web"}`, "{}"}, got.Columns); diff != "" {
		t.Error(diff)
	}
	want := [][]float64{{1, 2.5, missing, missing}, {missing, 40, missing, 0}}
	for i, s := range got.Series {
		if s.Start != midnight || s.Step.Minutes() != 5 {
			t.Errorf("begins %s, by %s", s.Start, s.Step)
		}
		if diff := cmp.Diff(want[i], s.Values, cmpopts.EquateNaNs()); diff != "" {
			t.Error(diff)
		}
	}
	got, err = parse(text, Options{TimeColumn: "t", ValueColumns: []string{"{}"}})
	if err != nil || len(got.Columns) != 1 || got.Columns[0] != "{}" || len(got.Series[0].Values) != 2 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestAnAnswerThatIsNoSeriesOverTimeIsRefusedInWords(t *testing.T) {
	one := `{"metric":{"a":"b"},"values":[[0,"1"]]}`
	for name, c := range map[string]struct {
		text string
		opts Options
		says string
	}{
		"an error":          {`{"status":"error","errorType":"bad_data","error":"parse error"}`, Options{}, "answered with an error: parse error"},
		"a vector":          {`{"status":"success","data":{"resultType":"vector","result":[]}}`, Options{}, "is a vector"},
		"another JSON":      {`{"a":[1,2]}`, Options{}, "holds no result"},
		"cut short":         {matrix(one)[:80], Options{}, "cut short"},
		"no JSON":           {`{"status":`, Options{}, "cut short"},
		"rubbish":           {`{status}`, Options{}, "not what Prometheus answers"},
		"nothing":           {matrix(), Options{}, "no samples"},
		"no samples":        {matrix(`{"metric":{},"values":[]}`), Options{}, "no samples"},
		"a histogram":       {matrix(`{"metric":{},"histograms":[[0,{}]]}`), Options{}, "native histogram"},
		"negative":          {matrix(`{"metric":{"a":"b"},"values":[[0,"-1"]]}`), Options{}, `column {a="b"}: at 1970-01-01`},
		"infinite":          {matrix(`{"metric":{},"values":[[0,"+Inf"]]}`), Options{}, "not finite"},
		"a number":          {matrix(`{"metric":{},"values":[[0,1]]}`), Options{}, "not what Prometheus answers"},
		"no time":           {matrix(`{"metric":{},"values":[["x","1"]]}`), Options{}, "is not a time"},
		"the same twice":    {matrix(one, one), Options{}, "twice"},
		"another is wanted": {matrix(one), Options{ValueColumns: []string{"up"}}, "there is no series up"},
		"too many":          {matrix(many(maxValues + 2)...), Options{}, "more than 64 series"},
		"far too far apart": {matrix(`{"metric":{},"values":[[0,"1"],[1,"1"],[2,"1"],[7000000000,"1"]]}`), Options{}, "more than"},
		"others don't count": {
			matrix(one, `{"metric":{"n":"1"},"values":[[0,"-1"]]}`, `{"metric":{"n":"2"},"histograms":[[0,{}]]}`, `{"metric":{"n":"3"},"values":[[0,"+Inf"]]}`), Options{ValueColumns: []string{`{a="b"}`}}, "",
		},
		"one of many is not": {matrix(many(maxValues + 2)...), Options{ValueColumns: []string{`{n="3"}`}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parse(c.text, c.opts)
			var fault *Error
			switch {
			case c.says == "":
				if err != nil || len(got.Series) != 1 {
					t.Errorf("%v", err)
				}
			case !errors.As(err, &fault) || !strings.Contains(err.Error(), c.says) || fault.Remedy == "":
				t.Errorf("%v, which does not say %q", err, c.says)
			}
		})
	}
}

func many(n int) []string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf(`{"metric":{"n":"%d"},"values":[[0,"1"]]}`, i))
	}
	return all
}

func TestAnAnswerWithMoreSamplesThanAreReadIsRefused(t *testing.T) {
	text := matrix(`{"metric":{},"values":[[0,"1"],[1,"1"],[2,"1"],[3,"1"]]}`)
	for cells, says := range map[int]string{8: "", 7: "more than 7 times and values", 3: "more than 3 samples"} {
		_, err := read(strings.NewReader(text), "load.json", Options{}, cells)
		if says == "" && err != nil || says != "" && (err == nil || !strings.Contains(err.Error(), says)) {
			t.Errorf("with %d cells: %v", cells, err)
		}
	}
}
