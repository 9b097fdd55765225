package traces

import (
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"time"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

// bitbrainsColumns maps the columns of a prepared Bitbrains trace to resources and their units.
func bitbrainsColumns() map[string]struct {
	kind   resource.Kind
	factor float64
} {
	type column = struct {
		kind   resource.Kind
		factor float64
	}
	return map[string]column{
		"cpu_usage_mhz":  {resource.CPU, 1}, // thousandths of a 1 GHz core
		"mem_usage_kb":   {resource.Memory, 1 << 10},
		"disk_read_kbs":  {resource.ReadBytes, 1 << 10},
		"disk_write_kbs": {resource.WriteBytes, 1 << 10},
		"net_tx_kbs":     {resource.NetTx, 8 << 10},
		"net_rx_kbs":     {resource.NetRx, 8 << 10},
	}
}

// LoadBitbrains reads one virtual machine of the GWA-T-12 Bitbrains traces (Shen, van Beek, Iosup: Statistical
// Characterization of Business-Critical Workloads Hosted in Cloud Datacenters, CCGrid 2015) from a gzipped CSV on
// 5-minute steps with the columns t (Unix seconds), cpu_usage_mhz, mem_usage_kb, disk_read_kbs, disk_write_kbs,
// net_tx_kbs, net_rx_kbs; others are skipped, blanks are missing. IOPS are not in these traces.
func LoadBitbrains(path string) (forecast.History, error) {
	var h forecast.History
	f, err := os.Open(path)
	if err != nil {
		return h, fmt.Errorf("open trace: %w", err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return h, fmt.Errorf("unpack trace %s: %w", path, err)
	}
	r := csv.NewReader(z)
	r.ReuseRecord = true
	header, err := r.Read()
	if err != nil {
		return h, fmt.Errorf("read trace %s: %w", path, err)
	}
	names := append([]string(nil), header...)
	columns, step := bitbrainsColumns(), 5*time.Minute
	for line := 2; ; line++ {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return h, nil
		}
		if err != nil {
			return h, fmt.Errorf("read trace %s: %w", path, err)
		}
		seconds, err := strconv.ParseInt(row[0], 10, 64)
		if err != nil {
			return h, fmt.Errorf("trace %s line %d: time: %w", path, line, err)
		}
		t := timeline.Time(seconds * 1000)
		for i, name := range names {
			c, ok := columns[name]
			if !ok {
				continue
			}
			v := math.NaN()
			if row[i] != "" {
				if v, err = strconv.ParseFloat(row[i], 64); err != nil {
					return h, fmt.Errorf("trace %s line %d: %s: %w", path, line, name, err)
				}
			}
			s := &h[c.kind]
			if s.Step == 0 {
				s.Start, s.Step = t, step
			}
			at := int(t.Sub(s.Start) / step)
			if at < len(s.Values) || at > len(s.Values)+100*288 {
				return h, fmt.Errorf("trace %s line %d: time %s is out of order or too far on", path, line, t)
			}
			for len(s.Values) < at {
				s.Values = append(s.Values, math.NaN())
			}
			s.Values = append(s.Values, v*c.factor)
		}
	}
}
