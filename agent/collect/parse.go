package collect

import "bytes"

// The parsers take what the kernel prints, allocate nothing, and read a number that is not there as 0: a kernel that
// does not count something has nothing to add.

// entries walks the lines "key value" of a flat-keyed file.
type entries struct{ rest []byte }

// next returns the next line that has a number, and false at the end. The key is valid until the file is read again.
func (e *entries) next() (key []byte, value uint64, ok bool) {
	for len(e.rest) > 0 {
		line := e.rest
		if i := bytes.IndexByte(line, '\n'); i >= 0 {
			line, e.rest = line[:i], line[i+1:]
		} else {
			e.rest = nil
		}
		if i := bytes.IndexByte(line, ' '); i > 0 {
			if v, n := number(line[i+1:]); n > 0 {
				return line[:i], v, true
			}
		}
	}
	return nil, 0, false
}

// number returns the decimal number at the start of b and how many digits it has. It wraps where the kernel's would.
func number(b []byte) (v uint64, digits int) {
	for digits < len(b) && '0' <= b[digits] && b[digits] <= '9' {
		v = v*10 + uint64(b[digits]-'0')
		digits++
	}
	return v, digits
}

func parseCPUStat(b []byte, c *counters) {
	for e := (entries{b}); ; {
		key, v, ok := e.next()
		if !ok {
			return
		}
		switch string(key) {
		case "usage_usec":
			c.cpu = v
		case "nr_periods":
			c.periods = v
		case "nr_throttled":
			c.throttledPeriods = v
		case "throttled_usec":
			c.throttled = v
		}
	}
}

func parseMemoryEvents(b []byte, c *counters) {
	for e := (entries{b}); ; {
		key, v, ok := e.next()
		if !ok {
			return
		}
		switch string(key) {
		case "high":
			c.high = v
		case "oom_kill":
			c.oomKills = v
		}
	}
}

// A cacheStat is what memory.stat says of the memory that can be taken back.
type cacheStat struct {
	reclaimable int64  // bytes
	refaults    uint64 // pages that came back so soon that they would have stayed with more memory
}

func parseMemoryStat(b []byte) (s cacheStat) {
	var all, ofFiles uint64
	counted := false
	for e := (entries{b}); ; {
		key, v, ok := e.next()
		if !ok {
			break
		}
		switch string(key) {
		case "inactive_file", "active_file", "slab_reclaimable":
			s.reclaimable += int64(v)
		case "workingset_activate": // before Linux 5.9, when anonymous pages could not refault without swap
			all = v
		case "workingset_activate_file":
			ofFiles, counted = v, true
		}
	}
	s.refaults = all
	if counted {
		s.refaults = ofFiles
	}
	return s
}

// parsePressure returns the microseconds for which some task waited.
func parsePressure(b []byte) uint64 {
	if !bytes.HasPrefix(b, []byte("some ")) {
		return 0
	}
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		b = b[:i]
	}
	i := bytes.LastIndexByte(b, '=')
	if i < 0 || !bytes.HasSuffix(b[:i], []byte("total")) {
		return 0
	}
	v, _ := number(b[i+1:])
	return v
}

// parseIOStat adds up the devices that whole says are to be counted.
func parseIOStat(b []byte, c *counters, whole func(major, minor uint32) bool) {
	c.readOps, c.writeOps, c.readBytes, c.writeBytes = 0, 0, 0, 0
	for len(b) > 0 {
		line := b
		if i := bytes.IndexByte(b, '\n'); i >= 0 {
			line, b = b[:i], b[i+1:]
		} else {
			b = nil
		}
		major, n := number(line)
		if n == 0 || n >= len(line) || line[n] != ':' {
			continue
		}
		minor, m := number(line[n+1:])
		if m == 0 || !whole(uint32(major), uint32(minor)) {
			continue
		}
		for rest := line[n+1+m:]; len(rest) > 0; {
			rest = bytes.TrimLeft(rest, " ")
			word := rest
			if i := bytes.IndexByte(rest, ' '); i >= 0 {
				word, rest = rest[:i], rest[i+1:]
			} else {
				rest = nil
			}
			i := bytes.IndexByte(word, '=')
			if i < 0 {
				continue
			}
			v, _ := number(word[i+1:])
			switch string(word[:i]) {
			case "rbytes":
				c.readBytes += v
			case "wbytes":
				c.writeBytes += v
			case "rios":
				c.readOps += v
			case "wios":
				c.writeOps += v
			}
		}
	}
}
