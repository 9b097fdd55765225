package wire

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// attack gives script a bare connection to a session, and returns why the session ended. Whatever the session sends is read away, unless deaf.
func attack(t *testing.T, opts Options, deaf bool, script func(conn net.Conn)) error {
	t.Helper()
	a, b := net.Pipe()
	s := NewSession(b, false, opts)
	var group sync.WaitGroup
	defer group.Wait()
	defer s.Close()
	defer a.Close()
	if !deaf {
		group.Go(func() { _, _ = io.Copy(io.Discard, a) })
	}
	group.Go(func() { script(a) })
	<-s.Done()
	return s.Err()
}

func frames(fs ...frame) []byte {
	var b []byte
	for _, f := range fs {
		b = appendFrame(b, f)
	}
	return b
}

func TestHostileFramesEndTheSession(t *testing.T) {
	// As a call it would be refused at once, and what follows on its stream would be late and no offence.
	opening := frame{kind: kindOpen, stream: 1, flags: flagStreaming, payload: openPayload("wait", time.Second)}
	asked := frame{kind: kindData, stream: 1, flags: flagLast}
	credit := func(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }
	ended := frame{kind: kindData, stream: 1, flags: flagEnd | flagLast}
	for name, data := range map[string][]byte{
		"unknown kind":              frames(frame{kind: 99, stream: 1}),
		"ping on a stream":          frames(frame{kind: kindPing, stream: 1, payload: make([]byte, 8)}),
		"data on no stream":         frames(frame{kind: kindData}),
		"ping too short":            frames(frame{kind: kindPing, payload: make([]byte, 7)}),
		"piece too long":            frames(opening, asked, frame{kind: kindData, stream: 1, payload: make([]byte, maxPayload+1)}),
		"unknown flags":             frames(frame{kind: kindOpen, stream: 1, flags: 0x80, payload: opening.payload}),
		"end with payload":          frames(opening, asked, frame{kind: kindData, stream: 1, flags: flagEnd, payload: []byte("x")}),
		"method missing":            frames(frame{kind: kindOpen, stream: 1, payload: make([]byte, 4)}),
		"method too long":           frames(frame{kind: kindOpen, stream: 1, payload: make([]byte, 4+maxMethod+1)}),
		"our own number":            frames(frame{kind: kindOpen, stream: 2, payload: opening.payload}),
		"number used twice":         frames(opening, opening),
		"number going down":         frames(frame{kind: kindOpen, stream: 5, payload: opening.payload}, frame{kind: kindOpen, stream: 3, payload: opening.payload}),
		"data never opened":         frames(frame{kind: kindData, stream: 7}),
		"reset never opened by us":  frames(frame{kind: kindReset, stream: 4, payload: []byte{1, 0, 0}}),
		"reset without error":       frames(opening, asked, frame{kind: kindReset, stream: 1, payload: []byte{0, 0, 0}}),
		"reset with long message":   frames(opening, asked, frame{kind: kindReset, stream: 1, payload: []byte{1, 255, 255}}),
		"credit above the window":   frames(opening, asked, frame{kind: kindCredit, stream: 1, payload: credit(1)}),
		"credit that overflows":     frames(opening, asked, frame{kind: kindCredit, stream: 1, payload: credit(1<<32 - 1)}),
		"data after the end":        frames(opening, asked, ended, ended),
		"more than the window":      frames(append([]frame{opening, asked}, manyPieces(window/maxPayload+1, maxPayload)...)...),
		"empty pieces without end":  frames(append([]frame{opening, asked}, manyPieces(window/frameCost+1, 0)...)...),
		"not our protocol at all":   []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
		"TLS inside the connection": {22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mux := NewMux()
				// A handler that takes nothing, so that what was sent stays where the window counts it.
				mux.HandleStream("wait", func(ctx context.Context, _ Peer, _ []byte, _ *Stream) error {
					<-ctx.Done()
					return ctx.Err()
				})
				err := attack(t, Options{Mux: mux}, false, func(conn net.Conn) { _, _ = conn.Write(data) })
				if !errors.Is(err, errProtocol) {
					t.Errorf("the session ended with %v", err)
				}
			})
		})
	}
}

func manyPieces(n, size int) []frame {
	fs := make([]frame, n)
	for i := range fs {
		fs[i] = frame{kind: kindData, stream: 1, payload: make([]byte, size)}
	}
	return fs
}

func TestHalfAFrameAndThenNothingIsNoSignOfLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		err := attack(t, Options{}, false, func(conn net.Conn) {
			data := frames(frame{kind: kindOpen, stream: 1, payload: openPayload("echo", 0)})
			for _, b := range data[:len(data)-1] { // a byte a second
				if _, err := conn.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		})
		if took := time.Since(start); !errors.Is(err, ErrPeerGone) || took > 10*time.Second {
			t.Errorf("after %v: %v", took, err)
		}
	})
}

func TestRequestThatNeverComesGivesItsPlaceBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		s := NewSession(b, false, Options{MaxStreams: 1})
		defer s.Close()
		defer a.Close()
		answers := make(chan frame, 10)
		go func() {
			for {
				f, err := readFrame(a)
				if err != nil {
					return
				}
				switch f.kind {
				case kindPing:
					_, _ = a.Write(frames(frame{kind: kindPong, payload: f.payload}))
				default:
					answers <- f
				}
			}
		}()
		start := time.Now()
		mux := s.opts.Mux
		mux.Handle("echo", func(_ context.Context, _ Peer, b []byte) ([]byte, error) { return b, nil })
		_, _ = a.Write(frames(frame{kind: kindOpen, stream: 1, payload: openPayload("echo", time.Hour)}))
		f := <-answers
		if e, err := decodeError(f.payload); f.kind != kindReset || err != nil || e.Code != Deadline || time.Since(start) != bodyTime {
			t.Errorf("after %v: %+v, %v", time.Since(start), e, err)
		}
		_, _ = a.Write(frames(frame{kind: kindOpen, stream: 3, payload: openPayload("echo", time.Hour)}, frame{kind: kindData, stream: 3, flags: flagLast | flagEnd}))
		if f := <-answers; f.kind != kindData || f.stream != 3 {
			t.Errorf("the place was not given back: %+v", f)
		}
	})
}

func TestPeerThatMakesUsAnswerAndDoesNotReadIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, make1 := range map[string]func(i int) frame{
			"pings":  func(int) frame { return frame{kind: kindPing, payload: make([]byte, 8)} },
			"opened": func(i int) frame { return frame{kind: kindOpen, stream: uint64(2*i + 1), payload: openPayload("x", 0)} },
		} {
			sent := 0
			err := attack(t, Options{MaxStreams: 1}, true, func(conn net.Conn) {
				for i := 0; ; i++ {
					if _, err := conn.Write(frames(make1(i))); err != nil {
						return
					}
					sent++
				}
			})
			if !errors.Is(err, errNotReading) && !errors.Is(err, ErrPeerGone) {
				t.Errorf("%s: after %d frames: %v", name, sent, err)
			}
			if sent > 2*outboxHard/headerSize {
				t.Errorf("%s: %d frames were taken", name, sent)
			}
		}
	})
}

// Opening and cancelling in turn must not start more handlers than are allowed at a time.
func TestCancelledCallsCountUntilTheirHandlerReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		running, most := make(chan struct{}, 1000), 0
		mux := NewMux()
		mux.Handle("deaf", func(context.Context, Peer, []byte) ([]byte, error) {
			running <- struct{}{}
			time.Sleep(5 * time.Second) // does not look at its context
			<-running
			return nil, nil
		})
		a, b := net.Pipe()
		s := NewSession(b, false, Options{Mux: mux, MaxStreams: 4})
		defer s.Close()
		defer a.Close()
		go func() { _, _ = io.Copy(io.Discard, a) }()
		for i := range 100 {
			id := uint64(2*i + 1)
			_, _ = a.Write(frames(
				frame{kind: kindOpen, stream: id, payload: openPayload("deaf", time.Minute)},
				frame{kind: kindData, stream: id, flags: flagLast | flagEnd},
				frame{kind: kindReset, stream: id, payload: []byte{byte(Canceled), 0, 0}}))
			synctest.Wait()
			most = max(most, len(running))
		}
		if most != 4 {
			t.Errorf("%d handlers ran at a time, want 4", most)
		}
	})
}

// A length costs nothing until the bytes are there.
func TestDeclaredLengthsAllocateLittle(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 1000 {
		b := frames(frame{kind: kindData, stream: 1, payload: make([]byte, maxPayload)})[:headerSize]
		b[2], b[3] = 0xff, 0xff
		if _, err := readFrame(bytes.NewReader(b)); !errors.Is(err, errProtocol) {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 1000*3*maxPayload {
		t.Errorf("allocated %d bytes", grown)
	}
}

func TestFramesKeepTheirBytes(t *testing.T) {
	got := frames(
		frame{kind: kindOpen, flags: flagStreaming, stream: 3, payload: openPayload("agent.operate", 1500*time.Millisecond)},
		frame{kind: kindData, flags: flagLast | flagEnd, stream: 3, payload: []byte("hi")},
		frame{kind: kindReset, stream: 3, payload: encodeError(&Error{Code: NotLeader, Message: "no", Detail: []byte("a:1")})},
		frame{kind: kindCredit, stream: 3, payload: []byte{0, 2, 0, 0}},
		frame{kind: kindPing, payload: []byte("12345678")},
		frame{kind: kindPong, payload: []byte("12345678")},
	)
	want := "\x01\x04\x00\x11\x00\x00\x00\x00\x00\x00\x00\x03\x00\x00\x05\xdcagent.operate" +
		"\x02\x03\x00\x02\x00\x00\x00\x00\x00\x00\x00\x03hi" +
		"\x03\x00\x00\x08\x00\x00\x00\x00\x00\x00\x00\x03\x06\x00\x02noa:1" +
		"\x04\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x03\x00\x02\x00\x00" +
		"\x05\x00\x00\x08\x00\x00\x00\x00\x00\x00\x00\x0012345678" +
		"\x06\x00\x00\x08\x00\x00\x00\x00\x00\x00\x00\x0012345678"
	if string(got) != want {
		t.Errorf("frames changed on the wire:\n got %q\nwant %q", got, want)
	}
}

func FuzzReadFrame(f *testing.F) {
	f.Add(frames(frame{kind: kindOpen, stream: 1, payload: openPayload("echo", time.Second)}))
	f.Add(frames(frame{kind: kindData, flags: flagLast, stream: 1, payload: []byte("x")}, frame{kind: kindPing, payload: make([]byte, 8)}))
	f.Add(frames(frame{kind: kindReset, stream: 1, payload: encodeError(NotLeaderError("a:1"))}))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bytes.NewReader(data)
		var again []byte
		for {
			fr, err := readFrame(r)
			if err != nil {
				break
			}
			if fr.kind == kindOpen {
				parseOpen(fr.payload)
			}
			if fr.kind == kindReset {
				if e, err := decodeError(fr.payload); err == nil && len(encodeError(e)) > 3+maxMessage+MaxDetail {
					t.Fatal("an error grew on its way")
				}
			}
			again = appendFrame(again, fr)
		}
		if !bytes.HasPrefix(data, again) {
			t.Fatal("a frame did not come back as it was")
		}
	})
}

func FuzzSessionSurvivesAnyBytes(f *testing.F) {
	f.Add(frames(frame{kind: kindOpen, stream: 1, payload: openPayload("echo", time.Second)}, frame{kind: kindData, stream: 1, flags: flagLast | flagEnd}))
	f.Add(frames(frame{kind: kindOpen, flags: flagStreaming, stream: 1, payload: openPayload("stream", 0)}, frame{kind: kindData, stream: 1, flags: flagLast},
		frame{kind: kindData, stream: 1, flags: flagEnd}))
	f.Fuzz(func(_ *testing.T, data []byte) {
		mux := NewMux()
		mux.Handle("echo", func(_ context.Context, _ Peer, b []byte) ([]byte, error) { return b, nil })
		mux.HandleStream("stream", func(_ context.Context, _ Peer, _ []byte, st *Stream) error {
			for {
				m, err := st.Recv()
				if errors.Is(err, io.EOF) {
					return nil
				}
				if err != nil {
					return err
				}
				if err := st.Send(m); err != nil {
					return err
				}
			}
		})
		a, b := net.Pipe()
		s := NewSession(b, false, Options{Mux: mux})
		go func() { _, _ = io.Copy(io.Discard, a) }()
		_, _ = a.Write(data)
		a.Close()
		<-s.Done()
		s.Close()
	})
}
