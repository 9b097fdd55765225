package coordinator

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/glidepath/glidepath/coordinator/api"
	"github.com/glidepath/glidepath/coordinator/api/apitest"
	"github.com/glidepath/glidepath/coordinator/metrics"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// The client knows what docs/metrics.md tells of: the CA's certificate, the coordinator's name in its own, and a token.
func TestPrometheusScrapesACoordinator(t *testing.T) {
	if testing.Short() {
		t.Skip("an election takes seconds")
	}
	t.Parallel()
	cfg := config3(t, "c1")
	made, err := Init(cfg, 10*time.Second, proto.DefaultPolicy())
	if err != nil {
		t.Fatal(err)
	}
	start(t, cfg)
	ca, err := os.ReadFile(filepath.Join(cfg.DataDir, pkiDir, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "c1.coordinator.glidepath.internal", MinVersion: tls.VersionTLS13}}
	defer transport.CloseIdleConnections()
	scrape := func(token string) (int, string, error) {
		r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "https://"+cfg.API.Address()+"/metrics", nil)
		if err != nil {
			return 0, "", err
		}
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := (&http.Client{Transport: transport}).Do(r)
		if err != nil {
			return 0, "", err
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		return resp.StatusCode, string(text), err
	}
	eventually(t, "a leader whose proposals, commands and requests are counted", func() error {
		code, text, err := scrape(made.Token)
		if err != nil || code != http.StatusOK {
			return errors.Join(err, fmt.Errorf("status %d", code))
		}
		for _, line := range []string{
			"glidepath_raft_leader 1", `glidepath_commands_total{command="coordinator-put",result="ok"} 1`, `glidepath_proposal_duration_seconds_count{result="ok"}`,
			"glidepath_coordinators 1", `glidepath_api_requests_total{code="200",route="GET /metrics"}`,
		} {
			if !strings.Contains(text, "\n"+line) {
				return fmt.Errorf("%q is missing", line)
			}
		}
		return nil
	})
	if code, text, err := scrape(""); err != nil || code == http.StatusOK || strings.Contains(text, "glidepath_") {
		t.Errorf("without a token: %d %v %.100s", code, err, text)
	}
}

func TestTheTablesTellWhatACommandEnded(t *testing.T) {
	f := apitest.New(t)
	spec := apitest.Spec("cache-1")
	f.Must(&proto.InstanceApply{Spec: spec, Envelope: proto.Envelope{{Span: timeline.Span{End: timeline.Forever}}}})
	f.Adopt("cache-1")
	id := ulid.Make().String()
	r := httptest.NewRequest(http.MethodPost, "/v1/migrations", strings.NewReader(`{"instance": "cache-1", "target": "host-c"}`))
	r.Header.Set("Authorization", "Bearer "+f.Tokens[proto.RoleAdmin])
	r.Header.Set("Idempotency-Key", id)
	out := httptest.NewRecorder()
	if api.New(f.Config).ServeHTTP(out, r); out.Code != http.StatusOK {
		t.Fatal(out.Body)
	}
	var snapshot bytes.Buffer
	if err := f.View().Export(&snapshot); err != nil {
		t.Fatal(err)
	}
	var told []string
	tables := newTables(func(cmd proto.Command, r proto.Result, ended metrics.Ended) {
		told = append(told, fmt.Sprintf("%s %s %v%s", cmd.Type, r.Code, ended.Migrations, ended.Hooks))
	})
	if err := tables.Restore(&snapshot); err != nil {
		t.Fatal(err)
	}
	i, _ := f.View().Instance("cache-1")
	hooks := func(id string, failed *proto.Fault) *proto.MigrationRecord {
		return &proto.MigrationRecord{Migration: r.Header.Get("Idempotency-Key"), Operation: proto.OperationRecord{
			ID: id, Kind: proto.OpHook, Hook: proto.HookAfterConfirm, Host: "host-c", Fence: i.Fence, Result: &proto.OperationResult{ID: id, Error: failed},
		}}
	}
	fault := &proto.Fault{Code: proto.FaultFailed, What: "the load balancer is down"}
	for n, body := range []proto.Body{
		hooks("first", fault), hooks("second", fault), hooks("third", fault), // which is the last
		hooks("third", fault), // by a leader who has not seen it
		&proto.MigrationEnd{Migration: id, Outcome: proto.OutcomeAborted}, // too early
		&proto.MigrationAbort{Migration: id, Fence: i.Fence, Reason: "not today"},
		&proto.MigrationEnd{Migration: id, Outcome: proto.OutcomeAborted},
	} {
		cmd, err := proto.NewCommand(fmt.Sprint(n), "test", body)
		if err != nil {
			t.Fatal(err)
		}
		tables.Apply(uint64(n+1), cmd)
	}
	if want := []string{
		"migration-record ok []", "migration-record ok []", "migration-record ok []after-confirm", "migration-record ok []",
		"migration-end stale []", "migration-abort ok []", "migration-end ok [aborted]",
	}; !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
}
