package coordinator

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/glidepath/glidepath/coordinator/consensus"
	"github.com/glidepath/glidepath/internal/pki"
	"github.com/glidepath/glidepath/internal/wire"
)

// bareRaft starts three nodes of hashicorp/raft and returns the one that leads. What they have in common with three
// coordinators is all that is beside the ledger: settings, store, and links with the fleet's TLS on loopback.
func bareRaft(b *testing.B) *raft.Raft {
	b.Helper()
	ca, err := pki.NewFleet(time.Now())
	if err != nil {
		b.Fatal(err)
	}
	var nodes []*raft.Raft
	var servers []raft.Server
	for _, name := range []string{"r1", "r2", "r3"} {
		node, addr := bareNode(b, ca, name)
		nodes = append(nodes, node)
		servers = append(servers, raft.Server{ID: raft.ServerID(name), Address: raft.ServerAddress(addr)})
	}
	if err := nodes[0].BootstrapCluster(raft.Configuration{Servers: servers}).Error(); err != nil {
		b.Fatal(err)
	}
	var leader *raft.Raft
	eventually(b, "a leader of bare Raft", func() error {
		for _, n := range nodes {
			if n.State() == raft.Leader && n.Barrier(time.Second).Error() == nil {
				leader = n
				return nil
			}
		}
		return errors.New("there is none")
	})
	return leader
}

// bareNode starts one node and returns the address of its link.
func bareNode(b *testing.B, ca *pki.CA, name string) (node *raft.Raft, addr string) {
	b.Helper()
	issued, err := ca.Issue(pki.Coordinator, name, time.Now())
	if err != nil {
		b.Fatal(err)
	}
	creds, err := issued.Credentials()
	if err != nil {
		b.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	link := &bareLink{addr: listener.Addr(), creds: creds, inbound: make(chan net.Conn), closed: make(chan struct{})}
	server := wire.NewServer(wire.ServerOptions{Credentials: creds, Log: slog.New(slog.DiscardHandler)})
	server.Handle(wire.Raft, wire.Mutual, link.handle)
	ctx, stop := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := server.Serve(ctx, listener); err != nil {
			b.Error(err)
		}
	})
	b.Cleanup(func() { stop(); serving.Wait() })

	dir, logger := b.TempDir(), hclog.NewNullLogger()
	store, err := consensus.OpenStore(filepath.Join(dir, "raft.db"))
	if err != nil {
		b.Fatal(err)
	}
	snapshots, err := raft.NewFileSnapshotStoreWithLogger(dir, 2, logger)
	if err != nil {
		b.Fatal(err)
	}
	transport := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{Stream: link, MaxPool: 3, Timeout: 5 * time.Second, Logger: logger})
	if node, err = raft.NewRaft(consensus.Settings(name, logger), trivial{}, store, store, snapshots, transport); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := errors.Join(node.Shutdown().Error(), transport.Close(), store.Close()); err != nil {
			b.Error(err)
		}
	})
	return node, listener.Addr().String()
}

// trivial is a machine that does nothing with what was committed.
type trivial struct{}

var _ raft.BatchingFSM = trivial{}

func (trivial) Apply(*raft.Log) any               { return nil }
func (trivial) ApplyBatch(logs []*raft.Log) []any { return make([]any, len(logs)) }
func (trivial) Snapshot() (raft.FSMSnapshot, error) {
	return nil, errors.New("there is nothing to write")
}
func (trivial) Restore(r io.ReadCloser) error { return r.Close() }

// bareLink is the stream layer of one node.
type bareLink struct {
	addr    net.Addr
	creds   *pki.Credentials
	inbound chan net.Conn
	once    sync.Once
	closed  chan struct{}
}

func (l *bareLink) handle(ctx context.Context, conn *tls.Conn, _ wire.Peer) error {
	select {
	case l.inbound <- conn:
	case <-l.closed:
		return nil
	}
	select { // the connection is the server's, which closes it after this
	case <-l.closed:
	case <-ctx.Done():
	}
	return nil
}

func (l *bareLink) Dial(addr raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	conn, _, err := wire.Dial(ctx, string(addr), wire.Raft, l.creds, pki.Want{Kind: pki.Coordinator})
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", addr, err)
	}
	return conn, nil
}

func (l *bareLink) Accept() (net.Conn, error) {
	select {
	case c := <-l.inbound:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *bareLink) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *bareLink) Addr() net.Addr { return l.addr }
