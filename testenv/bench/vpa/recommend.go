package main

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	vpa "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	"k8s.io/autoscaler/vertical-pod-autoscaler/pkg/recommender/config"
	"k8s.io/autoscaler/vertical-pod-autoscaler/pkg/recommender/logic"
	"k8s.io/autoscaler/vertical-pod-autoscaler/pkg/recommender/model"
	"k8s.io/autoscaler/vertical-pod-autoscaler/pkg/recommender/routines"
)

// machine is where a series is fed into: a cluster with one pod of one container, and an autoscaler that it belongs to.
type machine struct {
	cluster     model.ClusterState
	container   model.ContainerID
	autoscaler  model.VpaID
	recommender logic.PodResourceRecommender
}

// newMachine returns one with the recommender's own defaults, but for the least that it gives a pod: 25 thousandths of a core and 250 MB
// would say nothing of how it estimates.
func newMachine() (*machine, error) {
	c := config.DefaultRecommenderConfig()
	model.InitializeAggregationsConfig(model.NewAggregationsConfig(c.MemoryAggregationInterval, c.MemoryAggregationIntervalCount,
		c.MemoryHistogramDecayHalfLife, c.CpuHistogramDecayHalfLife, c.OOMBumpUpRatio, c.OOMMinBumpUp))
	m := &machine{
		cluster:    model.NewClusterState(time.Hour),
		container:  model.ContainerID{PodID: model.PodID{Namespace: "traces", PodName: "machine"}, ContainerName: "machine"},
		autoscaler: model.VpaID{Namespace: "traces", VpaName: "machine"},
		recommender: logic.CreatePodResourceRecommender(logic.RecommendationConfig{
			SafetyMarginFraction: c.SafetyMarginFraction,
			TargetCPUPercentile:  c.TargetCPUPercentile, LowerBoundCPUPercentile: c.LowerBoundCPUPercentile, UpperBoundCPUPercentile: c.UpperBoundCPUPercentile,
			TargetMemoryPercentile: c.TargetMemoryPercentile, LowerBoundMemoryPercentile: c.LowerBoundMemoryPercentile,
			UpperBoundMemoryPercentile: c.UpperBoundMemoryPercentile,
			ConfidenceIntervalCPU:      c.ConfidenceIntervalCPU, ConfidenceIntervalMemory: c.ConfidenceIntervalMemory,
		}),
	}
	object := &vpa.VerticalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Namespace: m.autoscaler.Namespace, Name: m.autoscaler.VpaName}}
	if err := m.cluster.AddOrUpdateVpa(object, labels.Everything()); err != nil {
		return nil, err
	}
	m.cluster.AddOrUpdatePod(m.container.PodID, nil, corev1.PodRunning)
	return m, m.cluster.AddOrUpdateContainer(m.container, nil)
}

// see feeds what was used in a step that ended at a time. Memory of which nothing was used is none that it would be told of, for a pod that does not run has no sample;
// and a day whose first one is zero would count for it as one without any peak.
func (m *machine) see(kind model.ResourceName, amount *float64, ended time.Time) error {
	if amount == nil || kind == model.ResourceMemory && *amount == 0 {
		return nil
	}
	return m.cluster.AddSample(&model.ContainerUsageSampleWithKey{
		ContainerUsageSample: model.ContainerUsageSample{MeasureStart: ended, Usage: model.ResourceAmount(*amount), Resource: kind},
		Container:            m.container,
	})
}

// says returns what is recommended by now.
func (m *machine) says() logic.RecommendedContainerResources {
	states := routines.GetContainerNameToAggregateStateMap(m.cluster.VPAs()[m.autoscaler])
	return m.recommender.GetRecommendedPodResources(states)[m.container.ContainerName]
}

// recommend feeds a series step by step, and asks at each of its times, when no step is known that ends later.
func recommend(s series) ([]recommendation, error) {
	m, err := newMachine()
	if err != nil {
		return nil, err
	}
	out := make([]recommendation, 0, len(s.At))
	next, known := 0, false
	for _, at := range s.At {
		for ; s.Start+int64(next+1)*s.Step <= at && next < max(len(s.CPU), len(s.Memory)); next++ {
			// The recommender stamps a sample with the end of the time that it is of.
			ended := time.UnixMilli(s.Start + int64(next+1)*s.Step)
			for kind, all := range map[model.ResourceName][]*float64{model.ResourceCPU: s.CPU, model.ResourceMemory: s.Memory} {
				if next >= len(all) {
					continue
				}
				if err := m.see(kind, all[next], ended); err != nil {
					return nil, err
				}
				known = known || all[next] != nil
			}
		}
		r := recommendation{At: at}
		if known {
			said := m.says()
			r.Lower, r.Target, r.Upper = boundOf(said.LowerBound), boundOf(said.Target), boundOf(said.UpperBound)
		}
		out = append(out, r)
	}
	return out, nil
}

func boundOf(r model.Resources) bound {
	return bound{CPU: int64(r[model.ResourceCPU]), Memory: int64(r[model.ResourceMemory])}
}
