package enforce_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"
)

// A peer is the far end of the traffic of a test: it runs on another machine than the instance that is limited. A request is
// one TCP connection that starts with a request header; its answer is a report.
const (
	askSink     = 's' // take what the connection brings, then report
	askFlood    = 'f' // send over the connection until it is closed
	askUDP      = 'u' // send datagrams to the port given, from the peer's address, at the rate given, for the time given
	datagram    = 1400
	requestSize = 1 + 2 + 8 + 8
)

// request asks a peer for traffic.
type request struct {
	kind byte
	port uint16
	rate int64 // bits per second of datagrams, headers left out
	last time.Duration
}

func (r request) bytes() []byte {
	b := make([]byte, 0, requestSize)
	b = append(b, r.kind)
	b = binary.BigEndian.AppendUint16(b, r.port)
	b = binary.BigEndian.AppendUint64(b, uint64(r.rate))
	return binary.BigEndian.AppendUint64(b, uint64(r.last))
}

// servePeer answers requests on l until it is closed.
func servePeer(l net.Listener) error {
	udp, err := net.ListenPacket("udp4", l.Addr().String())
	if err != nil {
		return err
	}
	defer udp.Close()
	sunk := new(atomic.Int64)
	go func() {
		b := make([]byte, 64<<10)
		for {
			n, _, err := udp.ReadFrom(b)
			if err != nil {
				return
			}
			sunk.Add(int64(n))
		}
	}()
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			if err := answer(c, udp, sunk); err != nil && !errors.Is(err, net.ErrClosed) {
				fmt.Println("peer:", err)
			}
		}()
	}
}

func answer(c net.Conn, udp net.PacketConn, sunk *atomic.Int64) error {
	var b [requestSize]byte
	if _, err := io.ReadFull(c, b[:]); err != nil {
		return err
	}
	r := request{b[0], binary.BigEndian.Uint16(b[1:]), int64(binary.BigEndian.Uint64(b[3:])), time.Duration(binary.BigEndian.Uint64(b[11:]))}
	switch r.kind {
	case askSink:
		return sink(c)
	case askFlood:
		chunk := make([]byte, 128<<10)
		for {
			if _, err := c.Write(chunk); err != nil {
				return nil // the other side has had enough
			}
		}
	case askUDP:
		to := &net.UDPAddr{IP: c.RemoteAddr().(*net.TCPAddr).IP, Port: int(r.port)}
		if r.rate == 0 { // only report what has come in
			return binary.Write(c, binary.BigEndian, sunk.Load())
		}
		return sendDatagrams(udp, to, r.rate, r.last)
	default:
		return fmt.Errorf("unknown request %q", r.kind)
	}
}

// sink reports how many bytes come in until the far end stops, after each 100 ms.
func sink(c net.Conn) error {
	b := make([]byte, 256<<10)
	var total int64
	next := time.Now()
	for {
		n, err := c.Read(b)
		total += int64(n)
		if err != nil || time.Now().After(next) {
			next = time.Now().Add(100 * time.Millisecond)
			if binary.Write(c, binary.BigEndian, total) != nil {
				return nil
			}
		}
		if err != nil {
			return nil
		}
	}
}

// sendDatagrams sends at a steady rate, in bursts of a millisecond.
func sendDatagrams(udp net.PacketConn, to net.Addr, rate int64, last time.Duration) error {
	b := make([]byte, datagram)
	begin, sent := time.Now(), int64(0)
	for t := time.Duration(0); t < last; t = time.Since(begin) {
		for due := int64(float64(rate) / 8 * t.Seconds()); sent < due; sent += datagram {
			if _, err := udp.WriteTo(b, to); err != nil && !errors.Is(err, io.ErrShortWrite) {
				continue // a full queue drops it
			}
		}
		time.Sleep(time.Millisecond)
	}
	return nil
}
