package collect

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// The files of a cgroup that are read, in the order in which they are opened.
const (
	cpuStat = iota
	cpuPressure
	memoryCurrent
	memoryEvents
	memoryPressure
	memoryStat
	ioStat
	ioPressure
	cgroupFiles
)

// fileName returns the name of a cgroup's file.
func fileName(file int) string {
	return [cgroupFiles]string{
		"cpu.stat", "cpu.pressure", "memory.current", "memory.events", "memory.pressure", "memory.stat", "io.stat", "io.pressure",
	}[file]
}

const (
	absent = -1

	// statEvery is how many rounds lie between two readings of memory.stat, which costs as much as all the other
	// files together, and between two looks for files that were not there.
	statEvery = 10

	// statSooner is the part of memory.current by which it must have moved for memory.stat to be read out of turn.
	statSooner = 16
	statLeast  = 8 << 20 // bytes: smaller moves wait for their turn
)

// A cgroup is a cgroup whose files are kept open: opening costs ten times as much as reading again.
type cgroup struct {
	path  string
	inode uint64
	open  bool
	fd    [cgroupFiles]int

	stat      cacheStat
	statAt    int64 // memory.current when stat was read
	haveStat  bool
	sinceStat int // rounds
	phase     int // of its turn among the cgroups, so that not all take theirs in the same round
}

// openAll opens the files that are there. A cgroup that is not there is no error: its unit does not run.
func (g *cgroup) openAll() error {
	g.close()
	var st unix.Stat_t
	if err := unix.Stat(g.path, &st); errors.Is(err, unix.ENOENT) {
		return nil
	} else if err != nil {
		return fmt.Errorf("look at cgroup %s: %w", g.path, err)
	}
	g.inode, g.open, g.haveStat = st.Ino, true, false
	for f := range g.fd {
		g.fd[f] = absent
	}
	return g.openMissing()
}

// openMissing opens files that were absent: a controller may have been enabled since.
func (g *cgroup) openMissing() error {
	for f := range g.fd {
		if g.fd[f] != absent {
			continue
		}
		fd, err := unix.Open(filepath.Join(g.path, fileName(f)), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		switch {
		case err == nil:
			g.fd[f] = fd
		case !errors.Is(err, unix.ENOENT):
			return fmt.Errorf("open %s of cgroup %s: %w", fileName(f), g.path, err)
		}
	}
	return nil
}

func (g *cgroup) close() {
	if !g.open {
		return
	}
	for f, fd := range g.fd {
		if fd != absent {
			_ = unix.Close(fd) // only read from: nothing can be lost
			g.fd[f] = absent
		}
	}
	g.open = false
}

// replaced reports whether another cgroup stands at the path than the one whose files are open.
func (g *cgroup) replaced() bool {
	var st unix.Stat_t
	return unix.Stat(g.path, &st) != nil || st.Ino != g.inode
}

// content reads a file from its beginning into buf; nothing where the file is absent or its accounting is switched off.
func (g *cgroup) content(file int, buf []byte) ([]byte, error) {
	if g.fd[file] == absent {
		return nil, nil
	}
	for {
		n, err := unix.Pread(g.fd[file], buf, 0)
		switch {
		case err == nil:
			return buf[:n], nil
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EOPNOTSUPP): // pressure, on a kernel that was told not to measure it
			return nil, nil
		default:
			return nil, err
		}
	}
}

// A reading is the state of a cgroup at one instant.
type reading struct {
	counters
	at       time.Time
	running  bool
	memory   int64  // bytes charged
	fresh    bool   // memory.stat was read
	refaults uint64 // as of the last time it was read
	traffic  bool   // it is counted
	drops    bool   // they are counted
	anew     bool   // the cgroup is another than in the reading before
}

// read takes a reading. The kernel answers ENODEV for files of a cgroup that was removed: then the path is opened
// again, once, because a unit that was restarted has a new cgroup there.
func (g *cgroup) read(buf []byte, whole func(major, minor uint32) bool) (r reading, err error) {
	looking := !g.open
	g.sinceStat++
	turn := g.sinceStat >= statEvery
	if g.open && turn {
		if looking = g.replaced(); !looking {
			if err := g.openMissing(); err != nil {
				return reading{}, err
			}
		}
	}
	for range 2 {
		if looking {
			if err := g.openAll(); err != nil || !g.open {
				return reading{at: time.Now(), anew: true}, err
			}
		}
		r, err = g.readOpen(buf, turn, whole)
		r.anew = looking
		if !errors.Is(err, unix.ENODEV) {
			break
		}
		looking = true
	}
	if errors.Is(err, unix.ENODEV) { // removed again: it does not run
		g.close()
		return reading{at: time.Now(), anew: true}, nil
	}
	if err != nil {
		return reading{}, fmt.Errorf("read cgroup %s: %w", g.path, err)
	}
	return r, nil
}

func (g *cgroup) readOpen(buf []byte, turn bool, whole func(major, minor uint32) bool) (r reading, err error) {
	r.running, r.at = true, time.Now()
	var b []byte
	for f := range cgroupFiles {
		if f == memoryStat && !g.wantsStat(r.memory, turn) {
			continue
		}
		if b, err = g.content(f, buf); err != nil {
			return r, err
		}
		switch f {
		case cpuStat:
			parseCPUStat(b, &r.counters)
		case cpuPressure:
			r.stallCPU = parsePressure(b)
		case memoryCurrent:
			v, _ := number(b)
			r.memory = int64(v)
		case memoryEvents:
			parseMemoryEvents(b, &r.counters)
		case memoryPressure:
			r.stallMemory = parsePressure(b)
		case memoryStat:
			g.sinceStat = 0
			if !g.haveStat {
				g.sinceStat = g.phase
			}
			g.stat, g.statAt, g.haveStat = parseMemoryStat(b), r.memory, true
			r.fresh = true
		case ioStat:
			parseIOStat(b, &r.counters, whole)
		case ioPressure:
			r.stallIO = parsePressure(b)
		}
	}
	r.refaults = g.stat.refaults
	return r, nil
}

// wantsStat reports whether memory.stat is to be read: in its turn, or when memory moved so much that what was last
// read of the cache says nothing of it.
func (g *cgroup) wantsStat(memory int64, turn bool) bool {
	moved := memory - g.statAt
	return turn || !g.haveStat || max(moved, -moved) > max(statLeast, g.statAt/statSooner)
}
