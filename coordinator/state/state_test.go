package state

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

func TestARequestIsAppliedOnce(t *testing.T) {
	w := newWorld(t)
	c := w.command(&proto.InstanceApply{Spec: spec("i", "a"), Envelope: open(40)})
	first, _ := w.send(c)
	w.must(&proto.InstanceAdopted{Instance: "i", Fence: w.fence("i")})
	before := export(t, w.s.View())
	c.At += 5000 // it was sent again later
	again, changes := w.send(c)
	if !again.Repeated || len(changes) != 0 {
		t.Fatalf("%+v, changes %v", again, changes)
	}
	again.Repeated = false
	if first != again {
		t.Fatalf("answered %+v, then %+v", first, again)
	}
	if !bytes.Equal(before, export(t, w.s.View())) {
		t.Fatal("a repeated request changed the state")
	}
}

func TestRememberedRequestsAreBounded(t *testing.T) {
	w := newWorld(t)
	first := w.command(&proto.Tick{})
	w.s.Apply(first)
	for range maxRecent {
		w.s.Apply(w.command(&proto.Tick{}))
	}
	if n := len(w.s.view.recent.order); n != maxRecent || len(w.s.view.recent.byID) != n {
		t.Fatalf("%d requests remembered, want %d", n, maxRecent)
	}
	if r, _ := w.s.Apply(first); r.Repeated {
		t.Fatal("the oldest request is remembered")
	}
}

func TestTimeNeverGoesBack(t *testing.T) {
	w := newWorld(t)
	w.now += 3_600_000
	w.must(&proto.Tick{})
	w.now -= 7_200_000
	w.adopt("i", "a", 10)
	if i := w.instance("i"); i.CreatedAt != start+3_600_000 {
		t.Fatalf("created at %s", i.CreatedAt)
	}
	w.now = timeline.Forever + 5
	w.must(&proto.Tick{})
	if now := w.s.View().Now(); now >= timeline.Forever {
		t.Fatalf("now is %d", now)
	}
}

func TestUnknownCommandsStopOrAreSkipped(t *testing.T) {
	w := newWorld(t)
	before := export(t, w.s.View())
	for name, c := range map[string]struct {
		command proto.Command
		stop    bool
	}{
		"type":              {proto.Command{Type: 0x7f, Version: 1, ID: "u1"}, true},
		"version":           {proto.Command{Type: proto.CmdTick, Version: 9, ID: "u2", Body: []byte{0x80}}, true},
		"ignorable type":    {proto.Command{Type: 0x7f | proto.Ignorable, Version: 1, ID: "u3"}, false},
		"ignorable version": {proto.Command{Type: proto.CmdTick | proto.Ignorable, Version: 9, ID: "u4"}, false},
	} {
		r, changes := w.s.Apply(c.command)
		if stop := r.Stop(); errors.Is(stop, proto.ErrUnknownCommand) != c.stop || len(changes) != 0 {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if !bytes.Equal(before, export(t, w.s.View())) {
		t.Fatal("an unknown command changed the state")
	}
}

func TestEveryKnownCommandHasAMethodAndTakesAnEmptyBody(t *testing.T) {
	for _, k := range proto.KnownCommands() {
		for _, s := range []*State{New(), newWorld(t).s} {
			r, _ := s.Apply(proto.Command{Type: k.Type, Version: k.Version, ID: "x", At: start, Body: []byte{0x80}})
			if r.Code == proto.ResultUnknown {
				t.Errorf("%s is unknown", k.Type)
			}
		}
	}
}

func TestChangesNameTheRowsThatChanged(t *testing.T) {
	w := newWorld(t)
	w.adopt("i", "a", 40)
	_, got := w.send(w.command(w.startOf("m", "i", "b", 60)))
	want := []Change{{proto.TableInstances, "i"}, {proto.TableMigrations, "m"}, {proto.TableReservations, "m/target"}}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("%v, want %v", got, want)
	}
	if _, got := w.send(w.command(w.startOf("n", "i", "b", 60))); len(got) != 0 {
		t.Fatalf("a refused command changed %v", got)
	}
}

func TestAViewStaysAsItIsWhileCommandsGoOn(t *testing.T) {
	w := newWorld(t)
	w.adopt("i", "a", 40)
	view := w.s.View()
	before := export(t, view)
	w.settled("m", "i", "b", 70)
	w.must(&proto.MigrationComplete{Migration: "m", Fence: w.fence("i")})
	w.now += 50_000_000
	w.must(&proto.Tick{})
	if !bytes.Equal(before, export(t, view)) {
		t.Fatal("the view changed")
	}
	if view.Ledger().Start() == w.s.View().Ledger().Start() {
		t.Fatal("the grid did not move")
	}
}

func TestViewsAreReadWhileCommandsGoOn(t *testing.T) {
	w := newWorld(t)
	w.adopt("i", "a", 40)
	done := make(chan error)
	view := w.s.View()
	go func() {
		for range 200 {
			if err := view.Export(io.Discard); err != nil {
				done <- err
				return
			}
			for range view.Ledger().Scan(open(10)) {
				continue
			}
		}
		done <- nil
	}()
	for range 200 {
		w.now += 20_000
		w.must(&proto.HostSystem{Host: "a", Envelope: open(6)})
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestACutOrForeignExportIsRefused(t *testing.T) {
	w := newWorld(t)
	w.adopt("i", "a", 40)
	whole := export(t, w.s.View())
	for n := range whole {
		if _, err := Import(bytes.NewReader(whole[:n])); !errors.Is(err, ErrExport) {
			t.Fatalf("%d of %d bytes: %v", n, len(whole), err)
		}
	}
	if _, err := Import(bytes.NewReader([]byte("something else entirely"))); !errors.Is(err, ErrExport) {
		t.Fatal(err)
	}
}

func TestCommandsAreProposedOnlyWhenEveryCoordinatorKnowsThem(t *testing.T) {
	w := newWorld(t)
	if v := w.s.View(); !v.Knows(proto.CmdTick, 1) || v.Knows(proto.CmdTick, 2) {
		t.Fatal("what every coordinator says it knows is not what the view answers")
	}
	w.must(&proto.CoordinatorPut{Coordinator: proto.Coordinator{Name: "old"}})
	if w.s.View().Knows(proto.CmdTick, 1) {
		t.Fatal("one coordinator knows nothing")
	}
}

func FuzzApply(f *testing.F) {
	w := newWorld(f)
	w.adopt("i", "a", 40)
	w.settled("m", "i", "b", 70)
	w.must(&proto.MigrationComplete{Migration: "m", Fence: w.fence("i")})
	for _, c := range w.log {
		f.Add(uint8(c.Type), c.Version, int64(c.At), c.Body)
	}
	base := export(f, w.s.View())
	f.Fuzz(func(t *testing.T, kind, version uint8, at int64, body []byte) {
		s, err := Import(bytes.NewReader(base))
		if err != nil {
			t.Fatal(err)
		}
		before := s.View()
		s.Apply(proto.Command{Type: proto.CommandType(kind), Version: version, ID: "fuzz", At: timeline.Time(at), Body: body})
		after := s.View()
		for _, v := range append(Check(after), CheckStep(before, after)...) {
			t.Fatalf("%s: %s", v.Invariant, v.What)
		}
		reimport(t, s)
	})
}

func FuzzImport(f *testing.F) {
	w := newWorld(f)
	w.adopt("i", "a", 40)
	f.Add(export(f, w.s.View()))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := Import(bytes.NewReader(b))
		if err != nil {
			if !errors.Is(err, ErrExport) {
				t.Fatal(err)
			}
			return
		}
		s.Apply(proto.Command{Type: proto.CmdTick, Version: 1, ID: "x", At: start, Body: []byte{0x80}})
	})
}

func BenchmarkApplyRevise(b *testing.B) {
	w := newWorld(b)
	w.adopt("i", "a", 40)
	b.ResetTimer()
	for n := range b.N {
		c := w.command(&proto.ReservationChange{Author: proto.AuthorReplan, Revise: []proto.Revision{{ID: "i@a", Envelope: open(int64(30 + n%10))}}})
		if r, _ := w.s.Apply(c); !r.OK() {
			b.Fatal(r.Message)
		}
	}
}

// BenchmarkExport exports and imports 1,000 hosts with 20 instances each.
func BenchmarkExport(b *testing.B) {
	s := New()
	n := 0
	apply := func(body proto.Body) {
		n++
		c, err := proto.NewCommand(fmt.Sprint(n), "bench", body)
		if err != nil {
			b.Fatal(err)
		}
		c.At = start
		if r, _ := s.Apply(c); !r.OK() {
			b.Fatal(r.Message)
		}
	}
	apply(&proto.FleetInit{Fleet: "bench", GridStep: 300_000, Policy: proto.DefaultPolicy()})
	apply(&proto.TypePut{Type: proto.InstanceType{Name: "small", Max: [8]int64{50, 50, 50, 50, 50, 50, 50, 50}}})
	const hosts, each = 1000, 20
	for h := range hosts {
		host := fmt.Sprintf("host-%d", h)
		apply(&proto.HostRegister{Facts: facts(host, 1000), Incarnation: 1})
	}
	for each := range each {
		for h := range hosts {
			name := fmt.Sprintf("i-%d-%d", h, each)
			sp := spec(name, fmt.Sprintf("host-%d", h))
			sp.Mode = proto.Enforce
			e := open(10)
			for k := range 4 {
				last := &e[len(e)-1]
				next := *last
				last.End = start + timeline.Time(k+1)*3_600_000
				next.Start = last.End
				e = append(e, next)
			}
			s.view.instances.put(name, proto.Instance{Spec: sp, Owner: sp.Host, Fence: 1, State: proto.InstanceRunning, Reservation: InstanceReservation(name, sp.Host), CreatedAt: start})
			r := proto.Reservation{ID: InstanceReservation(name, sp.Host), Host: sp.Host, Instance: name, Class: sp.Class, Purpose: proto.PurposeInstance, Envelope: e, Revision: 1, CreatedAt: start}
			if err := s.view.ledger.Hold(r); err != nil {
				b.Fatal(err)
			}
		}
	}
	var out bytes.Buffer
	b.Run("export", func(b *testing.B) {
		for b.Loop() {
			out.Reset()
			if err := s.View().Export(&out); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(out.Len()), "B")
	})
	b.Run("import", func(b *testing.B) {
		for b.Loop() {
			if _, err := Import(bytes.NewReader(out.Bytes())); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("view", func(b *testing.B) {
		for b.Loop() {
			s.View()
		}
	})
}
