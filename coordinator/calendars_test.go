package coordinator

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/proto"
)

func TestTheLeaderPollsCalendarsButNotItsOwnHost(t *testing.T) {
	cfg, _, m, c := alone(t)
	in := v1.CalendarRequest{URL: "https://" + cfg.API.Address() + "/private-1234", Selector: []proto.Label{{Key: "tier", Value: "cache"}}}
	var got v1.Calendar
	eventually(t, "add a calendar", func() error { return c.Call(context.Background(), "PUT", "/v1/calendars/sales", in, &got) })
	eventually(t, "it is polled", func() error {
		if err := c.Call(context.Background(), "GET", "/v1/calendars/sales", nil, &got); err != nil {
			return err
		}
		if p := got.Polled; p.At == 0 || p.Failures != 1 || !strings.Contains(p.Error, "the coordinator's own host") {
			return fmt.Errorf("%+v", p)
		}
		return nil
	})
	// They are counted after what came of them was committed.
	eventually(t, "it is counted", func() error {
		text, err := m.series(context.Background())
		if err != nil {
			return err
		}
		for _, want := range []string{`glidepath_calendar_polls_total{result="failed"} `, "glidepath_calendars_failing 1"} {
			if !strings.Contains(string(text), want) {
				return fmt.Errorf("metrics have no %s", want)
			}
		}
		return nil
	})
	for _, file := range tableFiles(m.tables.View()) {
		if strings.Contains(string(file.Data), "private-1234") {
			t.Errorf("a support bundle has the URL in %s", file.Name)
		}
	}
}
