//go:build linux

package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/glidepath/glidepath/internal/resource"
)

const (
	fleetMeasured = 1000   // instances
	fleetWhole    = 10_000 // that they are a part of
	fleetCores    = 2
)

// measureFleet runs the home's own benchmark, an hour of a tenth of a large fleet, and says what all of it would take.
func measureFleet(ctx context.Context, b *bench) ([]Row, error) {
	b.Progress(fmt.Sprintf("fleet: an hour of %d instances at their home", fleetMeasured))
	m, err := b.benchmark(ctx, "./coordinator/home", "BenchmarkHour", fleetMeasured)
	if err != nil {
		return nil, err
	}
	return fleetRows(m), nil
}

// fleetRows multiplies what one instance takes by the instances of the whole fleet.
func fleetRows(m metrics) []Row {
	const available = fleetCores * time.Hour
	seconds := func(what string) float64 { return m[what] / 1000 * fleetWhole }
	count := fmt.Sprintf("%d instances, from %d: ", fleetWhole, fleetMeasured)
	cores := fmt.Sprintf("an hour of %d cores", fleetCores)
	return []Row{
		{What: count + "CPU of the hour in which each is trained anew once", Value: seconds("refresh-ms") + seconds("steps-ms"), Unit: "s", Peer: cores, Of: available.Seconds(), Bar: atMost(1)},
		{What: count + "of which the round with the trainings", Value: seconds("refresh-ms"), Unit: "s", Peer: cores, Of: available.Seconds()},
		{What: count + "of which the eleven rounds after it", Value: seconds("steps-ms"), Unit: "s", Peer: cores, Of: available.Seconds()},
		{What: count + "time by the clock of all rounds, which are one after the other", Value: seconds("wall-ms"), Unit: "s", Peer: "an hour", Of: time.Hour.Seconds(), Bar: atMost(1)},
		{What: "trainings of an instance in the hour", Value: m["trainings"]},
		{What: fmt.Sprintf("memory of a model, of each of %d series", resource.Kinds), Value: m["B/series"] / 1024, Unit: "KiB"},
		{What: count + "memory of the models", Value: m["B/series"] * float64(resource.Kinds) * fleetWhole / (1 << 30), Unit: "GiB"},
	}
}
