package leader

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// doubted returns a state with a host on which instances are adopted whose addresses somebody else answers for.
func doubted(t *testing.T, names ...string) *state.View {
	t.Helper()
	s, n := fleet(t), 0
	apply := func(body proto.Body) {
		n++
		cmd, err := proto.NewCommand(fmt.Sprint("d", n), "test", body)
		if err != nil {
			t.Fatal(err)
		}
		if r, _ := s.Apply(cmd); !r.OK() {
			t.Fatal(r.Message)
		}
	}
	apply(&proto.TypePut{Type: proto.InstanceType{Name: "small", Max: resource.Uniform(50)}})
	for _, name := range names {
		apply(&proto.InstanceApply{
			Spec:     proto.InstanceSpec{Name: name, Driver: "service", Service: &proto.ServiceSpec{Unit: name + ".service"}, Host: "host-a", Type: "small", Class: proto.Critical, Mode: proto.Observe},
			Envelope: proto.Envelope{{Span: timeline.Span{End: timeline.Forever}, Firm: resource.Uniform(40)}},
		})
		i, _ := s.View().Instance(name)
		apply(&proto.InstanceAdopted{Instance: name, Fence: i.Fence, Fault: &proto.Fault{Code: proto.FaultInDoubt, What: "its address is in use", Remedy: "find that host"}})
	}
	return s.View()
}

func TestTheLogIsToldOfADoubtAtOnceAndAgainForAsLongAsItLasts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		none, one, both := doubted(t), doubted(t, "i"), doubted(t, "i", "j")
		var view atomic.Pointer[state.View]
		var lines bytes.Buffer
		view.Store(one)
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		d := &Doubts{View: view.Load, Log: slog.New(slog.NewTextHandler(&lines, nil))}
		go func() { ended <- d.Run(ctx) }()
		// told returns whom the log was told of since it was last asked.
		told := func() []string {
			synctest.Wait()
			var out []string
			for line := range strings.Lines(lines.String()) {
				for _, word := range []string{"level=ERROR", "an operator has to decide", "its address is in use", `decide="find that host"`} {
					if !strings.Contains(line, word) {
						t.Errorf("the log does not say %q: %s", word, line)
					}
				}
				_, name, _ := strings.Cut(line, "instance=")
				out = append(out, name[:1])
			}
			lines.Reset()
			return out
		}
		for _, step := range []struct {
			what string
			see  *state.View
			wait time.Duration
			want []string
		}{
			{"at once", one, 0, []string{"i"}},
			{"not all the time", one, doubtAgain - time.Second, nil},
			{"again after a while", one, time.Second, []string{"i"}},
			{"another one, and only that", both, doubtEvery, []string{"j"}},
			{"both again, each in its time", both, doubtAgain, []string{"i", "j"}},
			{"decided", none, doubtAgain * 2, nil},
			{"in doubt anew", one, doubtEvery, []string{"i"}},
		} {
			view.Store(step.see)
			time.Sleep(step.wait)
			if got := told(); !slices.Equal(got, step.want) {
				t.Errorf("%s: told of %q, want %q", step.what, got, step.want)
			}
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
