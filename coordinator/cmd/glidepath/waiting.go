package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/proto"
)

// waiting is something that an agent is waited for to do.
type waiting struct {
	whose string // agent it is: "the agent on host-a"
	does  string // what it is to do: "take over instance cache-1"
	see   string // the command that shows how it goes on
}

// wait looks until done, which an error is, too. Interrupting it leaves alone what was begun.
func (a *app) wait(ctx context.Context, timeout time.Duration, w waiting, done func() (bool, error)) error {
	late := time.After(timeout)
	progress := a.progress()
	defer progress.clear()
	for began := time.Now(); ; {
		over, err := done()
		if ctx.Err() != nil && !over {
			progress.clear()
			return a.goesOn(fmt.Sprintf("It goes on: %s is still to %s", w.whose, w.does), w.see)
		}
		if over || err != nil {
			return err
		}
		progress.show("waiting for %s to %s, for %s of at most %s", w.whose, w.does, time.Since(began).Round(time.Second), timeout)
		select {
		case <-time.After(lookEvery):
		case <-late:
			return fmt.Errorf("%s did not %s within %s: it goes on; see %s", w.whose, w.does, timeout, w.see)
		case <-ctx.Done():
		}
	}
}

// goesOn says that what was begun goes on although nobody waits for it any more, and what shows it.
func (a *app) goesOn(what, see string) error {
	fmt.Fprintf(a.stderr, "\n%s. See:  %s\n", what, see)
	return &endedError{text: "interrupted", code: exitInterrupted, told: true}
}

// unsure returns the error of a request that changes something. Who interrupts it is told what shows whether it was carried out.
func (a *app) unsure(ctx context.Context, err error, what, see string) error {
	if err != nil && ctx.Err() != nil {
		return a.goesOn("It is not known whether "+what, see)
	}
	return err
}

// waitAdopted returns when an instance is not being adopted any more, or adoption was refused.
func (a *app) waitAdopted(ctx context.Context, name, host string, timeout time.Duration) error {
	w := waiting{"the agent on " + host, "take over instance " + name, "glidepath instance show " + name}
	return a.wait(ctx, timeout, w, func() (bool, error) {
		i, err := ask[v1.InstanceDetail](ctx, a, "GET", path("instances", name), nil)
		if err != nil || i.State != proto.InstanceAdopting {
			return err == nil, err
		}
		if i.Fault != nil {
			return true, &endedError{text: fmt.Sprintf("instance %s was not adopted: %s", name, i.Fault.Error()), code: exitRefused}
		}
		return false, nil
	})
}

// waitReleased returns when an instance is not there any more, or its release was refused.
func (a *app) waitReleased(ctx context.Context, name, host string, timeout time.Duration) error {
	w := waiting{"the agent on " + host, "release instance " + name, "glidepath instance show " + name}
	return a.wait(ctx, timeout, w, func() (bool, error) {
		i, err := ask[v1.InstanceDetail](ctx, a, "GET", path("instances", name), nil)
		var told *v1.Error
		if errors.As(err, &told) && told.Code == v1.CodeNotFound {
			return true, nil
		}
		if err == nil && i.Fault != nil {
			return true, &endedError{text: fmt.Sprintf("instance %s was not released: %s", name, i.Fault.Error()), code: exitRefused}
		}
		return false, err
	})
}

func releaseCommand(a *app) *cobra.Command {
	var noWait bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use: "release INSTANCE", Short: "Give an instance back: its unit as it was, its limits lifted", Args: exactly("instance"), ValidArgsFunction: completeInstance(a),
		Example: "  glidepath instance release cache-1",
		RunE: func(cmd *cobra.Command, args []string) error {
			name, ctx := args[0], cmd.Context()
			raw, i, err := askBoth[v1.InstanceDetail](ctx, a, "POST", path("instances", name, "release"), nil)
			switch {
			case err != nil && ctx.Err() != nil:
				return a.goesOn("It is not known whether instance "+name+" is being released", "glidepath instance show "+name)
			case err != nil:
				return err
			case noWait:
				a.say("Instance %s is being released", name)
			default:
				if err := a.waitReleased(ctx, name, i.Owner, timeout); err != nil {
					return err
				}
				a.say("Instance %s is released", name)
			}
			if a.json {
				return a.printJSON(raw)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&noWait, "no-wait", false, "return when it is committed, before the agent has done it")
	cmd.Flags().DurationVar(&timeout, "timeout", waitFor, "how long to wait for the agent")
	return cmd
}
