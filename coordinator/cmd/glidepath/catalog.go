package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/internal/config"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/proto"
)

// typeFile is an instance type as operators write it. What max does not name is unlimited.
type typeFile struct {
	Name     string  `yaml:"name"`
	Max      maximum `yaml:"max"`
	Revision uint64  `yaml:"revision"` // that it replaces; 0: any
}

// valid returns what is wrong with the type, which is the document of its file with that index, by itself.
func (f typeFile) valid(i int) error {
	if err := proto.ValidName("instance type", f.Name); err != nil {
		return fmt.Errorf("document %d: %w", i+1, err)
	}
	if f.Max == (maximum{}) {
		return fmt.Errorf("instance type %s allows nothing: say what it does, like max: {cpu: 2, memory: 1GiB}; max: {} limits nothing", f.Name)
	}
	for _, k := range []resource.Kind{resource.CPU, resource.Memory} {
		if f.Max[k] == 0 {
			return fmt.Errorf("instance type %s allows no %s, without which nothing runs: name an amount, or leave it out for no limit", f.Name, k)
		}
	}
	return nil
}

// maximum is a resource vector that begins with no limits.
type maximum resource.Vector

// UnmarshalYAML reads the limits that are named.
func (m *maximum) UnmarshalYAML(n *yaml.Node) error {
	v := config.Amounts(resource.Uniform(resource.Unlimited))
	if err := v.UnmarshalYAML(n); err != nil {
		return err
	}
	*m = maximum(v)
	return nil
}

func typeCommand(a *app) *cobra.Command {
	list := &cobra.Command{
		Use: "list", Short: "List the instance types", Args: none,
		Example: "  glidepath type list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return show(cmd.Context(), a, "GET", path("types"), nil, func(l v1.List[proto.InstanceType]) error {
				t := newTable(a.stdout, "TYPE", "REVISION", "AT MOST")
				for _, x := range l.Items {
					t.row(x.Name, x.Revision, limits(x.Max))
				}
				return t.flush()
			})
		},
	}
	apply := &cobra.Command{
		Use: "apply -f FILE", Short: "Define or change instance types", Args: none,
		Long: "Define or change instance types. What max does not name has no limit. Where one that is in use shrinks, the envelopes of its instances shrink\n" +
			"with it. It is refused, and all who are in the way are named, where an instance is expected to take more than it would allow, or moves.\n\n" +
			"With a revision, as type list shows it, it is refused when somebody else has changed the type meanwhile.",
		Example: "  name: m.small\n  max: {cpu: 250m, memory: 128MiB}\n\n  name: m.large\n  max: {cpu: 2}\n  revision: 3",
	}
	files := fileFlag(apply, "instance types")
	apply.RunE = func(cmd *cobra.Command, _ []string) error {
		all, err := readFiles[typeFile](cmd.Context(), *files)
		if err != nil {
			return err
		}
		for i, f := range all { // before anything is sent
			if err := f.valid(i); err != nil {
				return err
			}
		}
		for _, f := range all {
			in := proto.InstanceType{Name: f.Name, Max: resource.Vector(f.Max), Revision: f.Revision}
			err := show(cmd.Context(), a, "PUT", path("types", f.Name), in, func(r v1.TypeReply) error {
				a.say("Instance type %s: %s", f.Name, limits(in.Max))
				if len(r.Revised) > 0 {
					a.say("with the envelopes of %s", strings.Join(r.Revised, ", "))
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	}
	remove := &cobra.Command{
		Use: "remove TYPE", Short: "Remove an instance type that nothing uses", Args: exactly("instance type"), ValidArgsFunction: firstOnly(completeType(a)),
		Long:    "Remove an instance type. It is refused while an instance is of it, or a migration moves one to it.",
		Example: "  glidepath type remove m.small",
		RunE: func(cmd *cobra.Command, args []string) error {
			return show(cmd.Context(), a, "DELETE", path("types", args[0]), nil, func(v1.Empty) error {
				a.say("Instance type %s is removed", args[0])
				return nil
			})
		},
	}
	return group("type", "Instance types: named sets of maximum limits", list, apply, remove)
}

// appFile is an application as operators write it.
type appFile struct {
	Name         string          `yaml:"name"`
	Class        proto.Class     `yaml:"class"`         // of instances that name none
	Startup      config.Amounts  `yaml:"startup"`       // demand on top of the forecast right after a start
	Decay        config.Duration `yaml:"decay"`         // in which it falls to 1/e; 20s where it is not said
	MemoryFloor  bytesAmount     `yaml:"memory_floor"`  // the least memory an instance ever gets
	Floor        config.Amounts  `yaml:"floor"`         // the least of everything
	MaxDowntime  config.Duration `yaml:"max_downtime"`  // objective
	MaxThrottled percent         `yaml:"max_throttled"` // objective, of the time
	Revision     uint64          `yaml:"revision"`      // that it replaces; 0: any
}

// bytesAmount is an amount of memory with its unit.
type bytesAmount int64

// UnmarshalYAML reads an amount like 64MiB.
func (b *bytesAmount) UnmarshalYAML(n *yaml.Node) error {
	v, err := resource.Parse(resource.Memory, n.Value)
	if err != nil {
		return fmt.Errorf("line %d: %w", n.Line, err)
	}
	*b = bytesAmount(v)
	return nil
}

// percent is a share in ten-thousandths.
type percent int

// UnmarshalYAML reads a share like 0.5%.
func (p *percent) UnmarshalYAML(n *yaml.Node) error {
	text, ok := strings.CutSuffix(n.Value, "%")
	f, err := strconv.ParseFloat(text, 64)
	if !ok || err != nil || !(f >= 0 && f <= 100) {
		return fmt.Errorf("line %d: %q is no share: write one like 0.5%%", n.Line, n.Value)
	}
	*p = percent(f*100 + .5)
	return nil
}

func appCommand(a *app) *cobra.Command {
	list := &cobra.Command{
		Use: "list", Short: "List the applications", Args: none,
		Example: "  glidepath app list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return show(cmd.Context(), a, "GET", path("applications"), nil, func(l v1.List[proto.Application]) error {
				t := newTable(a.stdout, "APPLICATION", "REVISION", "CLASS", "START-UP", "DECAY", "MEMORY FLOOR")
				for _, x := range l.Items {
					t.row(x.Name, x.Revision, x.Class, x.Startup, took(x.Decay*1000), size(x.MemoryFloor))
				}
				return t.flush()
			})
		},
	}
	apply := &cobra.Command{
		Use: "apply -f FILE", Short: "State what is known of applications", Args: none,
		Example: "  name: redis\n  class: critical\n  startup: {cpu: 300m}\n  decay: 60s\n  memory_floor: 64MiB",
	}
	files := fileFlag(apply, "applications")
	apply.RunE = func(cmd *cobra.Command, _ []string) error {
		all, err := readFiles[appFile](cmd.Context(), *files)
		if err != nil {
			return err
		}
		for i, f := range all { // before anything is sent
			if err := proto.ValidName("application", f.Name); err != nil {
				return fmt.Errorf("document %d: %w", i+1, err)
			}
			if d := f.Decay.Std(); d%time.Second != 0 { // which would be 0, and that is none that was said
				return fmt.Errorf("application %s: a decay of %s: use whole seconds, like 20s", f.Name, d)
			}
		}
		for _, f := range all {
			in := proto.Application{
				Name: f.Name, Class: f.Class, Startup: f.Startup.Vector(), Decay: int64(f.Decay.Std().Seconds()), MemoryFloor: int64(f.MemoryFloor),
				Floor: f.Floor.Vector(), Downtime: f.MaxDowntime.Std().Milliseconds(), Throttled: int(f.MaxThrottled), Revision: f.Revision,
			}
			err := show(cmd.Context(), a, "PUT", path("applications", f.Name), in, func(proto.Application) error {
				a.say("Application %s is known", f.Name)
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	}
	remove := &cobra.Command{
		Use: "remove APPLICATION", Short: "Remove an application that no instance is of", Args: exactly("application"),
		Long:              "Remove what is known of an application. It is refused while an instance is of it.",
		Example:           "  glidepath app remove redis",
		ValidArgsFunction: firstOnly(names(a, path("applications"), "name")),
		RunE: func(cmd *cobra.Command, args []string) error {
			return show(cmd.Context(), a, "DELETE", path("applications", args[0]), nil, func(v1.Empty) error {
				a.say("Application %s is removed", args[0])
				return nil
			})
		},
	}
	return group("app", "Applications: what is known of the software, whatever the instance", list, apply, remove)
}
