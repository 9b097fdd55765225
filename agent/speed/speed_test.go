package speed

import (
	"testing"
	"time"
)

func TestARoundIsTheSameWorkEachTimeItIsBegunAnew(t *testing.T) {
	a, b := newWork(), newWork()
	for range 3 {
		a.round()
		b.round()
	}
	if a.seed != b.seed || a.seed == 1 {
		t.Fatalf("seeds %d and %d", a.seed, b.seed)
	}
	for i := 1; i < len(a.numbers); i++ {
		if a.numbers[i-1] > a.numbers[i] {
			t.Fatalf("number %d is not in its place", i)
		}
	}
}

func TestAScoreIsWhatItTakesToDoARound(t *testing.T) {
	done := make(chan int64)
	before := time.Now()
	go func() { // whose thread ends with it
		n, err := Score()
		if err != nil {
			t.Error(err)
		}
		done <- n
	}()
	n := <-done
	t.Logf("%d rounds in a thousand seconds, found in %s", n, time.Since(before))
	if n < 100_000 || n > 100_000_000 { // a core of today does some thousands of rounds a second
		t.Fatalf("%d rounds in a thousand seconds", n)
	}
}
