package collect

import "testing"

func everyDisk(uint32, uint32) bool { return true }

func TestParsersReadWhatKernelsPrint(t *testing.T) {
	var c counters
	parseCPUStat([]byte("usage_usec 18446744073709551615\nnr_periods 12\nnr_throttled 3\nthrottled_usec 45"), &c)
	if c.cpu != 1<<64-1 || c.periods != 12 || c.throttledPeriods != 3 || c.throttled != 45 {
		t.Errorf("cpu.stat: %+v", c)
	}
	if got := parsePressure([]byte("some avg10=1.00 avg60=0.00 avg300=0.00 total=1234\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=99\n")); got != 1234 {
		t.Errorf("pressure: %d", got)
	}
	if s := parseMemoryStat([]byte("inactive_file 1\nactive_file 2\nslab_reclaimable 4\nworkingset_activate 9\n")); s != (cacheStat{7, 9}) {
		t.Errorf("memory.stat of an older kernel: %+v", s)
	}
	if s := parseMemoryStat([]byte("workingset_activate 9\nworkingset_activate_file 5\n")); s.refaults != 5 {
		t.Errorf("memory.stat: %+v", s)
	}
	only := func(major, minor uint32) bool { return major == 8 && minor == 16 }
	parseIOStat([]byte("8:0 rbytes=1 wbytes=1 rios=1 wios=1 dbytes=0 dios=0\n8:16 rbytes=10 wbytes=20 rios=3 wios=4 dbytes=0 dios=0\n259:1\n"), &c, only)
	if c.readBytes != 10 || c.writeBytes != 20 || c.readOps != 3 || c.writeOps != 4 {
		t.Errorf("io.stat: %+v", c)
	}
}

func FuzzParsersTakeAnything(f *testing.F) {
	f.Add([]byte("8:0 rbytes=1 wbytes= rios\n\n:\n1:"))
	f.Add([]byte("some total=\nusage_usec \n x 1"))
	f.Fuzz(func(_ *testing.T, b []byte) {
		var c counters
		parseCPUStat(b, &c)
		parseMemoryEvents(b, &c)
		parseMemoryStat(b)
		parsePressure(b)
		parseIOStat(b, &c, everyDisk)
	})
}
