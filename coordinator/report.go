package coordinator

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime/pprof"
	"slices"
	"sync"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/glidepath/glidepath/coordinator/bundle"
	"github.com/glidepath/glidepath/coordinator/snapshot"
	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/internal/wire"
	"github.com/glidepath/glidepath/proto"
	"github.com/glidepath/glidepath/proto/rpc"
)

// How long a coordinator may take to report, and what of each part travels at most, so that all fit one message.
const (
	reportTime = 10 * time.Second
	reportPart = 900 << 10
)

// Snapshot returns the writing of a snapshot of all that was committed before it was asked for; with stale, of what is here.
func (c *Coordinator) Snapshot(ctx context.Context, stale bool) (func(io.Writer) error, error) {
	if !stale {
		// A proposal of its own: everything that was committed before it is in the tables when it has come back.
		if err := c.do(ctx, "coordinator "+c.cfg.Name, &proto.Tick{}); err != nil {
			return nil, err
		}
	}
	view, index := c.tables.at()
	h := snapshot.Header{Index: index, TakenAt: timeline.Of(time.Now()), Coordinator: c.cfg.Name, Program: c.version, Stale: stale}
	return func(w io.Writer) error { return snapshot.Write(w, view, h) }, nil
}

// serveReport tells another coordinator what this one gives to a support bundle.
func (c *Coordinator) serveReport(ctx context.Context, _ wire.Peer, _ rpc.Empty) (proto.Report, error) {
	var r proto.Report
	add := func(name string, data []byte, err error) {
		part := proto.ReportPart{Name: name, Data: data}
		if over := len(data) - reportPart; over > 0 {
			part.Missing = fmt.Sprintf("%d bytes are left out", over)
			part.Data = data[:reportPart]
			if name == "log.txt" {
				part.Data = data[over:]
			}
		}
		if err != nil {
			part.Missing = err.Error()
		}
		r.Parts = append(r.Parts, part)
	}
	settings, err := yaml.Marshal(c.cfg)
	add("config.yaml", bundle.CleanSettings(settings), err)
	var goroutines bytes.Buffer
	err = pprof.Lookup("goroutine").WriteTo(&goroutines, 1)
	add("goroutines.txt", goroutines.Bytes(), err)
	if c.recent != nil {
		add("log.txt", bundle.Clean(c.recent()), nil)
	} else {
		add("log.txt", nil, fmt.Errorf("this program does not keep what it logs: see journalctl -u glidepathd"))
	}
	series, err := c.series(ctx)
	add("metrics.txt", series, err)
	said, err := c.serveMember(ctx, wire.Peer{}, rpc.Empty{})
	part := bundle.JSON("raft.json", struct {
		proto.Member
		Agents []string `json:"agents"` // that have a session here
		Gossip []string `json:"gossip"` // coordinators in sight
	}{said, c.hub.Hosts(), c.alive()})
	add(part.Name, part.Data, err)
	return r, nil
}

// series returns the metrics as they are scraped.
func (c *Coordinator) series(ctx context.Context) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "/metrics", nil)
	if err != nil {
		return nil, err
	}
	out := &page{header: http.Header{}}
	c.metrics.Handler().ServeHTTP(out, r)
	if out.status >= http.StatusBadRequest {
		return nil, fmt.Errorf("%s: %.200s", http.StatusText(out.status), out.Bytes())
	}
	return out.Bytes(), nil
}

// page is an answer that stays here.
type page struct {
	bytes.Buffer
	header http.Header
	status int
}

func (p *page) Header() http.Header    { return p.header }
func (p *page) WriteHeader(status int) { p.status = status }

// Bundle collects a support bundle: the tables, without the hashes of tokens, and what each coordinator that is reached reports.
func (c *Coordinator) Bundle(ctx context.Context) (func(io.Writer) error, error) {
	view := c.tables.View()
	files := tableFiles(view)
	members, err := c.Members(ctx)
	if err != nil {
		files = append(files, bundle.File{Name: "coordinators.json", Missing: err.Error()})
	} else {
		files = append(files, bundle.JSON("coordinators.json", members))
	}
	ctx, cancel := context.WithTimeout(ctx, reportTime)
	defer cancel()
	var mu sync.Mutex
	var asked sync.WaitGroup
	for _, m := range members {
		asked.Go(func() {
			some := c.reportOf(ctx, proto.Coordinator{Name: m.Name, RPCAddr: m.RPCAddr})
			mu.Lock()
			defer mu.Unlock()
			files = append(files, some...)
		})
	}
	asked.Wait()
	now := time.Now()
	return func(w io.Writer) error { return bundle.Write(w, files, now) }, nil
}

// reportOf asks one coordinator. One that does not answer is listed as missing.
func (c *Coordinator) reportOf(ctx context.Context, m proto.Coordinator) (files []bundle.File) {
	folder := "coordinators/" + m.Name
	r, err := at(ctx, c, m, proto.MethodReport, rpc.Empty{}, func(ctx context.Context) (proto.Report, error) {
		return c.serveReport(ctx, wire.Peer{}, rpc.Empty{})
	})
	if err != nil {
		return []bundle.File{{Name: folder, Missing: err.Error()}}
	}
	for _, p := range r.Parts {
		if proto.ValidName("part", p.Name) == nil {
			files = append(files, bundle.File{Name: folder + "/" + p.Name, Data: p.Data, Missing: p.Missing})
		}
	}
	return files
}

// tableFiles shows the tables. JSON leaves out the hashes of tokens and the URLs of calendars by itself.
func tableFiles(v *state.View) []bundle.File {
	return []bundle.File{
		bundle.JSON("tables/fleet.json", v.Fleet()),
		bundle.JSON("tables/coordinators.json", slices.Collect(v.Coordinators())),
		bundle.JSON("tables/hosts.json", slices.Collect(v.Hosts())),
		bundle.JSON("tables/types.json", slices.Collect(v.Types())),
		bundle.JSON("tables/applications.json", slices.Collect(v.Applications())),
		bundle.JSON("tables/instances.json", slices.Collect(v.Instances())),
		bundle.JSON("tables/reservations.json", slices.Collect(v.Reservations())),
		bundle.JSON("tables/migrations.json", slices.Collect(v.Migrations())),
		bundle.JSON("tables/events.json", slices.Collect(v.Events())),
		bundle.JSON("tables/calendars.json", slices.Collect(v.Calendars())),
		bundle.JSON("tables/tokens.json", slices.Collect(v.Tokens())),
		bundle.JSON("tables/plans.json", slices.Collect(v.Plans())),
		bundle.JSON("tables/notices.json", slices.Collect(v.Notices())),
	}
}
