package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/internal/durable"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

func historyCommand(a *app) *cobra.Command {
	return group("history", "History: what instances asked for", importCommand(a), exportCommand(a))
}

func importCommand(a *app) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "import INSTANCE -f FILE", Short: "Import demand that was measured elsewhere", Args: exactly("instance"), ValidArgsFunction: completeInstance(a),
		Example: "  glidepath history import cache-1 -f cache-1.csv",
		Long: `Import demand that was measured elsewhere, so that there is a forecast from the start. The CSV has the column time
(RFC 3339 or Unix seconds) and any of cpu_cores, memory_bytes, read_iops, write_iops, read_bytes_s, write_bytes_s,
net_tx_bits_s and net_rx_bits_s; blank is missing. What is there already is kept.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if file == "" {
				return usagef("name a CSV with -f")
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			var raw json.RawMessage
			progress := a.progress()
			open := func() (io.ReadCloser, error) {
				in, err := os.Open(file)
				if err != nil {
					return nil, err
				}
				sent := &counted{progress: progress, what: file, in: in}
				if info, err := in.Stat(); err == nil {
					sent.total = info.Size()
				}
				return sent, nil
			}
			err = c.Upload(cmd.Context(), path("instances", args[0], "history"), open, &raw)
			progress.clear()
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(raw)
			}
			var r v1.ImportReply
			if err := json.Unmarshal(raw, &r); err != nil {
				return err
			}
			a.say("%s of %s imported for %s: %s to %s", count(r.Rows, "row"), took(r.Step), args[0], stamp(r.From), stamp(r.To))
			if steps := int(int64(r.To-r.From) / max(1, r.Step)); steps > r.Rows {
				have := "have"
				if steps-r.Rows == 1 {
					have = "has"
				}
				a.say("%d of %d steps %s no row: forecasts learn from the others", steps-r.Rows, steps, have)
			}
			if r.Late > 0 {
				a.say("%s older than the store keeps, and left out", proto.CountIs(r.Late, "value", "was", "were"))
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "CSV `file`")
	return cmd
}

func exportCommand(a *app) *cobra.Command {
	var file, from, to string
	var highest bool
	cmd := &cobra.Command{
		Use: "export INSTANCE", Short: "Write an instance's demand as the CSV that import reads, or as JSON", Args: exactly("instance"), ValidArgsFunction: completeInstance(a),
		Example: "  glidepath history export cache-1 --from -24h\n  glidepath history export cache-1 --max -f cache-1.csv\n  glidepath history export cache-1 --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			q := url.Values{}
			for name, text := range map[string]string{"from": from, "to": to} {
				if text == "" {
					continue
				}
				at, err := parseTime(text, time.Now())
				if err != nil {
					return usagef("--%s: %w", name, err)
				}
				q.Set(name, strconv.FormatInt(int64(timeline.Of(at)), 10))
			}
			if highest {
				q.Set("of", "max")
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			export := func(w io.Writer) error {
				where := path("instances", args[0], "history") + "?" + q.Encode()
				if !a.json {
					return c.Download(cmd.Context(), where, "", w)
				}
				var raw bytes.Buffer
				if err := c.Download(cmd.Context(), where, "application/json", &raw); err != nil {
					return err
				}
				return writeJSON(w, raw.Bytes())
			}
			if file == "" {
				return export(a.stdout)
			}
			if _, err := durable.SweepOf(file); err != nil && !errors.Is(err, fs.ErrNotExist) { // to write tells of the folder
				return err
			}
			progress := a.progress()
			defer progress.clear()
			return durable.WriteWith(durable.OS{}, file, 0o644, func(f durable.File) error {
				return export(&counted{progress: progress, what: file, out: f})
			})
		},
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "`file` to write; standard output by default")
	cmd.Flags().StringVar(&from, "from", "", "from the 5 minutes on that hold this time, like 2026-11-01T00:00Z or -24h")
	cmd.Flags().StringVar(&to, "to", "", "until this time")
	cmd.Flags().BoolVar(&highest, "max", false, "the highest demand in each step instead of the mean")
	return cmd
}
