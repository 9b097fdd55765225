package qmp

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const greeting = `{"QMP": {"version": {"qemu": {"major": 7}}, "capabilities": []}}`

// fakeQEMU serves one connection: it sends greeting, answers each command with what answer
// returns, and hangs up when that is empty. It returns the socket and, once the client has
// closed, the commands received.
func fakeQEMU(t *testing.T, greeting string, answer func(command string) string) (string, <-chan []string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "qmp")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	received := make(chan []string, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		var commands []string
		defer func() { received <- commands }()
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		conn.Write([]byte(greeting + "\n"))
		lines := bufio.NewScanner(conn)
		for lines.Scan() {
			var request struct{ Execute string }
			if json.Unmarshal(lines.Bytes(), &request) != nil {
				return
			}
			commands = append(commands, lines.Text())
			text := `{"return": {}}`
			if request.Execute != "qmp_capabilities" {
				text = answer(request.Execute)
			}
			if text == "" {
				return
			}
			conn.Write([]byte(text + "\n"))
		}
	}()
	t.Cleanup(func() { listener.Close(); <-done })
	return path, received
}

func dial(t *testing.T, path string) *Client {
	t.Helper()
	client, err := Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

func TestExecuteSkipsEventsAndDecodesTheResult(t *testing.T) {
	path, received := fakeQEMU(t, greeting, func(string) string {
		return `{"event": "STOP", "timestamp": {}}` + "\n" + `{"return": {"status": "running", "running": true}}`
	})
	client := dial(t, path)
	var status struct{ Status string }
	if err := client.Execute(t.Context(), "query-status", nil, &status); err != nil {
		t.Fatal(err)
	}
	if status.Status != "running" {
		t.Errorf("got status %q", status.Status)
	}
	client.Close()
	want := []string{`{"execute":"qmp_capabilities"}`, `{"execute":"query-status"}`}
	if diff := cmp.Diff(want, <-received); diff != "" {
		t.Error(diff)
	}
}

func TestRefusalNamesTheCommandAndKeepsTheConnection(t *testing.T) {
	path, _ := fakeQEMU(t, greeting, func(command string) string {
		if command == "cont" {
			return `{"return": {}}`
		}
		return `{"error": {"class": "GenericError", "desc": "no such thing"}}`
	})
	client := dial(t, path)
	err := client.Execute(t.Context(), "frob", nil, nil)
	var refused *Error
	if !errors.As(err, &refused) || *refused != (Error{"frob", "GenericError", "no such thing"}) {
		t.Errorf("got error %v", err)
	}
	if err := client.Execute(t.Context(), "cont", nil, nil); err != nil {
		t.Errorf("after a refusal: %v", err)
	}
}

func TestMonitorReturnsTheText(t *testing.T) {
	path, received := fakeQEMU(t, greeting, func(string) string { return `{"return": "Error: no disk\r\n"}` })
	client := dial(t, path)
	text, err := client.Monitor(t.Context(), "savevm clean")
	if err != nil || text != "Error: no disk" {
		t.Errorf("got %q, %v", text, err)
	}
	client.Close()
	if got := (<-received)[1]; !strings.Contains(got, `{"command-line":"savevm clean"}`) {
		t.Errorf("sent %s", got)
	}
}

func TestHangUpIsAnError(t *testing.T) {
	path, _ := fakeQEMU(t, greeting, func(string) string { return "" })
	err := dial(t, path).Execute(t.Context(), "stop", nil, nil)
	if err == nil || !strings.Contains(err.Error(), "stop: QEMU closed the connection") {
		t.Errorf("got error %v", err)
	}
}

func TestEndOfContextInterruptsACommand(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	path, _ := fakeQEMU(t, greeting, func(string) string {
		cancel()
		return `{"event": "STOP"}`
	})
	if err := dial(t, path).Execute(ctx, "stop", nil, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want canceled", err)
	}
}

func TestOtherSocketsAreRefused(t *testing.T) {
	for name, greeting := range map[string]string{"no greeting": `{"return": {}}`, "no JSON": "SSH-2.0"} {
		t.Run(name, func(t *testing.T) {
			path, _ := fakeQEMU(t, greeting, func(string) string { return "" })
			if client, err := Dial(t.Context(), path); err == nil {
				client.Close()
				t.Error("accepted")
			}
		})
	}
}
