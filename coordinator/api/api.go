// Package api serves the coordinators' HTTP API: every request is authorised, validated, given an identifier, and proposed.
package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/coordinator/auth"
	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/coordinator/planner"
	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/pki"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// Config is what the API needs of a coordinator. All functions may be called concurrently. Those that ask another process
// answer with the errors of wire, whose codes decide what the client is told.
type Config struct {
	Version     string           // of the program
	Credentials *pki.Credentials // for TLS: clients check them by the CA's pin
	Pin         pki.Pin          // of the fleet's CA, for join tokens

	// View returns the state as it is now; Changed a channel that is closed at the next change after the call.
	View    func() *state.View
	Changed func() <-chan struct{}
	// OwnView is as View, and what it returns is nobody else's: what would be without some of it can be tried out on it.
	OwnView func() *state.View
	// Propose commits a command, wherever the leader is, and returns once it is applied here.
	Propose func(ctx context.Context, id, actor string, body proto.Body) (proto.Result, error)

	// Forecast asks the home of an instance; wire.NotFound says that there is none.
	Forecast func(context.Context, proto.ForecastRequest) (proto.ForecastReply, error)
	// CallAgent calls a method of a host's agent.
	CallAgent func(ctx context.Context, host, method string, body []byte) ([]byte, error)
	// Presence returns whether the agents of hosts have a session with any coordinator, by host; of a host that is not there nothing is known.
	Presence func(ctx context.Context) map[string]proto.Presence
	// DataBytes returns how much data of an instance would have to move; 0 is unknown.
	DataBytes func(ctx context.Context, instance string) (int64, error)
	// ImportHistory stores history at the instance's home and its standby. It returns how many values were stored, and how
	// many were older than the store keeps.
	ImportHistory func(ctx context.Context, instance string, means, maxima forecast.History) (stored, late int, err error)
	// ExportHistory returns the mean and the highest demand that the instance's home has.
	ExportHistory func(ctx context.Context, instance string, span timeline.Span) (means, maxima forecast.History, err error)
	// Above compares an instance's demand with its schedule in the windows that its home has.
	Above func(context.Context, proto.AboveRequest) (proto.Above, error)
	// Scores asks the home of an instance how its forecasts fared; AllScores every home, in short, and which of them did not answer.
	Scores    func(ctx context.Context, instance string) (proto.Scores, error)
	AllScores func(ctx context.Context) (all []proto.ScoreSummary, silent []string)
	// HostTasks asks the home of a host what runs by schedule there.
	HostTasks func(ctx context.Context, host string) (proto.HostTasksReply, error)
	// Forget makes the instance's home learn its demand anew, after history was imported.
	Forget func(instance string)
	// MigrationProgress returns how far a migration is, in a form that JSON can say (a proto.MigrationProgress); nil when nothing is known.
	MigrationProgress func(ctx context.Context, id string) any

	// Leader tells who leads; the name is empty while nobody does.
	Leader func() (name, addr string)
	// TakenOut returns why this coordinator must not answer any more: it was taken out of the fleet. nil: it is never asked.
	TakenOut func() error
	// Members tells of every coordinator, also which are not reached. RemoveMember takes one out of the fleet; TransferLeadership makes one the leader, "" whichever is
	// most up to date. Each returns once it is so.
	Members            func(context.Context) ([]v1.Member, error)
	RemoveMember       func(ctx context.Context, id, actor, name string, force bool) error
	TransferLeadership func(ctx context.Context, to string) error
	// Snapshot returns the writing of a snapshot of all that was committed before; with stale, of what this coordinator has, leader or not.
	Snapshot func(ctx context.Context, stale bool) (func(io.Writer) error, error)
	// Bundle returns the writing of a support bundle, a tar.gz without secrets.
	Bundle func(ctx context.Context) (func(io.Writer) error, error)

	Costs   planner.Costs
	Metrics http.Handler // GET /metrics; nil: there is none
	// Requested is told of every request: its route's pattern, or "other", and the time until its answer began to be sent.
	Requested func(route string, status int, took time.Duration)
	Audit     *auth.Audit
	Log       *slog.Logger
}

// Limits of what a connection may take.
const (
	maxHeaderBytes = 16 << 10
	headerTime     = 10 * time.Second
	idleTime       = 2 * time.Minute
	closeTime      = 5 * time.Second
)

// Server is the API of one coordinator.
type Server struct {
	cfg     Config
	mux     *http.ServeMux
	closing chan struct{} // closed when Serve ends: watches end at once

	feed      feed
	followers atomic.Int32 // of the feed

	overlaying sync.Mutex // held while a View is cloned
}

// New returns the API of a coordinator.
func New(cfg Config) *Server {
	s := &Server{cfg: cfg, mux: http.NewServeMux(), closing: make(chan struct{}), feed: feed{most: maxFeed}}
	for _, r := range s.routes() {
		s.mux.Handle(r.pattern, s.handler(r))
	}
	return s
}

// Serve answers requests on ln, over TLS 1.3, until ctx is done. Requests that run then have a few seconds to end. It is
// called once.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	base, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	srv := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: headerTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(s.cfg.Log.Handler(), slog.LevelDebug), // strangers' handshakes, mostly
		BaseContext:       func(net.Listener) context.Context { return base },
		TLSConfig: &tls.Config{
			MinVersion: tls.VersionTLS13,
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
				return s.cfg.Credentials.Certificate(), nil
			},
		},
	}
	group, running := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := srv.ServeTLS(ln, "", ""); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve the API: %w", err)
		}
		return nil
	})
	group.Go(func() error {
		<-running.Done()
		close(s.closing)
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
		defer cancel()
		if srv.Shutdown(limited) == nil {
			return nil
		}
		stop()
		return srv.Close()
	})
	return group.Wait()
}
