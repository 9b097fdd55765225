//go:build linux

package scenarios

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/glidepath/glidepath/testenv/vm"
	"github.com/glidepath/glidepath/testenv/vm/vmtest"
)

// block is a piece of the quick start that is typed on hosts.
type block struct {
	section string // its heading
	on      []string
	text    string
}

var (
	fenced = regexp.MustCompile("(?ms)^(?:## ([^\n]*)|```(\\w*)([^\n]*)\n(.*?)^```)$")
	fence  = regexp.MustCompile("(?m)^[ \t]*```")
	places = regexp.MustCompile(`^ on=([a-z0-9,-]+)$`)
)

// blocksOf returns the blocks of the quick start's text. All say where they are typed, so that none is passed over.
func blocksOf(text string) ([]block, error) {
	var out []block
	section := ""
	for _, m := range fenced.FindAllStringSubmatch(text, -1) {
		if strings.HasPrefix(m[0], "## ") {
			section = m[1]
			continue
		}
		on := places.FindStringSubmatch(m[3])
		if m[2] != "sh" || on == nil {
			return nil, fmt.Errorf("a block of %q begins ```%s%s: say where it is typed, as ```sh on=c1", section, m[2], m[3])
		}
		out = append(out, block{section, strings.Split(on[1], ","), m[4]})
	}
	if fences := len(fence.FindAllString(text, -1)); fences != 2*len(out) {
		return nil, fmt.Errorf("of %d fences only those of %d blocks are understood: end each block, and indent none", fences, len(out))
	}
	return out, nil
}

func TestNoBlockOfTheQuickStartIsPassedOver(t *testing.T) {
	const sound = "# Start\n## 1. One\n```sh on=c1\na\n```\nthen\n## 2. Two\n```sh on=host-a,host-b\n## b\n```\n"
	got, err := blocksOf(sound)
	want := []block{{"1. One", []string{"c1"}, "a\n"}, {"2. Two", []string{"host-a", "host-b"}, "## b\n"}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	for _, more := range []string{"```\nc\n```\n", "```sh\nc\n```\n", "```yaml on=c1\nc\n```\n", "```sh on=c1\nc\n", "- as\n  ```sh on=c1\n  c\n  ```\n"} {
		for _, text := range []string{sound + more, more + sound} {
			if got, err := blocksOf(text); err == nil {
				t.Errorf("%q is read as %v", text, got)
			}
		}
	}
}

// pasted is what a person has on the screen, and pastes where the text has an ellipsis.
type pasted struct{ screen string }

var (
	exported = regexp.MustCompile(`(?m)^(\s*export \w+=)…$`)
	ellipsis = regexp.MustCompile(`\S*…`)
	// What stands before the ellipsis says what is meant: a token to join with, or the identifier of a migration.
	wanted = map[string]*regexp.Regexp{"gpj1.…": regexp.MustCompile(`gpj1\.[\w.=-]+`), "01…": regexp.MustCompile(`\b[0-9A-HJKMNP-TV-Z]{26}\b`)}
)

func (p *pasted) fill(text string) (string, error) {
	var err error
	last := func(what *regexp.Regexp, of string) string {
		all := what.FindAllString(p.screen, -1)
		if len(all) == 0 {
			err = fmt.Errorf("nothing to paste for %q has been printed", of)
			return of
		}
		return strings.TrimSpace(all[len(all)-1])
	}
	text = exported.ReplaceAllStringFunc(text, func(line string) string {
		return last(regexp.MustCompile(`(?m)^\s*`+regexp.QuoteMeta(strings.TrimSuffix(strings.TrimSpace(line), "…"))+`\S+$`), line)
	})
	text = ellipsis.ReplaceAllStringFunc(text, func(word string) string {
		what, known := wanted[word]
		if !known {
			err = fmt.Errorf("it is not known what to paste for %q", word)
			return word
		}
		return last(what, word)
	})
	return text, err
}

func TestPastingTakesWhatWasPrintedLast(t *testing.T) {
	p := &pasted{"  export A=one\n  export A=two\nMigration 01JD8Z4QK3ABCDEFGHJKMNPQRS of x\ngpj1.abc gpj1.d_e-f\n"}
	got, err := p.fill("export A=…\njoin --token gpj1.…\nreturn 01… --watch\n")
	if want := "export A=two\njoin --token gpj1.d_e-f\nreturn 01JD8Z4QK3ABCDEFGHJKMNPQRS --watch\n"; err != nil || got != want {
		t.Errorf("%q, %v", got, err)
	}
	for _, text := range []string{"export B=…", "show …"} {
		if _, err := p.fill(text); err == nil {
			t.Errorf("%q is filled", text)
		}
	}
}

// TestQuickStart does what docs/quickstart.md says, block by block, on three guests that have nothing of the project at first.
func TestQuickStart(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "quickstart.md"))
	must(t, err)
	blocks, err := blocksOf(string(text))
	must(t, err)
	vmtest.Require(t)
	w := &walk{T: t, exports: map[string]string{}, fleet: vmtest.Fleet(t, vm.Spec{
		Guests:     []vm.GuestSpec{{Name: "c1", Addr: "10.77.0.11/24"}, {Name: "host-a", Addr: "10.77.0.21/24"}, {Name: "host-b", Addr: "10.77.0.22/24"}},
		Namespaces: []vm.NamespaceSpec{{Name: "clients", Addr: "10.77.0.31/24"}},
	})}
	ctx, cancel := context.WithTimeout(t.Context(), 12*time.Minute)
	defer cancel()
	w.ctx = ctx
	for _, g := range w.fleet.Guests() {
		must(t, g.StepClock(ctx, 0))
		// As hosts have one; by it the agent finds the interface.
		w.shell(g.Name(), "ip route add default via 10.77.0.254")
		for _, name := range []string{"agent", "coordinator"} {
			deb, err := filepath.Glob(filepath.Join(debs(), "glidepath-"+name+"_*.deb"))
			if err != nil || len(deb) != 1 {
				t.Fatalf("%v, %v: run make clean deb", deb, err)
			}
			if (g.Name() == "c1") == (name == "coordinator") {
				must(t, g.CopyTo(ctx, deb[0], "/root/"+filepath.Base(deb[0])))
			}
		}
	}
	before := w.traces()
	w.walk(blocks)
	for host, was := range before {
		if now := w.traces()[host]; now != was {
			t.Errorf("%s is not as it was before:\n%s\ninstead of\n%s", host, now, was)
		}
	}
}

// walk is a person's way through the quick start.
type walk struct {
	*testing.T
	ctx   context.Context
	fleet *vm.Fleet

	mu      sync.Mutex
	pasted  pasted
	exports map[string]string // of the shell on each host
}

// walk types all blocks in their order, and looks from outside at what each section promises.
func (w *walk) walk(blocks []block) {
	looks := map[string]func(){
		"1. Build the packages":       func() {},
		"2. Make a fleet":             w.runsAsItsUser,
		"3. Take in the hosts":        func() {},
		"4. Adopt the nginx":          func() { w.serves("host-a") },
		"5. Look ahead, then move it": func() { w.serves("host-b") },
		"6. Take it back":             func() { w.serves("host-a") },
		"7. Remove everything":        func() { w.shell("host-a", "systemctl is-active nginx") },
	}
	for i, b := range blocks {
		began := time.Now()
		var typing sync.WaitGroup
		for _, host := range b.on {
			if host != "build" {
				typing.Go(func() { w.enter(host, b) })
			}
		}
		typing.Wait()
		if w.Failed() {
			w.FailNow()
		}
		w.Logf("%s, on %s: %s", b.section, strings.Join(b.on, " and "), time.Since(began).Round(100*time.Millisecond))
		if i+1 < len(blocks) && blocks[i+1].section == b.section {
			continue
		}
		look, known := looks[b.section]
		if !known {
			w.Fatalf("section %q is new: say what holds after it", b.section)
		}
		look()
		delete(looks, b.section)
	}
	if len(looks) > 0 {
		w.Errorf("these sections are gone: %q", slices.Sorted(maps.Keys(looks)))
	}
}

// enter types a block on a host, as root in its home. What a shell exports stays. It may be called concurrently.
func (w *walk) enter(host string, b block) {
	w.Helper()
	w.mu.Lock()
	text, err := w.pasted.fill(b.text)
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "export ") {
			w.exports[host] += line
		}
	}
	exports := w.exports[host]
	w.mu.Unlock()
	if err != nil {
		w.Errorf("%s, on %s: %v:\n%s", b.section, host, err, b.text)
		return
	}
	var out strings.Builder
	err = w.fleet.Guest(host).Run(w.ctx, vm.Command{
		Argv: []string{"bash", "-eu", "-c", "export HOME=/root DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8\ncd\n" + exports + text}, Stdout: &out, Stderr: &out,
	})
	w.mu.Lock()
	w.pasted.screen += out.String()
	w.mu.Unlock()
	if err != nil {
		w.Errorf("%s, on %s: %v:\n%s\nIt said:\n%s", b.section, host, err, text, out.String())
	}
}

func (w *walk) shell(host, script string) string {
	w.Helper()
	out, err := w.fleet.Guest(host).Shell(w.ctx, script)
	if err != nil {
		w.Fatalf("on %s: %v\n%s", host, err, out)
	}
	return out
}

// runsAsItsUser checks whose the coordinator and its data are.
func (w *walk) runsAsItsUser() {
	w.Helper()
	out := w.shell("c1", "systemctl show --property=User,ActiveState glidepathd.service; stat -c '%U %a' /var/lib/glidepath/coordinator")
	for _, want := range []string{"User=glidepath\n", "ActiveState=active\n", "glidepath 700\n"} {
		if !strings.Contains(out, want) {
			w.Errorf("the coordinator is not as it should be, %q: %s", want, out)
		}
	}
}

// serves checks that the page comes from the floating address, and that one host alone has the address and runs the nginx.
func (w *walk) serves(host string) {
	w.Helper()
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DialContext: w.fleet.Namespace("clients").DialContext, DisableKeepAlives: true}}
	request, err := http.NewRequestWithContext(w.ctx, http.MethodGet, "http://10.77.0.60/", http.NoBody)
	must(w.T, err)
	reply, err := client.Do(request)
	must(w.T, err)
	defer reply.Body.Close()
	page, err := io.ReadAll(reply.Body)
	must(w.T, err)
	if !strings.Contains(string(page), "hello from the first host") {
		w.Errorf("the page is %q", page)
	}
	for _, at := range []string{"host-a", "host-b"} {
		has := strings.Contains(w.shell(at, "ip -oneline address"), "10.77.0.60/")
		runs := strings.TrimSpace(w.shell(at, "systemctl is-active nginx || true")) == "active"
		if want := at == host; has != want || runs != want {
			w.Errorf("%s has the address: %v, runs the nginx: %v", at, has, runs)
		}
	}
}

// traces lists what of the project there could be on each host: its files, units, drop-ins, programs, limits of the nginx, addresses.
func (w *walk) traces() map[string]string {
	w.Helper()
	out := map[string]string{}
	for _, g := range w.fleet.Guests() {
		out[g.Name()] = w.shell(g.Name(), `
			find /etc/systemd/system /run/systemd/system /run/systemd/transient /etc/glidepath /var/lib/glidepath /run/glidepath /usr/libexec/glidepath /sys/fs/bpf \
				-mindepth 1 ! -name nginx.service 2>/dev/null | sort || true
			find /usr/bin /usr/lib/systemd/system -name '*glidepath*' | sort
			dpkg-query --show --showformat '${Package} ${Status}\n' 'glidepath*' 2>/dev/null | grep -v ' not-installed' || true
			systemctl list-units --all --plain --no-legend 'glidepath*' | cut -d' ' -f1
			systemctl show nginx.service --property=CPUQuotaPerSecUSec,MemoryHigh,MemoryMax,MemoryLow,IOReadBandwidthMax,IOWriteBandwidthMax,IPEgressFilterPath,DropInPaths,FragmentPath
			find /etc/nginx -type f -exec sha256sum {} + | sort
			ip -oneline -4 address | awk '{print $2, $4}'`)
	}
	return out
}
