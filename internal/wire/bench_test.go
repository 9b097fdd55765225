package wire_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"testing"
	"time"

	"github.com/glidepath/glidepath/internal/pki"
	"github.com/glidepath/glidepath/internal/wire"
)

// BenchmarkCall compares calls over one session with bare echoes over one TLS connection, in the same run: what the framing costs.
func BenchmarkCall(b *testing.B) {
	for _, size := range []int{100, 10_000} {
		body := make([]byte, size)
		b.Run(sizeName(size)+"/bare TLS", func(b *testing.B) {
			client := benchServe(b, func(_ context.Context, conn *tls.Conn, _ wire.Peer) error {
				_, err := io.Copy(conn, conn)
				return err
			})
			buf := make([]byte, size)
			for b.Loop() {
				if _, err := client.Write(body); err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(client, buf); err != nil {
					b.Fatal(err)
				}
			}
		})
		for name, parallel := range map[string]int{"one caller": 0, "64 callers": 64} {
			b.Run(sizeName(size)+"/"+name, func(b *testing.B) {
				mux := muxOf(map[string]wire.HandlerFunc{"echo": echo})
				conn := benchServe(b, func(_ context.Context, conn *tls.Conn, peer wire.Peer) error {
					s := wire.NewSession(conn, false, wire.Options{Peer: peer, Mux: mux})
					defer s.Close()
					<-s.Done()
					return nil
				})
				s := wire.NewSession(conn, true, wire.Options{})
				defer s.Close()
				if parallel == 0 {
					for b.Loop() {
						if _, err := s.Call(b.Context(), "echo", body); err != nil {
							b.Fatal(err)
						}
					}
					return
				}
				b.SetParallelism(parallel / 2)
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						if _, err := s.Call(b.Context(), "echo", body); err != nil {
							b.Error(err)
							return
						}
					}
				})
			})
		}
	}
}

func sizeName(n int) string {
	if n >= 1000 {
		return "10kB"
	}
	return "100B"
}

// benchServe serves one protocol over TCP and returns a connection to it.
func benchServe(b *testing.B, handler wire.ConnHandler) *tls.Conn {
	ca := newFleet(b)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s := wire.NewServer(wire.ServerOptions{Credentials: issue(b, ca, pki.Coordinator, "coord-1", time.Now())})
	s.Handle(wire.RPC, wire.Mutual, handler)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- s.Serve(ctx, listener) }()
	conn, _, err := wire.Dial(b.Context(), listener.Addr().String(), wire.RPC, issue(b, ca, pki.Agent, "host-a", time.Now()), pki.Want{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		conn.Close()
		cancel()
		<-ended
	})
	return conn
}
