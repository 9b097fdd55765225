package agent

import "sync/atomic"

// activity counts what the agent does to instances and their data. Its methods may be called concurrently.
type activity struct{ began, ended atomic.Uint64 }

// begin says that something is being done, until end is called.
func (a *activity) begin() (end func()) {
	a.began.Add(1)
	return func() { a.ended.Add(1) }
}

// since returns a function that reports whether anything was being done at any time since it was called last. It is for one goroutine.
func (a *activity) since() func() bool {
	var seen uint64
	return func() bool {
		ended := a.ended.Load() // before began, which it never exceeds
		began := a.began.Load()
		busy := began != seen || ended != began
		seen = ended
		return busy
	}
}
