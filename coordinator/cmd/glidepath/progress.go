package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// progressEvery is how often a line of progress is drawn anew.
const progressEvery = 100 * time.Millisecond

// progress is what a terminal shows, on standard error, of something that takes long. Elsewhere nothing is shown.
type progress struct {
	out   io.Writer
	mu    sync.Mutex // what is sent is read by another goroutine
	drawn time.Time  // zero: nothing is shown
	over  bool
}

func (a *app) progress() *progress { return &progress{out: a.stderr} }

// show draws a line over the one before, unless that is too new.
func (p *progress) show(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	width := terminalWidth(p.out)
	if now := time.Now(); width > 0 && !p.over && now.Sub(p.drawn) >= progressEvery {
		p.drawn = now
		fmt.Fprintf(p.out, "\r\x1b[K%s", cut(oneLine(fmt.Sprintf(format, args...)), width))
	}
}

// clear takes the line away, for good.
func (p *progress) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.drawn.IsZero() && !p.over {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
	p.over = true
}

// forecasts returns what draws how many forecasts of a backtest are done.
func (p *progress) forecasts() func(done, total int) {
	began := time.Now()
	return func(done, total int) {
		left := time.Duration(float64(time.Since(began)) / float64(max(1, done)) * float64(total-done))
		p.show("%s", progressBar(done, total, left))
	}
}

// progressBar is a line that says how far something is.
func progressBar(done, total int, left time.Duration) string {
	const width = 24
	full := width * done / max(1, total)
	return fmt.Sprintf("[%s%s] %d of %d forecasts, about %s left", strings.Repeat("=", full), strings.Repeat(" ", width-full), done, total, left.Round(time.Second))
}

// counted shows how many bytes go through it, on their way to out or from in.
type counted struct {
	progress *progress
	what     string
	n, total int64 // total is 0 where it is not known
	most     int64 // 0: any
	out      io.Writer
	in       io.ReadCloser
}

// Write passes on what is written, up to the most.
func (c *counted) Write(b []byte) (int, error) {
	if c.most > 0 && c.n+int64(len(b)) > c.most {
		return 0, fmt.Errorf("%s is larger than %s", c.what, size(c.most))
	}
	n, err := c.out.Write(b)
	c.add(n)
	return n, err
}

// Read passes on what is read.
func (c *counted) Read(b []byte) (int, error) {
	n, err := c.in.Read(b)
	c.add(n)
	return n, err
}

// Close closes what is read.
func (c *counted) Close() error { return c.in.Close() }

func (c *counted) add(n int) {
	c.n += int64(n)
	if c.total > 0 {
		c.progress.show("%s: %s of %s", c.what, size(c.n), size(c.total))
	} else {
		c.progress.show("%s: %s", c.what, size(c.n))
	}
}
