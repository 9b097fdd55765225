package leader

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/proto"
)

func TestLoopsRunOnlyWhileLeadingAndAreBegunAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		leadership, ended := make(chan bool), make(chan error, 1)
		begun, barriers, running := 0, 0, 0
		barrier := func(context.Context) error {
			if barriers++; barriers == 1 {
				return errors.New("not yet")
			}
			return nil
		}
		loop := Loop{Name: "test", Run: func(ctx context.Context) error {
			if begun++; begun == 1 {
				return errors.New("failed once")
			}
			running++
			<-ctx.Done()
			running--
			return nil
		}}
		go func() { ended <- Run(ctx, leadership, barrier, []Loop{loop}, slog.New(slog.DiscardHandler)) }()
		time.Sleep(time.Minute)
		synctest.Wait()
		if begun != 0 {
			t.Error("ran without leading")
		}
		leadership <- true
		time.Sleep(time.Minute)
		synctest.Wait()
		if begun != 2 || running != 1 || barriers != 2 {
			t.Errorf("begun %d times, %d run, %d barriers", begun, running, barriers)
		}
		leadership <- false
		synctest.Wait()
		if running != 0 {
			t.Error("runs though deposed")
		}
		leadership <- true
		synctest.Wait()
		cancel()
		if err := <-ended; err != nil || running != 0 {
			t.Errorf("%v, %d run", err, running)
		}
	})
}

func TestHomesAreSharedOutAndMoveLittle(t *testing.T) {
	share, moved := map[string]int{}, 0
	for i := range 3000 {
		host := fmt.Sprintf("host-%d", i)
		home, standby := Choose(host, []string{"c1", "c2", "c3"})
		if home == standby {
			t.Fatal("home and standby are one")
		}
		share[home]++
		if without, _ := Choose(host, []string{"c1", "c2"}); home != "c3" && without != home {
			moved++
		}
	}
	for name, n := range share {
		if n < 800 || n > 1200 {
			t.Errorf("%s is home to %d of 3000", name, n)
		}
	}
	if moved != 0 {
		t.Errorf("%d hosts moved that did not have to", moved)
	}
}

// fleet returns a state with three coordinators and one host at home at c1, with c2 as standby.
func fleet(t *testing.T) *state.State {
	t.Helper()
	s, n := state.New(), 0
	apply := func(body proto.Body) {
		n++
		cmd, err := proto.NewCommand(fmt.Sprint("r", n), "test", body)
		if err != nil {
			t.Fatal(err)
		}
		if r, _ := s.Apply(cmd); !r.OK() {
			t.Fatal(r.Message)
		}
	}
	apply(&proto.FleetInit{Fleet: "f", GridStep: 300_000, Policy: proto.DefaultPolicy()})
	for _, name := range []string{"c1", "c2", "c3"} {
		apply(&proto.CoordinatorPut{Coordinator: proto.Coordinator{Name: name, RPCAddr: name + ":7647", Commands: proto.KnownCommands()}})
	}
	apply(&proto.HostRegister{Facts: proto.HostFacts{Name: "host-a", MachineID: "m1", BootID: "b1", Capacity: resource.Uniform(1000), Allocatable: resource.Uniform(1000)}})
	apply(&proto.HostHome{Host: "host-a", Home: "c1", Standby: "c2"})
	return s
}

func TestAHostGoesToItsStandbyWhenItsHomeIsGoneForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := fleet(t)
		var alive atomic.Pointer[[]string]
		see := func(names ...string) { alive.Store(&names) }
		see("c1", "c2", "c3")
		var got []proto.HostHome
		h := &Homes{
			View:   s.View,
			Alive:  func() []string { return *alive.Load() },
			Assign: func(_ context.Context, b *proto.HostHome) error { got = append(got, *b); return errors.New("enough") },
		}
		ended := make(chan error, 1)
		go func() { ended <- h.Run(context.Background()) }()
		time.Sleep(time.Minute)
		synctest.Wait()
		see("c2", "c3")
		time.Sleep(10 * time.Second)
		synctest.Wait()
		see("c1", "c2", "c3") // a flap
		time.Sleep(5500 * time.Millisecond)
		synctest.Wait()
		see("c2", "c3")
		time.Sleep(14 * time.Second)
		if over, err := poll(ended); over {
			t.Errorf("a flap moved a host: %v", err)
		}
		<-ended
		if diff := cmp.Diff([]proto.HostHome{{Host: "host-a", From: "c1", Home: "c2", Standby: "c3"}}, got); diff != "" {
			t.Error(diff)
		}
	})
}

// poll receives what is there.
func poll(c <-chan error) (there bool, err error) {
	synctest.Wait()
	select {
	case err := <-c:
		return true, err
	default:
		return false, nil
	}
}
