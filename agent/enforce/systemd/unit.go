package systemd

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/coreos/go-systemd/v22/dbus"
	godbus "github.com/godbus/dbus/v5"
)

// Unit is what systemd says of a unit. Fields that a kind of unit does not have are empty.
type Unit struct {
	Name             string
	LoadState        string // loaded, not-found, masked, …
	ActiveState      string // active, inactive, failed, activating, deactivating, reloading
	SubState         string // running, exited, dead, …
	UnitFileState    string // enabled, disabled, static, masked, transient, …
	FragmentPath     string // the unit file
	DropInPaths      []string
	NeedDaemonReload bool   // its files changed since systemd read them
	ControlGroup     string // below the cgroup root, "/system.slice/x.service"; empty while there is none
	Slice            string
	MainPID          int // 0 while there is none
	ExecStart        [][]string
	User             string // empty: root
	Group            string
	Type             string   // simple, notify, oneshot, …
	Result           string   // success, exit-code, signal, timeout, exec-condition, oom-kill, …
	ExitStatus       int      // of the main process that ended last
	Triggers         []string // units that this one starts
	TriggeredBy      []string // sockets, timers, paths that start this one
	ConsistsOf       []string // units that stop and restart with this one
	PartOf           []string // units with which this one stops and restarts
	InvocationID     string   // hex; another one after each start
}

// Running reports whether processes of the unit run or are about to.
func (u Unit) Running() bool { return runs(u.ActiveState) || u.MainPID != 0 }

func runs(activeState string) bool {
	switch activeState {
	case "active", "activating", "reloading", "deactivating":
		return true
	}
	return false
}

// Running returns which of the units run, asked for all at once: a manager that is busy, reloading above all, is waited
// for once and not for each of them.
func (b *Bus) Running(ctx context.Context, names []string) (map[string]bool, error) {
	if len(names) == 0 {
		return nil, nil
	}
	conn, err := b.connected(ctx)
	if err != nil {
		return nil, err
	}
	all, err := conn.ListUnitsByNamesContext(ctx, names)
	if err != nil {
		return nil, fmt.Errorf("states of %d units: %w", len(names), named(err))
	}
	out := map[string]bool{}
	for _, u := range all {
		out[u.Name] = runs(u.ActiveState)
	}
	return out, nil
}

// Brief returns of a unit what is had quickly, its name, load, active and sub state and invocation: all of its properties take a busy manager a while.
func (b *Bus) Brief(ctx context.Context, name string) (Unit, error) {
	conn, u, err := b.state(ctx, name)
	if err != nil {
		return u, err
	}
	p, err := conn.GetUnitPropertyContext(ctx, name, "InvocationID")
	if err != nil {
		return Unit{}, fmt.Errorf("invocation of %s: %w", name, named(err))
	}
	id, _ := p.Value.Value().([]byte)
	u.InvocationID = fmt.Sprintf("%x", id)
	return u, nil
}

// ControlGroup returns the unit's cgroup below the cgroup root, "" while it has none. It is had quickly, as Brief is.
func (b *Bus) ControlGroup(ctx context.Context, name string) (string, error) {
	conn, _, err := b.state(ctx, name)
	if err != nil {
		return "", err
	}
	kind, ok := groupKinds[path.Ext(name)]
	if !ok {
		return "", nil
	}
	p, err := conn.GetUnitTypePropertyContext(ctx, name, kind, "ControlGroup")
	if err != nil {
		return "", fmt.Errorf("cgroup of %s: %w", name, named(err))
	}
	group, _ := p.Value.Value().(string)
	return group, nil
}

// groupKinds are the kinds of units that have a cgroup, as the bus calls them.
var groupKinds = map[string]string{".service": "Service", ".scope": "Scope", ".slice": "Slice", ".socket": "Socket", ".mount": "Mount", ".swap": "Swap"}

// state returns the states of a unit. One that has no file and does not run is ErrNoUnit.
func (b *Bus) state(ctx context.Context, name string) (*dbus.Conn, Unit, error) {
	conn, err := b.connected(ctx)
	if err != nil {
		return nil, Unit{}, err
	}
	all, err := conn.ListUnitsByNamesContext(ctx, []string{name})
	if err != nil {
		return nil, Unit{}, fmt.Errorf("state of %s: %w", name, named(err))
	}
	if len(all) != 1 {
		return nil, Unit{}, fmt.Errorf("state of %s: systemd told of %d units", name, len(all))
	}
	u := Unit{Name: all[0].Name, LoadState: all[0].LoadState, ActiveState: all[0].ActiveState, SubState: all[0].SubState}
	if u.LoadState == "not-found" && !u.Running() {
		return nil, u, fmt.Errorf("%s: %w: install it, or correct the name", name, ErrNoUnit)
	}
	return conn, u, nil
}

// Asking reports whether the unit is only asking its conditions whether it may start: nothing of the instance runs yet.
func (u Unit) Asking() bool { return u.ActiveState == "activating" && u.SubState == "condition" }

// Template returns the template that the unit is an instance of, "" if it is none.
func (u Unit) Template() string {
	prefix, rest, ok := strings.Cut(u.Name, "@")
	dot := strings.LastIndex(rest, ".")
	if !ok || dot <= 0 {
		return ""
	}
	return prefix + "@" + rest[dot:]
}

// Unit returns all that systemd says of a unit, loading it where needed: some 300 properties, so it is not for what is asked again and again, nor while
// clients wait. A unit that has no file and does not run is ErrNoUnit.
func (b *Bus) Unit(ctx context.Context, name string) (Unit, error) {
	conn, err := b.connected(ctx)
	if err != nil {
		return Unit{}, err
	}
	all, err := conn.GetAllPropertiesContext(ctx, name)
	if err != nil {
		return Unit{}, fmt.Errorf("properties of %s: %w", name, named(err))
	}
	u := unitOf(all)
	if u.LoadState == "not-found" && !u.Running() {
		return u, fmt.Errorf("%s: %w: install it, or correct the name", name, ErrNoUnit)
	}
	return u, nil
}

// Companions returns the units that belong to a unit and must move with it: what triggers it, what it triggers, what is part
// of it, and the template that it is made from. Sorted; without the unit itself.
func (b *Bus) Companions(ctx context.Context, name string) ([]string, error) {
	u, err := b.Unit(ctx, name)
	if err != nil {
		return nil, err
	}
	return companions(u), nil
}

func companions(u Unit) []string {
	all := slices.Concat(u.TriggeredBy, u.Triggers, u.ConsistsOf)
	if t := u.Template(); t != "" {
		all = append(all, t)
	}
	slices.Sort(all)
	return slices.DeleteFunc(slices.Compact(all), func(n string) bool { return n == u.Name })
}

func unitOf(p map[string]any) Unit {
	u := Unit{
		Name: get[string](p, "Id"), LoadState: get[string](p, "LoadState"), ActiveState: get[string](p, "ActiveState"),
		SubState: get[string](p, "SubState"), UnitFileState: get[string](p, "UnitFileState"),
		FragmentPath: get[string](p, "FragmentPath"), DropInPaths: get[[]string](p, "DropInPaths"),
		NeedDaemonReload: get[bool](p, "NeedDaemonReload"), ControlGroup: get[string](p, "ControlGroup"),
		Slice: get[string](p, "Slice"), MainPID: int(get[uint32](p, "MainPID")),
		User: get[string](p, "User"), Group: get[string](p, "Group"), Type: get[string](p, "Type"), Result: get[string](p, "Result"),
		ExitStatus: int(get[int32](p, "ExecMainStatus")), Triggers: get[[]string](p, "Triggers"),
		TriggeredBy: get[[]string](p, "TriggeredBy"), ConsistsOf: get[[]string](p, "ConsistsOf"), PartOf: get[[]string](p, "PartOf"),
		InvocationID: fmt.Sprintf("%x", get[[]byte](p, "InvocationID")),
	}
	for _, command := range get[[][]any](p, "ExecStart") {
		if len(command) < 2 {
			continue
		}
		if args, ok := command[1].([]string); ok {
			path, _ := command[0].(string)
			u.ExecStart = append(u.ExecStart, append([]string{path}, args[min(1, len(args)):]...))
		}
	}
	return u
}

func get[T any](p map[string]any, key string) T {
	v, _ := p[key].(T)
	return v
}

// named turns the bus's word for a missing unit into ErrNoUnit.
func named(err error) error {
	if says(err, "NoSuchUnit") {
		return fmt.Errorf("%w: %w", ErrNoUnit, err)
	}
	return err
}

// says reports whether err is systemd's own of that name.
func says(err error, name string) bool {
	var e godbus.Error
	return errors.As(err, &e) && e.Name == "org.freedesktop.systemd1."+name
}
