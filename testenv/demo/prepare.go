//go:build linux

package demo

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/testenv/fleet"
	"github.com/glidepath/glidepath/testenv/load"
	"github.com/glidepath/glidepath/testenv/traces"
)

// write makes a file in the folder that commands are run in.
func (d *demo) write(name string, content func(io.Writer) error) error {
	var text bytes.Buffer
	if err := content(&text); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(d.files, name), text.Bytes(), 0o600)
}

// adopt takes over the Redis of host-a, and starts its clients.
func (d *demo) adopt(ctx context.Context) error {
	d.screen.wait(fmt.Sprintf("Starting Redis on host-a, with %d MiB of data", dataBytes>>20))
	if err := d.fleet.StartRedis(ctx, fleet.HostA); err != nil {
		return err
	}
	if err := load.Fill(ctx, d.fleet.DialHost(fleet.HostA), "data", dataBytes); err != nil {
		return err
	}
	d.screen.wait("")
	if err := d.glidepath(ctx, "status"); err != nil {
		return err
	}
	for _, f := range []struct{ name, text, kind string }{
		{"types.yaml", typesFile, "type"}, {"redis.yaml", applicationFile, "app"}, {"cache-1.yaml", instanceFile, "instance"},
	} {
		if err := d.write(f.name, func(w io.Writer) error { _, err := io.WriteString(w, f.text); return err }); err != nil {
			return err
		}
		if f.kind == "instance" {
			d.screen.command("cat", f.name)
			d.screen.output(f.text)
		}
		if err := d.glidepath(ctx, f.kind, "apply", "-f", f.name); err != nil {
			return err
		}
	}
	d.startClients("move")
	d.screen.say("Clients write numbered records to 10.77.0.60 from now on, and keep what is acknowledged.")
	return nil
}

// teach imports history with earlier campaigns, and registers the one that comes.
func (d *demo) teach(ctx context.Context) error {
	now := time.Now()
	trace, err := history(now)
	if err != nil {
		return err
	}
	if err := d.write("history.csv", trace.WriteCSV); err != nil {
		return err
	}
	if err := d.write("campaigns.csv", trace.WriteEvents); err != nil {
		return err
	}
	d.screen.say("This history is made up, by testenv/traces: two weeks with a daily season and %d earlier campaigns.", len(trace.Events))
	if err := d.glidepath(ctx, "history", "import", Instance, "-f", "history.csv"); err != nil {
		return err
	}
	if err := d.glidepath(ctx, "event", "add", "--file", "campaigns.csv", "--instance", Instance); err != nil {
		return err
	}
	if err := d.register(ctx, now.Add(campaignLead)); err != nil {
		return err
	}
	return d.glidepath(ctx, "forecast", Instance, "--horizon", "5m", "--resource", "cpu")
}

// register registers the campaign, to begin at the next step of the grid.
func (d *demo) register(ctx context.Context, from time.Time) error {
	start := timeline.Of(from).Ceil(gridStep)
	d.campaign = timeline.Span{Start: start, End: start.Add(campaignLength)}
	return d.glidepath(ctx, "event", "add", "campaign", "--id", campaignID, "--instance", Instance,
		"--start", start.Std().Format(time.RFC3339), "--for", campaignLength.String())
}

// campaignID is the name of the campaign that is shown.
const campaignID = "sale"

// history makes two weeks that end now, of a Redis like the one that is shown.
func history(now time.Time) (traces.Trace, error) {
	const span = 14 * 24 * time.Hour
	shapes := traces.Redis()
	shapes[resource.CPU].Campaign = campaignCores * 1000
	shapes[resource.Memory].Base, shapes[resource.Memory].Campaign = dataBytes+(14<<20), campaignMemory
	spec := traces.Spec{Seed: 1, Start: timeline.Of(now).Floor(5 * time.Minute).Add(-span), Length: span, Shapes: shapes}
	// At another hour each time, so that no forecast can take them for a daily season.
	for _, after := range []time.Duration{66 * time.Hour, 133 * time.Hour, 200 * time.Hour, 267 * time.Hour} {
		spec.Campaigns = append(spec.Campaigns, traces.Campaign{Start: spec.Start.Add(after), Length: 2 * time.Hour})
	}
	return traces.Generate(spec)
}

// makePlan shows how the move would go.
func (d *demo) makePlan(ctx context.Context) error {
	return d.glidepath(ctx, "plan", "migrate", Instance, "--to", fleet.HostB, "--type", "m.large")
}
