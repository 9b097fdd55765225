package service

import (
	"context"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/glidepath/glidepath/agent/enforce/systemd"
	"github.com/glidepath/glidepath/agent/fence"
	"github.com/glidepath/glidepath/proto"
)

const (
	hookMemory  = 256 << 20 // bytes that a hook may take
	hookLines   = 50        // of a hook's output that go to the journal, the last ones
	hookLine    = 500       // bytes of a line there
	hookWords   = 300       // bytes of a hook's output that go into its failure, the last ones
	hookFact    = 1000      // bytes of a fact that a hook is told
	hookProblem = 5         // that are named of a hook list which is wrong

	// hookGrace is how long after its hooks a target does not refuse by itself: what they were run for is on its way.
	hookGrace = 15 * time.Second
)

// hooking is what runs of an instance's hooks, and when they last ended.
type hooking struct {
	migration string
	running   int
	ended     time.Time
}

// hookBegins notes that hooks run, until ended is called.
func (d *Driver) hookBegins(op proto.Operation) (ended func()) {
	change := func(by int) {
		d.mu.Lock()
		defer d.mu.Unlock()
		h := d.told[op.Instance]
		h.migration, h.ended, h.running = op.Migration, time.Now(), h.running+by
		d.told[op.Instance] = h
	}
	change(1)
	return func() { change(-1) }
}

// hooksLately reports whether hooks of an instance run in a migration, or have ended just now: a leader carries it on.
func (d *Driver) hooksLately(instance, migration string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	h, ok := d.told[instance]
	return ok && h.migration == migration && (h.running > 0 || time.Since(h.ended) < hookGrace)
}

// hooks runs the instance's hooks of one point, one after the other. They change nothing of who may run the instance, so that it may be called while another operation
// of the instance runs. Called again it runs them again: that they can stand that is what hooks promise.
func (j *job) hooks(ctx context.Context) error {
	call := j.op.Hook
	if call == nil {
		return j.refusal(fmt.Sprintf("hooks of instance %s were asked for without their point", j.op.Instance), "upgrade the coordinators")
	}
	r := j.Fence.Get(j.op.Instance)
	token := fence.Token{Incarnation: j.op.Incarnation, Fence: j.op.Fence}
	switch {
	case r.State == proto.FenceNone:
		return j.refusal(fmt.Sprintf("instance %s is not known here, so none of its hooks are run", j.op.Instance), "see `glidepath migration show "+j.op.Migration+"`")
	case token.Compare(r.Token) < 0:
		return &proto.Fault{
			Code: proto.FaultStale, What: fmt.Sprintf("%s hooks of instance %s came under %s, this host has seen %s", call.Point, j.op.Instance, token, r.Token),
			Remedy: "nothing needs doing; a newer decision holds",
		}
	}
	// What is run is what the operation names, each time by the leave of this host's own list: it may be another than when the instance was adopted.
	if err := j.hooksFine(j.op.Spec.Hooks); err != nil {
		return err
	}
	env := j.hookFacts(*call)
	var failed []string
	for _, h := range j.op.Spec.Hooks.Run(call.Point, call.Side) {
		began := time.Now()
		why := j.runHook(ctx, call.Point, h, env)
		j.result.Hooks = append(j.result.Hooks, proto.HookResult{Program: h.Exec[0], Took: time.Since(began).Milliseconds(), Failure: why})
		if why == "" || call.Point.Before() && h.Failure == proto.HookIgnore && ctx.Err() == nil {
			continue
		}
		failed = append(failed, h.Exec[0]+" "+why)
		if call.Point.Before() || ctx.Err() != nil {
			break
		}
	}
	if len(failed) == 0 {
		return nil
	}
	return &proto.Fault{
		Code: proto.FaultFailed, What: fmt.Sprintf("%s hook of instance %s on host %s: %s", call.Point, j.op.Instance, j.Host, strings.Join(failed, "; ")),
		Remedy: "see journalctl -u glidepath-agent there for all that it wrote",
	}
}

// hooksFine refuses hooks that this host's list does not name, or that can't be run.
func (d *Driver) hooksFine(hooks proto.Hooks) error {
	if wrong := hooks.Problems(); len(wrong) > 0 {
		return d.refusal(strings.Join(wrong[:min(len(wrong), hookProblem)], "; "), "correct the instance's file, and apply it again")
	}
	for _, h := range hooks.All() {
		if err := d.Allow.Hook(h); err != nil {
			return err
		}
	}
	return nil
}

// hooksThere refuses a host on which a hook could not even be started, before anything depends on it. A host has to have those of both sides:
// an instance that came here may leave again.
func (d *Driver) hooksThere(hooks proto.Hooks) error {
	if err := d.hooksFine(hooks); err != nil {
		return err
	}
	for _, h := range hooks.All() {
		info, err := os.Stat(h.Exec[0])
		switch {
		case err != nil:
			return d.refusal(fmt.Sprintf("hook %s can't be run: %v", h.Exec[0], err), "install it on every host that the instance may come to")
		case !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0:
			return d.refusal(fmt.Sprintf("hook %s is no program: it can't be executed", h.Exec[0]), "chmod 0755 "+h.Exec[0])
		}
		if _, err := user.Lookup(h.ExecUser()); err != nil {
			return d.refusal(fmt.Sprintf("user %s, who is to run hook %s, is not there", h.ExecUser(), h.Exec[0]), "create it there, or name another in the instance's file")
		}
	}
	return nil
}

// runHook runs one hook and returns how it failed; "" if it did not.
func (j *job) runHook(ctx context.Context, p proto.HookPoint, h proto.Hook, env []string) (failure string) {
	log := j.Log.With("instance", j.op.Instance, "migration", j.op.Migration, "hook", p, "program", h.Exec[0])
	log.Info("hook begins", "user", h.ExecUser())
	began := time.Now()
	res, err := j.Systemd.RunTransient(ctx, systemd.RunSpec{
		Unit: "glidepath-hook-" + j.op.Instance + ".service", Description: fmt.Sprintf("Glidepath: %s hook of %s", p, j.op.Instance),
		Command: literal(h.Exec), User: h.ExecUser(), Env: env, Timeout: h.Time(), MemoryMax: hookMemory,
	})
	for _, line := range lastLines(res.Output, hookLines) {
		log.Info("hook says", "line", line)
	}
	switch {
	case err != nil:
		failure = "could not be run to its end: " + plain(err.Error(), hookWords)
	case res.OK():
	case res.Why == "timeout":
		failure = fmt.Sprintf("did not end within %s, and was killed", h.Time())
	default:
		failure = fmt.Sprintf("ended with %s %d", res.Why, res.ExitStatus)
	}
	if failure == "" {
		log.Info("hook done", "took", time.Since(began))
		return ""
	}
	if words := strings.TrimSpace(plain(tailOf(strings.TrimSpace(res.Output), hookWords), hookWords)); words != "" {
		failure += ": " + words
	}
	log.Warn("hook failed", "took", time.Since(began), "why", failure)
	return failure
}

// hookFacts is what hooks are told of their migration.
func (j *job) hookFacts(c proto.HookCall) []string {
	own, other := c.Source, c.Target
	if c.Side == proto.HookTarget {
		own, other = other, own
	}
	addr, prefix := "", ""
	var addresses []string
	for i, p := range j.op.Spec.Floating() {
		if i == 0 {
			addr, prefix = p.Addr().String(), p.String()
		}
		addresses = append(addresses, p.Addr().String())
	}
	unit := ""
	if s := j.op.Spec.Service; s != nil {
		unit = s.Unit
	}
	var env []string
	for _, f := range [][2]string{
		{"HOOK", string(c.Point)}, {"ROLE", string(c.Side)}, {"ATTEMPT", strconv.Itoa(c.Attempt)},
		{"INSTANCE", j.op.Instance}, {"UNIT", unit}, {"ADDRESS", addr}, {"ADDRESS_PREFIX", prefix}, {"ADDRESSES", strings.Join(addresses, " ")},
		{"MIGRATION", j.op.Migration}, {"RETURNS", c.Returns}, {"SOURCE", c.Source}, {"TARGET", c.Target}, {"HOST", own}, {"PEER", other},
		{"FROM_TYPE", c.FromType}, {"TO_TYPE", c.ToType}, {"FENCE", strconv.FormatUint(j.op.Fence, 10)}, {"REASON", c.Reason},
	} {
		env = append(env, "GLIDEPATH_"+f[0]+"="+plain(f[1], hookFact))
	}
	return env
}

// plain returns text as one bounded line without control characters: it comes from commands and people, and goes into the environment of others and to terminals.
func plain(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || !unicode.IsPrint(r) && r != ' ' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "")
	}
	return text
}

// tailOf returns the last bytes of a text.
func tailOf(text string, most int) string {
	if len(text) > most {
		return strings.ToValidUTF8(text[len(text)-most:], "")
	}
	return text
}

// lastLines returns the last lines of a text that say anything, each bounded.
func lastLines(text string, most int) []string {
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(plain(line, hookLine)); line != "" {
			lines = append(lines, line)
		}
	}
	return lines[max(0, len(lines)-most):]
}
