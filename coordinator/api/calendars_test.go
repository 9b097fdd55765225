package api_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

const secretURL = "https://ann:hunter2@cal.example/private-1234/sales.ics?key=sesame"

func TestACalendarIsRegisteredShownAndRemoved(t *testing.T) {
	w := newWorld(t)
	w.adopt("cache-1")
	in := v1.CalendarRequest{URL: secretURL, Instances: []string{"cache-1"}, Selector: []proto.Label{{Key: "tier", Value: "cache"}}, Timezone: "UTC"}
	got := ok[v1.Calendar](w, "PUT /v1/calendars/sales", in)
	if got.Name != "sales" || got.Every != (15*time.Minute).Milliseconds() || got.URL != "https://…@cal.example/…" || !strings.HasPrefix(got.Source, "the-admin/") {
		t.Errorf("%+v", got)
	}
	if kept, _ := w.View().Calendar("sales"); kept.URL != secretURL {
		t.Errorf("what is fetched is %s", kept.URL)
	}
	start := timeline.Of(time.Now().Add(time.Hour))
	w.Must(&proto.CalendarPoll{
		Calendar: "sales", Revision: got.Revision, ETag: "1", Events: 1, Put: []proto.Event{{ID: "sales:1", Kind: "sale", Span: timeline.Span{Start: start, End: start + 1000}}},
	})
	w.Must(&proto.CalendarPoll{Calendar: "sales", Revision: got.Revision, Error: "the server answers 410"})
	one := ok[v1.Calendar](w, "GET /v1/calendars/sales", nil)
	all := ok[v1.List[v1.Calendar]](w, "GET /v1/calendars", nil)
	if p := one.Polled; p.Error != "the server answers 410" || p.Events != 1 || p.FetchedAt == 0 || len(all.Items) != 1 || all.Items[0].Polled != p {
		t.Errorf("%+v %+v", one, all)
	}
	if e := ok[v1.List[proto.Event]](w, "GET /v1/events", nil).Items[0]; e.Calendar != "sales" || e.Source != "calendar sales" {
		t.Errorf("%+v", e)
	}
	w.fails(v1.CodeRefused, http.StatusUnprocessableEntity, "DELETE /v1/events/sales:1", nil)
	e := w.fails(v1.CodeRefused, http.StatusUnprocessableEntity, "POST /v1/events", v1.EventRequest{ID: "sales:1", Kind: "k", Start: start, End: start + 1, Instances: []string{"cache-1"}})
	if !strings.Contains(e.Message, "follows calendar sales: change it there, or remove the calendar") {
		t.Error(e.Message)
	}
	ok[v1.Empty](w, "DELETE /v1/calendars/sales", nil)
	w.fails(v1.CodeNotFound, http.StatusNotFound, "GET /v1/calendars/sales", nil)
	w.fails(v1.CodeNotFound, http.StatusNotFound, "DELETE /v1/calendars/sales", nil)
	if left := ok[v1.List[proto.Event]](w, "GET /v1/events", nil).Items; len(left) != 0 {
		t.Errorf("%+v", left)
	}
}

func TestTheSecretOfACalendarIsToldToNobody(t *testing.T) {
	w := newWorld(t)
	w.adopt("cache-1")
	in := v1.CalendarRequest{URL: secretURL, Instances: []string{"cache-1"}}
	var told strings.Builder
	told.WriteString(w.ask(proto.RoleAdmin, "PUT /v1/calendars/sales", in).Body.String())
	for _, role := range []proto.Role{proto.RoleViewer, proto.RoleOperator, proto.RoleAdmin} {
		told.WriteString(w.ask(role, "GET /v1/calendars/sales", nil).Body.String())
		told.WriteString(w.ask(role, "GET /v1/calendars", nil).Body.String())
	}
	for _, bad := range []string{"https://ann:hunter2@/private-1234?key=sesame", "ftp://ann:hunter2@cal.example/private-1234", "https://hunter2.example/%zzsesame", "https://cal.example/private-1234#sesame", "https://cal.example/private-1234 sesame"} {
		in.URL = bad
		e := w.fails(v1.CodeInvalid, http.StatusBadRequest, "PUT /v1/calendars/other", in)
		told.WriteString(e.Message + e.Remedy)
	}
	told.WriteString(w.Audit())
	for _, secret := range []string{"hunter2", "private-1234", "sesame"} {
		if strings.Contains(told.String(), secret) {
			t.Errorf("%s is told: %s", secret, told.String())
		}
	}
	if !strings.Contains(w.Audit(), "calendars/sales") {
		t.Errorf("it is not audited: %s", w.Audit())
	}
}

func TestWhatCanBeNoCalendarIsRefused(t *testing.T) {
	w := newWorld(t)
	w.adopt("cache-1")
	for says, change := range map[string]func(*v1.CalendarRequest){
		"has no URL":               func(r *v1.CalendarRequest) { r.URL = "" },
		"neither https:// nor":     func(r *v1.CalendarRequest) { r.URL = "file:///etc/passwd" },
		"touches nothing":          func(r *v1.CalendarRequest) { r.Instances = nil },
		"use 1 minute to 7 days":   func(r *v1.CalendarRequest) { r.Every = 59_999 },
		"name one like":            func(r *v1.CalendarRequest) { r.Timezone = "Mars/Olympus" },
		"name for a kind of event": func(r *v1.CalendarRequest) { r.Kind = "a b" },
		"negative size":            func(r *v1.CalendarRequest) { r.Size = -1 },
	} {
		in := v1.CalendarRequest{URL: "https://cal.example/a.ics", Instances: []string{"cache-1"}}
		change(&in)
		if e := w.fails(v1.CodeInvalid, http.StatusBadRequest, "PUT /v1/calendars/sales", in); !strings.Contains(e.Message, says) {
			t.Errorf("%s: %s", says, e.Message)
		}
	}
	w.fails(v1.CodeNotFound, http.StatusNotFound, "PUT /v1/calendars/sales", v1.CalendarRequest{URL: "https://cal.example/a.ics", Instances: []string{"nothing"}})
	w.fails(v1.CodeInvalid, http.StatusBadRequest, "PUT /v1/calendars/a%20b", v1.CalendarRequest{URL: "https://cal.example/a.ics", Instances: []string{"cache-1"}})
}
