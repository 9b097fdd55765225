package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/proto"
)

// instanceFile is an instance as operators write it.
type instanceFile struct {
	proto.InstanceSpec `yaml:",inline"`
	Labels             map[string]string `yaml:"labels"`    // by which events and lists select it
	Placement          *placementFile    `yaml:"placement"` // what hosts it is moved to must be like
	Signals            []signalFile      `yaml:"signals"`   // figures of its application that its agent scrapes
}

// signalFile is a signal as operators write it.
type signalFile struct {
	proto.Signal `yaml:",inline"`
	Labels       map[string]string `yaml:"labels"` // that a series has to have
}

// placementFile is a placement as operators write it.
type placementFile struct {
	proto.Placement `yaml:",inline"`
	Require         map[string]string `yaml:"require"` // labels that the host has
	Avoid           map[string]string `yaml:"avoid"`   // labels that it has not
}

func (f instanceFile) spec() proto.InstanceSpec {
	s := f.InstanceSpec
	s.Labels = labelsOf(f.Labels)
	if f.Placement != nil {
		p := f.Placement.Placement
		p.Require, p.Avoid = labelsOf(f.Placement.Require), labelsOf(f.Placement.Avoid)
		s.Placement = &p
	}
	for _, g := range f.Signals {
		g.Signal.Labels = labelsOf(g.Labels)
		s.Signals = append(s.Signals, g.Signal)
	}
	return s
}

// labelsOf returns labels sorted by key.
func labelsOf(m map[string]string) []proto.Label {
	var out []proto.Label
	for k, v := range m {
		out = append(out, proto.Label{Key: k, Value: v})
	}
	slices.SortFunc(out, func(a, b proto.Label) int { return cmp.Compare(a.Key, b.Key) })
	return out
}

// placementWords says what hosts an instance is moved to must be like.
func placementWords(p *proto.Placement) string {
	if p == nil {
		return "any host"
	}
	var out []string
	for _, l := range p.Require {
		out = append(out, l.Key+"="+l.Value)
	}
	for _, l := range p.Avoid {
		out = append(out, "not "+l.Key+"="+l.Value)
	}
	for _, k := range p.Apart {
		out = append(out, "apart by "+k)
	}
	if p.CPU != "" {
		out = append(out, "processor "+p.CPU)
	}
	if p.Kernel != "" {
		out = append(out, "kernel "+p.Kernel+" or newer")
	}
	for _, n := range p.Needs {
		out = append(out, "with "+n)
	}
	return cmp.Or(strings.Join(out, ", "), "any host")
}

func instanceCommand(a *app) *cobra.Command {
	list := &cobra.Command{
		Use: "list", Short: "List the instances", Args: none,
		Example: "  glidepath instance list\n  glidepath instance list --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return show(cmd.Context(), a, "GET", path("instances"), nil, func(l v1.List[v1.InstanceDetail]) error {
				t := newTable(a.stdout, "INSTANCE", "HOST", "STATE", "MODE", "TYPE", "CLASS", "ADDRESS", "MIGRATION")
				for _, i := range l.Items {
					t.row(i.Name(), i.Owner, instanceState(i), i.Spec.Mode, i.Spec.Type, i.Spec.Class, strings.Join(i.Spec.FloatingAddresses(), " "), i.Migration)
				}
				return t.flush()
			})
		},
	}
	one := &cobra.Command{
		Use: "show INSTANCE", Short: "Show an instance and what it is promised", Args: exactly("instance"), ValidArgsFunction: completeInstance(a),
		Example: "  glidepath instance show cache-1\n  glidepath instance show cache-1 --watch",
		RunE: func(cmd *cobra.Command, args []string) error {
			return show(cmd.Context(), a, "GET", path("instances", args[0]), nil, a.printInstance)
		},
	}
	mode := func(m proto.Mode, short string) *cobra.Command {
		return &cobra.Command{
			Use: string(m) + " INSTANCE", Example: "  glidepath instance " + string(m) + " cache-1", Short: short, Args: exactly("instance"), ValidArgsFunction: completeInstance(a),
			RunE: func(cmd *cobra.Command, args []string) error {
				return show(cmd.Context(), a, "POST", path("instances", args[0], "mode"), v1.ModeRequest{Mode: m}, func(i v1.InstanceDetail) error {
					a.say("Instance %s: mode %s", i.Name(), i.Spec.Mode)
					return nil
				})
			},
		}
	}
	return group("instance", "Instances: what can be migrated", applyInstanceCommand(a), watchable(a, list, v1.ChangeFleet, v1.ChangeHost, v1.ChangeInstance), watchable(a, one, v1.ChangeFleet, v1.ChangeHost, v1.ChangeInstance, v1.ChangeReservation),
		mode(proto.Observe, "Measure an instance, and lift its limits"), mode(proto.Enforce, "Set the limits of an instance by its schedule"), releaseCommand(a))
}

func instanceState(i v1.InstanceDetail) string {
	text := string(i.State)
	if i.Fault != nil {
		text += " (fault)"
	}
	if len(i.PausedBy) > 0 {
		text += ", " + pausedWords(i.PausedBy)
	}
	return text
}

func (a *app) printInstance(i v1.InstanceDetail) error {
	s := i.Spec
	a.say("Instance %s on %s: %s", i.Name(), i.Owner, instanceState(i))
	if i.Fault != nil {
		a.say("fault: %s", oneLine(i.Fault.Error()))
	}
	for _, by := range i.PausedBy {
		a.say("no limit of it is set: %s", pausedBy(by, i.Name(), i.Owner))
	}
	t := newTable(a.stdout)
	t.row("mode", modeWords(i))
	t.row("type", s.Type)
	t.row("class", s.Class)
	t.row("application", s.Application)
	if s.Service != nil {
		t.row("unit", strings.Join(append([]string{s.Service.Unit}, i.Companions...), " "))
		t.row("data", strings.Join(s.Service.Data, " "))
		t.row("config", strings.Join(s.Service.Config, " "))
	}
	t.row("address", strings.Join(s.FloatingAddresses(), " "))
	t.row("health", health(s.Health))
	if s.Placement != nil {
		t.row("placement", placementWords(s.Placement))
	}
	for _, g := range s.Signals {
		t.row("signal", signalSource(g))
	}
	for _, p := range proto.HookPoints() {
		for _, side := range []proto.HookSide{proto.HookSource, proto.HookTarget} {
			for _, h := range s.Hooks.Run(p, side) {
				t.row(string(p), fmt.Sprintf("on the %s: %s", side, hook(h)))
			}
		}
	}
	t.row("fence", i.Fence)
	t.row("migration", i.Migration)
	t.row("adopted", fmt.Sprintf("%s by %s", stamp(i.CreatedAt), cmp.Or(i.AdoptedBy, "nobody known")))
	if err := t.flush(); err != nil || i.Envelope == nil {
		return err
	}
	a.say("")
	t = newTable(a.stdout, "PROMISED FROM", "UNTIL", "CPU", "MEMORY", "READ", "WRITE", "TRANSMIT", "RECEIVE")
	for _, seg := range i.Envelope.Envelope {
		v := seg.Firm.Add(seg.Mean)
		t.row(stamp(seg.Start), stamp(seg.End), amount(v, resource.CPU), amount(v, resource.Memory), amount(v, resource.ReadBytes)+"/s",
			amount(v, resource.WriteBytes)+"/s", amount(v, resource.NetTx)+"/s", amount(v, resource.NetRx)+"/s")
	}
	return t.flush()
}

// modeWords says what an instance's mode means for it, and where enforcing it would be refused.
func modeWords(i v1.InstanceDetail) string {
	switch {
	case i.Spec.Mode != proto.Observe:
		return string(i.Spec.Mode)
	case i.Short != nil:
		return "observe: measured, never limited; enforcing it would be refused: " + i.Short.Error()
	}
	return "observe: measured, never limited; glidepath schedule show " + i.Name() + " has what it would be granted"
}

func hook(h proto.Hook) string {
	text := fmt.Sprintf("%s as %s, within %s", strings.Join(h.Exec, " "), h.ExecUser(), h.Time())
	if h.Failure == proto.HookIgnore {
		text += ", its failure is ignored"
	}
	return text
}

func health(h proto.HealthSpec) string {
	switch {
	case h.TCP != 0:
		return fmt.Sprintf("port %d accepts, within %s of a start", h.TCP, h.Time())
	case h.HTTP != "":
		return fmt.Sprintf("http %s, within %s of a start", h.HTTP, h.Time())
	case len(h.Exec) > 0:
		return fmt.Sprintf("exec %s as %s, within %s of a start", strings.Join(h.Exec, " "), h.ExecUser(), h.Time())
	}
	return fmt.Sprintf("the unit is active, within %s of a start", h.Time())
}

// How often a command that waits looks, and how long it waits unless told otherwise.
const (
	lookEvery = 300 * time.Millisecond
	waitFor   = time.Minute
)

func applyInstanceCommand(a *app) *cobra.Command {
	var noWait bool
	var timeout time.Duration
	apply := &cobra.Command{
		Use: "apply -f FILE", Short: "Adopt instances, or change known ones", Args: none,
		Long: `Adopt instances, or change what can change of known ones where they are: health, hooks, signals, class, application, mode and labels.
Adoption begins in mode observe unless the file says enforce: an instance is measured, and never limited, until then. Where
the host is too full for what enforcing would take, the instance is observed all the same, and the command says what is lacking.
Without --no-wait the command returns when the host's agent has taken the instance over.`,
		Example: `  name: cache-1
  driver: service
  service: {unit: redis-server.service, data: [/var/lib/redis], config: [/etc/redis]}
  host: host-a
  address: 10.77.0.60/24
  health: {tcp: 6379}
  hooks:
    after_confirm: [{exec: [/etc/glidepath/hooks/dns, cache-1.example.org]}]
  type: m.small
  class: critical
  application: redis
  signals:
    - {name: commands, url: "http://127.0.0.1:9121/metrics", metric: redis_commands_processed_total, kind: counter}`,
	}
	files := fileFlag(apply, "instances")
	apply.Flags().BoolVar(&noWait, "no-wait", false, "return when it is committed, before the agent has done it")
	apply.Flags().DurationVar(&timeout, "timeout", waitFor, "how long to wait for the agent")
	apply.RunE = func(cmd *cobra.Command, _ []string) error {
		all, err := readFiles[instanceFile](cmd.Context(), *files)
		if err != nil {
			return err
		}
		for _, f := range all {
			s := f.spec()
			if s.Name == "" {
				return fmt.Errorf("an instance in the file has no name")
			}
			adopted, err := ask[v1.InstanceDetail](cmd.Context(), a, "PUT", path("instances", s.Name), s)
			if err != nil && cmd.Context().Err() != nil {
				return a.goesOn("It is not known whether instance "+s.Name+" is being adopted", "glidepath instance show "+s.Name)
			}
			if err != nil {
				return err
			}
			if !noWait {
				if err := a.waitAdopted(cmd.Context(), s.Name, adopted.Owner, timeout); err != nil {
					return err
				}
			}
			err = show(cmd.Context(), a, "GET", path("instances", s.Name), nil, func(i v1.InstanceDetail) error {
				a.say("Instance %s on %s: %s, mode %s", i.Name(), i.Owner, instanceState(i), i.Spec.Mode)
				return nil
			})
			if err == nil && adopted.Spec.Mode == proto.Observe && s.Mode == proto.Enforce {
				a.sayObserved(adopted)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	return apply
}

// sayObserved says why an instance is observed that was to be enforced, and what to do; also beside JSON.
func (a *app) sayObserved(i v1.InstanceDetail) {
	why := "its host was too full"
	if i.Short != nil {
		why = i.Short.Error()
	}
	fmt.Fprintf(a.stderr, "glidepath: instance %s is observed, not enforced: %s\nMake room on %s (move an instance away: glidepath migrate), or take a smaller type; then: glidepath instance enforce %s\n",
		i.Name(), oneLine(why), i.Owner, i.Name())
}
