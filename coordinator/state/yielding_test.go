package state

import (
	"strings"
	"testing"

	"github.com/glidepath/glidepath/proto"
)

func TestAWindowThatIsRefusedSaysWhoIsInTheWay(t *testing.T) {
	w := newWorld(t)
	w.adoptAs("low", "a", proto.BestEffort, 40)
	put := func(n int64) (proto.HostWindow, string) {
		t.Helper()
		b := proto.HostWindow{Host: "a", Put: w.away("kernel", n)}
		w.want(proto.ResultRefused, &b)
		v, err := w.s.View().WithWindow("a", *b.Put)
		if err != nil {
			t.Fatal(err)
		}
		return b, strings.Join(v.Remedies("a").Says, "\n")
	}
	if _, says := put(70); !strings.Contains(says, "low (besteffort) gives way") {
		t.Errorf("with 70 less: %s", says)
	}
	b, says := put(94)
	if !strings.Contains(says, "move away: low (besteffort)") {
		t.Errorf("with 94 less: %s", says)
	}
	if says := w.s.View().Remedies("a").Says; len(says) > 0 {
		t.Errorf("asking left something behind: %q", says)
	}
	b.Force = true
	w.must(&b)
	short := w.s.View().Ledger().Shortages("a")
	if len(short) == 0 || short[0].Span.Start > b.Put.Span.Start || short[0].Span.End < b.Put.Span.End || short[0].Span.Start < b.Put.Span.Start-60_000 {
		t.Errorf("the window is %s, short is %v", b.Put.Span, short)
	}
	w.must(w.startOf("m", "low", "b", 40))
	if says := strings.Join(w.s.View().Remedies("a").Says, "\n"); strings.Contains(says, "move away") {
		t.Errorf("who moves already should move: %s", says)
	}
	if _, err := w.s.View().WithWindow("x", *b.Put); err == nil {
		t.Error("a host that is not there has a window")
	}
}
