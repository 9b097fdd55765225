package load

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"
)

// server is a small Redis in this process, on connections that a bubble of synctest can hold.
type server struct {
	mu    sync.Mutex
	data  map[string]string
	conns map[net.Conn]bool
	down  bool
	cost  time.Duration // of CPU, per sort
	slow  time.Duration // that a sort takes
	busy  chan struct{} // holds the sort that runs; a bubble's time stands still while a mutex is waited for
	cpu   time.Duration
	sorts int
	says  string // instead of doing anything
	wg    sync.WaitGroup
}

func newServer() *server {
	return &server{data: map[string]string{}, conns: map[net.Conn]bool{}, busy: make(chan struct{}, 1)}
}

func (s *server) dial(context.Context) (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return nil, errors.New("connection refused")
	}
	here, there := net.Pipe()
	s.conns[there] = true
	s.wg.Go(func() { s.serve(there) })
	return here, nil
}

// stop breaks all connections, and refuses new ones until start.
func (s *server) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = true
	for c := range s.conns {
		c.Close()
	}
	clear(s.conns)
}

func (s *server) start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = false
}

func (s *server) serve(conn net.Conn) {
	defer conn.Close()
	in := &connReader{bufio.NewReader(conn)}
	for {
		args, err := in.command()
		if err != nil {
			return
		}
		if _, err := conn.Write([]byte(s.answer(args))); err != nil {
			return
		}
	}
}

func (s *server) answer(args []string) string {
	if args[0] == "SORT" {
		s.busy <- struct{}{}
		time.Sleep(s.slow)
		<-s.busy
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.says != "" {
		return "-" + s.says + "\r\n"
	}
	switch args[0] {
	case "SET":
		s.data[args[1]] = args[2]
		return "+OK\r\n"
	case "MGET":
		out := fmt.Sprintf("*%d\r\n", len(args)-1)
		for _, key := range args[1:] {
			if value, found := s.data[key]; found {
				out += fmt.Sprintf("$%d\r\n%s\r\n", len(value), value)
			} else {
				out += "$-1\r\n"
			}
		}
		return out
	case "DEL", "UNLINK":
		for _, key := range args[1:] {
			delete(s.data, key)
		}
		return fmt.Sprintf(":%d\r\n", len(args)-1)
	case "RPUSH":
		s.data[args[1]] = strings.Join(args[2:], " ")
		return ":1\r\n"
	case "SORT":
		s.sorts++
		s.cpu += s.cost
		return "*1\r\n$1\r\n9\r\n"
	case "INFO":
		info := fmt.Sprintf("# Server\r\nrun_id:abc\r\nused_cpu_sys_main_thread:%f\r\nused_cpu_user_main_thread:0.0\r\ncmdstat_sort:calls=%d,usec=1\r\n",
			s.cpu.Seconds(), s.sorts)
		return fmt.Sprintf("$%d\r\n%s\r\n", len(info), info)
	}
	return "-ERR unknown command\r\n"
}

// connReader reads commands with the client's own decoder, as a command is an array of bulk strings.
type connReader struct{ r *bufio.Reader }

func (c *connReader) command() ([]string, error) {
	r, err := (&conn{r: c.r}).read(0)
	if err != nil {
		return nil, err
	}
	var args []string
	for _, item := range r.items {
		args = append(args, item.text)
	}
	if len(args) == 0 {
		return nil, errors.New("an empty command")
	}
	return args, nil
}
