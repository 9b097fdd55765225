package config

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

func TestALogIsTextOrJSONFromItsLevelOn(t *testing.T) {
	for _, c := range []struct {
		log    Log
		levels string
	}{
		{Log{Level: "debug", Format: "json"}, "DEBUG INFO WARN ERROR"},
		{Log{Level: "info", Format: "json"}, "INFO WARN ERROR"},
		{Log{Level: "warn", Format: "json"}, "WARN ERROR"},
		{Log{Level: "error", Format: "json"}, "ERROR"},
		{Log{Level: "warn", Format: "text"}, "WARN ERROR"},
	} {
		var out bytes.Buffer
		log, err := c.log.Logger(&out)
		if err != nil {
			t.Fatal(err)
		}
		log.Debug("sampled", "host", "host-a")
		log.Info("sampled", "host", "host-a")
		log.Warn("sampled", "host", "host-a")
		log.Error("sampled", "host", "host-a")
		var levels []string
		for line := range strings.Lines(out.String()) {
			if c.log.Format == "text" {
				_, rest, _ := strings.Cut(line, " level=")
				level, rest, _ := strings.Cut(rest, " ")
				if levels = append(levels, level); rest != "msg=sampled host=host-a\n" {
					t.Errorf("%+v: %s", c.log, line)
				}
				continue
			}
			var entry struct{ Time, Level, Msg, Host string }
			if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.Time == "" || entry.Msg != "sampled" || entry.Host != "host-a" {
				t.Errorf("%+v: %v: %s", c.log, err, line)
			}
			levels = append(levels, entry.Level)
		}
		if got := strings.Join(levels, " "); got != c.levels {
			t.Errorf("%+v logs %s, want %s", c.log, got, c.levels)
		}
	}
}

func TestWhatTheCommandLineSaysOfTheLogWinsOverTheFile(t *testing.T) {
	file := Log{Level: "info", Format: "text"}
	for over, want := range map[Log]Log{
		{}:                               file,
		{Level: "debug"}:                 {Level: "debug", Format: "text"},
		{Format: "json"}:                 {Level: "info", Format: "json"},
		{Level: "loud", Format: "papyr"}: {Level: "loud", Format: "papyr"},
	} {
		if got := file.Over(over); got != want {
			t.Errorf("%+v over the file is %+v", over, got)
		}
	}
	err := file.Over(Log{Level: "loud", Format: "papyr"}).Validate()
	if err == nil || !strings.Contains(err.Error(), "log.level") || !strings.Contains(err.Error(), "log.format") {
		t.Errorf("accepted, or not all of it refused: %v", err)
	}
}
