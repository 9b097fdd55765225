package historycsv

import (
	"bytes"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

func readAll(text string) ([]Row, error) {
	r, err := NewReader(strings.NewReader(text))
	if err != nil {
		return nil, err
	}
	var rows []Row
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return rows, nil
		}
		if err != nil {
			return rows, err
		}
		rows = append(rows, row)
	}
}

func TestReaderReadsColumnsInAnyOrderAndBlanksAsMissing(t *testing.T) {
	rows, err := readAll("# made by hand\nmemory_bytes, time ,cpu_cores\r\n1024,2026-01-31T14:05:00+01:00,0.25\n\n,1769864700.5,\n")
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 2 {
		t.Fatalf("%d rows, want 2", len(rows))
	}
	a, b := rows[0], rows[1]
	if a.Time.String() != "2026-01-31T13:05:00.000Z" || a.Values[resource.CPU] != 250 || a.Values[resource.Memory] != 1024 {
		t.Errorf("first row %+v", a)
	}
	if b.Time != 1769864700500 {
		t.Errorf("second time %s", b.Time)
	}
	for k, v := range b.Values {
		if !math.IsNaN(v) {
			t.Errorf("%s is %v, want missing", resource.Kind(k), v)
		}
	}
}

func TestReaderRefusesWithLineColumnAndReason(t *testing.T) {
	const head = "time,cpu_cores\n"
	for _, c := range []struct{ name, text, want string }{
		{"empty", "", "line 1: the file is empty"},
		{"unknown column", "time,cpu_core\n", `line 1: unknown column "cpu_core": did you mean cpu_cores?`},
		{"far-off column", "time,quatsch\n", `unknown column "quatsch": use time, cpu_cores`},
		{"column twice", "time,cpu_cores,cpu_cores\n", "column cpu_cores: it is there twice"},
		{"no time", "cpu_cores\n", "no column time"},
		{"no resource", "time\n", "names no resource"},
		{"field count", head + "2026-01-31T13:05:00Z,1,2\n", "line 2: it has 3 fields, the header has 2"},
		{"time", head + "yesterday,1\n", `line 2, column time: "yesterday" is not a time`},
		{"time missing", head + ",1\n", "column time: empty"},
		{"far time", head + "0001-01-01T00:00:00Z,1\n", "not between the years"},
		{"huge seconds", head + "1e300,1\n", "is not a time"},
		{"negative", head + "2026-01-31T13:05:00Z,-1\n", `line 2, column cpu_cores: "-1" is negative`},
		{"not a number", head + "2026-01-31T13:05:00Z,NaN\n", `"NaN" is not an amount`},
		{"infinite", head + "2026-01-31T13:05:00Z,+Inf\n", "is not a finite amount"},
		{"out of range", head + "2026-01-31T13:05:00Z,1e999\n", "is not a finite amount"},
		{"too large", head + "2026-01-31T13:05:00Z,1e30\n", "larger than any amount"},
		{"unit", head + "2026-01-31T13:05:00Z,500m\n", "is not a number"},
		{"hexadecimal", head + "2026-01-31T13:05:00Z,0x10\n", "is not a number"},
		{"order", head + "2026-01-31T13:05:00Z,1\n2026-01-31T13:00:00Z,1\n", "line 3, column time: 2026-01-31T13:00:00.000Z is before the line above it"},
		{"twice", head + "2026-01-31T13:05:00Z,1\n2026-01-31T13:05:00Z,1\n", "line 3, column time: 2026-01-31T13:05:00.000Z is there twice"},
		{"long line", head + "2026-01-31T13:05:00Z," + strings.Repeat("1", MaxLine) + "\n", "line 2: it is longer than 4096 bytes"},
	} {
		_, err := readAll(c.text)
		var line *LineError
		if !errors.As(err, &line) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want a LineError with %q", c.name, err, c.want)
		}
	}
}

func TestReaderStaysAtItsFirstError(t *testing.T) {
	r, err := NewReader(strings.NewReader("time,cpu_cores\nx,1\n2026-01-31T13:05:00Z,1\n"))
	if err != nil {
		t.Fatal(err)
	}
	_, first := r.Read()
	_, again := r.Read()
	if first == nil || !errors.Is(again, first) {
		t.Errorf("first %v, then %v", first, again)
	}
}

func TestWriterWritesAHeaderEvenWithoutRows(t *testing.T) {
	var out bytes.Buffer
	if err := NewWriter(&out).Flush(); err != nil {
		t.Fatal(err)
	}
	const want = "time,cpu_cores,memory_bytes,read_iops,write_iops,read_bytes_s,write_bytes_s,net_tx_bits_s,net_rx_bits_s\n"
	if out.String() != want {
		t.Errorf("wrote %q", out.String())
	}
}

func TestWriterRefusesWhatReaderWould(t *testing.T) {
	good := Row{Time: 1769864700000}
	for name, row := range map[string]Row{
		"not later": good,
		"negative":  {Time: good.Time + 1, Values: [resource.Kinds]float64{-1}},
		"infinite":  {Time: good.Time + 1, Values: [resource.Kinds]float64{math.Inf(1)}},
		"year":      {Time: timeline.Forever},
	} {
		w := NewWriter(io.Discard)
		if err := w.Write(good); err != nil {
			t.Fatal(err)
		}
		if err := w.Write(row); err == nil {
			t.Errorf("%s was written", name)
		}
	}
}

func TestWhatWriterWritesReaderReads(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var out bytes.Buffer
		w := NewWriter(&out)
		var rows []Row
		at := timeline.Time(rapid.Int64Range(0, 4e12).Draw(t, "start"))
		for range rapid.IntRange(0, 20).Draw(t, "rows") {
			row := Row{Time: at}
			for k := range row.Values {
				row.Values[k] = float64(rapid.Int64Range(0, 1<<40).Draw(t, "amount"))
				if rapid.Bool().Draw(t, "missing") {
					row.Values[k] = math.NaN()
				}
			}
			if err := w.Write(row); err != nil {
				t.Fatal(err)
			}
			rows = append(rows, row)
			at += timeline.Time(rapid.Int64Range(1, 1e7).Draw(t, "step"))
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		got, err := readAll(out.String())
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != len(rows) {
			t.Fatalf("%d rows, wrote %d", len(got), len(rows))
		}
		for i := range rows {
			if got[i].Time != rows[i].Time {
				t.Fatalf("row %d at %s, wrote %s", i, got[i].Time, rows[i].Time)
			}
			for k, v := range rows[i].Values {
				if g := got[i].Values[k]; math.Abs(g-v) > 1e-6*v && !(math.IsNaN(g) && math.IsNaN(v)) {
					t.Fatalf("row %d %s: %v, wrote %v", i, resource.Kind(k), g, v)
				}
			}
		}
	})
}

func FuzzReader(f *testing.F) {
	f.Add("time,cpu_cores\n2026-01-31T13:05:00Z,1\n")
	f.Add("\ufefftime,net_rx_bits_s\n1,\n2,1e3\n")
	f.Fuzz(func(t *testing.T, text string) {
		rows, err := readAll(text)
		last := timeline.Time(math.MinInt64)
		for _, row := range rows {
			if row.Time <= last {
				t.Fatal("times do not ascend")
			}
			last = row.Time
			for _, v := range row.Values {
				if v < 0 || v > maxAmount {
					t.Fatalf("amount %v", v)
				}
			}
		}
		var line *LineError
		if err != nil && !errors.As(err, &line) {
			t.Fatalf("error without a line: %v", err)
		}
	})
}
