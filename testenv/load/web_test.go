package load

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func TestAWebServersPagesAreAskedFor(t *testing.T) {
	answer := "the page\n"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Host", "host-a")
		w.Write([]byte(answer)) //nolint:errcheck // the client will notice
	}))
	defer server.Close()
	dial := func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", server.Listener.Addr().String())
	}
	web := &Web{Host: "web-1", Page: "the page\n"}
	c, err := web.Connect(t.Context(), dial, time.Second, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := c.Put(t.Context(), "", ""); err != nil {
			t.Fatal(err)
		}
	}
	if seen := web.Seen(); len(seen) != 2 || seen[0].By != "host-a" {
		t.Errorf("seen: %v", seen)
	}
	answer = "Welcome to nginx!"
	var refused ServerError
	if err := c.Put(t.Context(), "", ""); !errors.As(err, &refused) {
		t.Errorf("another page: %v", err)
	}
	server.Close()
	if err := c.Put(t.Context(), "", ""); err == nil || errors.As(err, &refused) {
		t.Errorf("a server that is gone: %v", err)
	}
	if got := len(web.Seen()); got != 2 {
		t.Errorf("%d pages were seen", got)
	}
}
