package enforce_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The test binary plays every part in a guest: it is the test, and the instances that are limited, as units of systemd. What an
// instance counts it writes to a file.
const (
	roleEnv   = "GLIDEPATH_TEST_ROLE"
	guestEnv  = "GLIDEPATH_TEST_GUEST" // set in a guest, where the tests may change the host
	peerEnv   = "GLIDEPATH_TEST_PEER"  // host:port of the far end of traffic
	countFile = "/run/glidepath-test-count"
	dataFile  = "/var/tmp/glidepath-test-data"
)

func TestMain(m *testing.M) {
	role := os.Getenv(roleEnv)
	if role == "" {
		os.Exit(m.Run())
	}
	if err := play(role); err != nil {
		fmt.Fprintln(os.Stderr, role+":", err)
		os.Exit(1)
	}
}

func play(role string) error {
	switch role {
	case "peer":
		l, err := net.Listen("tcp4", os.Getenv(peerEnv))
		if err != nil {
			return err
		}
		return servePeer(l)
	case "idle":
		return untilStopped()
	case "burn":
		for range 4 {
			go func() {
				for n := uint64(0); ; n++ {
					runtime.KeepAlive(n)
				}
			}()
		}
		return untilStopped()
	case "hold":
		return hold(150 << 20)
	case "read":
		return readBlocks(1)
	case "read-big":
		return readBlocks(64)
	case "cache":
		return fillCache()
	}
	flows, err := strconv.Atoi(role[len(role)-1:])
	if err != nil {
		return fmt.Errorf("unknown role %q", role)
	}
	return traffic(role[:len(role)-1], flows)
}

// hold keeps memory in use until SIGUSR1, then gives it back to the kernel.
func hold(size int) error {
	mem, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return err
	}
	for i := 0; i < len(mem); i += 4096 {
		mem[i] = byte(i >> 12)
	}
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGUSR1)
	if err := report(int64(size)); err != nil {
		return err
	}
	<-c
	if err := unix.Munmap(mem); err != nil {
		return err
	}
	return untilStopped()
}

// untilStopped waits for systemd to stop the unit.
func untilStopped() error {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGTERM)
	<-c
	return nil
}

// readers read at the same time, so that the limit binds and not the time that one read takes.
const readers = 4

// readBlocks reads 4 KiB × n at random places, past the page cache, and counts the reads.
func readBlocks(n int) error {
	f, err := os.OpenFile(dataFile, os.O_RDONLY|syscall.O_DIRECT, 0)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	size := n * 4096
	blocks := info.Size() / int64(size)
	var count atomic.Int64
	failed := make(chan error, readers)
	for range readers {
		go func() {
			b, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS) // aligned
			for err == nil {
				if _, err = f.ReadAt(b, rand.Int64N(blocks)*int64(size)); err == nil {
					count.Add(1)
				}
			}
			failed <- err
		}()
	}
	return reportEach(&count, failed)
}

// fillCache reads the data file into the page cache, and stays.
func fillCache() error {
	f, err := os.Open(dataFile)
	if err != nil {
		return err
	}
	n, err := io.Copy(io.Discard, f)
	if err != nil {
		return err
	}
	if err := report(n); err != nil {
		return err
	}
	return untilStopped()
}

// traffic exchanges data with the peer and counts what arrives, at whichever end.
func traffic(kind string, flows int) error {
	peer := os.Getenv(peerEnv)
	var n atomic.Int64
	failed := make(chan error, flows+1)
	switch kind {
	case "udp-rx":
		go func() { failed <- receiveDatagrams(peer, &n) }()
	case "udp-tx":
		go func() { failed <- floodDatagrams(peer) }()
	default:
		for range flows {
			go func() { failed <- flow(kind, peer, &n) }()
		}
	}
	return reportEach(&n, failed)
}

// reportEach keeps the count file up to date until something failed.
func reportEach(n *atomic.Int64, failed <-chan error) error {
	for {
		select {
		case err := <-failed:
			return err
		case <-time.After(20 * time.Millisecond):
			if err := report(n.Load()); err != nil {
				return err
			}
		}
	}
}

func flow(kind, peer string, n *atomic.Int64) error {
	c, err := net.Dial("tcp4", peer)
	if err != nil {
		return err
	}
	b := make([]byte, 256<<10)
	if kind == "tcp-rx" {
		if _, err := c.Write(request{kind: askFlood}.bytes()); err != nil {
			return err
		}
		for {
			k, err := c.Read(b)
			n.Add(int64(k))
			if err != nil {
				return err
			}
		}
	}
	if _, err := c.Write(request{kind: askSink}.bytes()); err != nil {
		return err
	}
	go func() {
		var last, total int64
		for binary.Read(c, binary.BigEndian, &total) == nil {
			n.Add(total - last)
			last = total
		}
	}()
	for {
		if _, err := c.Write(b); err != nil {
			return err
		}
	}
}

// udpFlood is what datagram tests send, in bits per second: well above the highest rate that they limit to.
const udpFlood = 40e6

func receiveDatagrams(peer string, n *atomic.Int64) error {
	l, err := net.ListenPacket("udp4", ":7001")
	if err != nil {
		return err
	}
	c, err := net.Dial("tcp4", peer)
	if err != nil {
		return err
	}
	if _, err := c.Write(request{kind: askUDP, port: 7001, rate: udpFlood, last: time.Minute}.bytes()); err != nil {
		return err
	}
	b := make([]byte, 64<<10)
	for {
		k, _, err := l.ReadFrom(b)
		if err != nil {
			return err
		}
		n.Add(int64(k))
	}
}

func floodDatagrams(peer string) error {
	u, err := net.ListenPacket("udp4", ":0")
	if err != nil {
		return err
	}
	to, err := net.ResolveUDPAddr("udp4", peer)
	if err != nil {
		return err
	}
	return sendDatagrams(u, to, udpFlood, time.Minute)
}

// report replaces the count file's content: the count, and when it was so.
func report(n int64) error {
	f, err := os.OpenFile(countFile, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(fmt.Appendf(nil, "%20d %20d", n, time.Now().UnixNano()), 0)
	return errors.Join(err, f.Close())
}
