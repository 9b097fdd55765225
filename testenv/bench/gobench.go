//go:build linux

package bench

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// goTool returns a command of the go tool in the source's folder. When ctx ends, what it started ends with it.
func (b *bench) goTool(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, b.Go, args...)
	cmd.Dir = b.Root
	// go test is two processes: the tool and the test. A group of their own makes them end together.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// benchmark runs one benchmark of a package, so many times, and returns what it reported.
func (b *bench) benchmark(ctx context.Context, pkg, name string, times int) (metrics, error) {
	var out bytes.Buffer
	cmd := b.goTool(ctx, "test", "-run=^$", "-bench=^"+name+"$", "-timeout=2h", fmt.Sprintf("-benchtime=%dx", times), pkg)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s of %s: %w: %s", name, pkg, err, lastPart(out.String()))
	}
	return readBenchmark(out.String(), name)
}

// benchmarks runs a benchmark of a package with all that are within it, each so many times, and returns what they reported by their names below it. The rest of
// args are the package's own.
func (b *bench) benchmarks(ctx context.Context, pkg, name string, times int, args ...string) (map[string]metrics, error) {
	var out bytes.Buffer
	all := []string{"test", "-run=^$", "-bench=^" + name + "$", "-timeout=2h", fmt.Sprintf("-benchtime=%dx", times), pkg}
	if len(args) > 0 {
		all = append(append(all, "-args"), args...)
	}
	cmd := b.goTool(ctx, all...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s of %s: %w: %s", name, pkg, err, lastPart(out.String()))
	}
	return readBenchmarks(out.String(), name)
}

// readBenchmarks finds the lines of a benchmark and of all that are within it. The benchmark itself goes by the name "".
func readBenchmarks(text, name string) (map[string]metrics, error) {
	out := map[string]metrics{}
	for line := range strings.Lines(text) {
		first, _, _ := strings.Cut(line, " ")
		first, _, _ = strings.Cut(first, "\t")
		full := withoutProcs(first)
		if full != name && !strings.HasPrefix(full, name+"/") {
			continue
		}
		word := strings.ReplaceAll(full, "-", "_") // a dash begins the number of processors
		m, err := readBenchmark(word+strings.TrimPrefix(line, first), word)
		if err != nil {
			return nil, err
		}
		out[strings.TrimPrefix(strings.TrimPrefix(full, name), "/")] = m
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s has not reported anything, but: %s", name, lastPart(text))
	}
	return out, nil
}

// withoutProcs cuts off the number of processors that go test puts behind a benchmark's name.
func withoutProcs(name string) string {
	if i := strings.LastIndexByte(name, '-'); i > 0 {
		if _, err := strconv.Atoi(name[i+1:]); err == nil {
			return name[:i]
		}
	}
	return name
}

// metrics are what a benchmark reported, by unit.
type metrics map[string]float64

// readBenchmark finds the line of a benchmark in the output of go test.
// Its format is that of https://go.dev/design/14313-benchmark-format.
func readBenchmark(text, name string) (metrics, error) {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 4 {
			continue
		}
		if word, _, _ := strings.Cut(fields[0], "-"); word != name {
			continue
		}
		m := metrics{}
		for i := 2; i+1 < len(fields); i += 2 {
			v, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				return nil, fmt.Errorf("%s reported %q: %w", name, strings.TrimSpace(line), err)
			}
			m[fields[i+1]] = v
		}
		return m, nil
	}
	return nil, fmt.Errorf("%s has not reported anything, but: %s", name, lastPart(text))
}

// lastPart keeps what is worth showing of a long output.
func lastPart(text string) string {
	const most = 1500
	text = strings.TrimSpace(text)
	if len(text) > most {
		text = "…" + strings.ToValidUTF8(text[len(text)-most:], "")
	}
	return text
}
