package api_test

import (
	"context"
	"testing"

	"github.com/glidepath/glidepath/coordinator/api/apitest"
	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/proto"
)

func TestTasksOfAHostAreThoseThatItsHomeHas(t *testing.T) {
	want := proto.HostTasksReply{
		Host: "host-a", Heard: 7_200_000, HostTasks: proto.HostTasks{Zone: "Europe/Berlin", Tasks: []proto.Task{{Name: "backup.timer", Source: proto.TaskTimer, Activates: "backup.service", Schedule: []string{"*-*-* 00/5:00:00"}}}},
		Effects: []proto.TaskEffect{{Task: "backup.timer", Instance: "cache-1", Resource: resource.CPU, Rise: 400, Length: 1_200_000, Occurrences: 9}},
	}
	w := newWorld(t, func(f *apitest.Fleet) {
		f.Config.HostTasks = func(context.Context, string) (proto.HostTasksReply, error) { return want, nil }
	})
	got := ok[proto.HostTasksReply](w, "GET /v1/hosts/host-a/tasks", nil)
	if got.Heard != want.Heard || got.Zone != "Europe/Berlin" || len(got.Tasks) != 1 || got.Tasks[0].Activates != "backup.service" || len(got.Effects) != 1 || got.Effects[0] != want.Effects[0] {
		t.Errorf("%+v", got)
	}
	w.fails(v1.CodeNotFound, 404, "GET /v1/hosts/nothing/tasks", nil)
}

func TestOfAHomeThatAsksNoAgentForTasksNothingIsKnown(t *testing.T) {
	w := newWorld(t) // its home is of an earlier version
	if got := ok[proto.HostTasksReply](w, "GET /v1/hosts/host-a/tasks", nil); got.Host != "host-a" || got.Heard != 0 || got.Tasks == nil {
		t.Errorf("%+v", got)
	}
}
