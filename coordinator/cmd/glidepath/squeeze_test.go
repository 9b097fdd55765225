package main

import (
	"strings"
	"testing"

	"github.com/glidepath/glidepath/coordinator/api/apitest"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// lodger puts a besteffort instance with so much on host-b.
func lodger(f *apitest.Fleet, firm resource.Vector) {
	f.Must(&proto.TypePut{Type: proto.InstanceType{Name: "free", Max: resource.Uniform(resource.Unlimited)}})
	f.Must(&proto.InstanceApply{
		Spec:     proto.InstanceSpec{Name: "batch", Driver: "service", Service: &proto.ServiceSpec{Unit: "batch.service"}, Host: "host-b", Type: "free", Class: proto.BestEffort, Mode: proto.Enforce},
		Envelope: proto.Envelope{{Span: timeline.Span{End: timeline.Forever}, Firm: firm}},
	})
	i, _ := f.View().Instance("batch")
	f.Must(&proto.InstanceAdopted{Instance: "batch", Fence: i.Fence})
}

func TestWhoYieldsForAMoveIsTold(t *testing.T) {
	for _, c := range []struct {
		firm    resource.Vector
		command []string
		says    string
	}{
		{resource.Vector{resource.CPU: 500}, []string{"plan", "migrate"}, "It has room only if others yield:"},
		{resource.Vector{resource.CPU: 500}, []string{"plan", "explain"}, "It has room because others yield:"},
		{resource.Vector{resource.CPU: 500}, []string{"migrate"}, "of cache-1 from host-a to host-b has begun"},
		{resource.Vector{resource.Memory: 4090 << 20}, []string{"migrate"}, "is scheduled: cache-1 from host-a to host-b"},
		{resource.Vector{resource.Memory: 4090 << 20}, []string{"migrate", "--at", "+1h"}, "The move of cache-1 has room because others yield:"},
	} {
		f := reach(t)
		lodger(f, c.firm)
		pointAt(t, f)
		code, out, stderr := glidepath(t, t.Context(), append(c.command, "cache-1", "--to", "host-b", "--squeeze")...)
		if code != 0 || !strings.Contains(out, c.says) || !strings.Contains(out, "batch@host-b") || !strings.Contains(out, "batch (besteffort) gives way by up to") {
			t.Errorf("%s: %d %s\n%s", c.command, code, stderr, out)
		}
	}
}

func TestADrainTellsWhoWouldYield(t *testing.T) {
	f := reach(t)
	lodger(f, resource.Vector{resource.CPU: 500})
	f.Must(&proto.HostSet{Host: "host-c", Cordoned: true})
	pointAt(t, f)
	code, out, stderr := glidepath(t, t.Context(), "host", "drain", "host-a", "--dry-run", "--squeeze")
	if code != 0 || !strings.Contains(out, "The move of cache-1 has room because others yield:") || !strings.Contains(out, "batch@host-b") {
		t.Errorf("%d %s\n%s", code, stderr, out)
	}
	if code, out, _ := glidepath(t, t.Context(), "host", "drain", "host-a", "--dry-run"); code != exitRefused || strings.Contains(out, "yield") {
		t.Errorf("%d\n%s", code, out)
	}
}
