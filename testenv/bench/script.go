//go:build linux

package bench

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/glidepath/glidepath/testenv/fleet"
	"github.com/glidepath/glidepath/testenv/vm"
)

// device stands in a guest's script for the interface that it has on the fleet's network.
const device = `$(ip -4 -oneline addr show to 10.77.0.20/30 | awk '{print $2}')`

// receive makes a host ready to be sent data by rsync, with nothing that an earlier move has left.
const receive = `
	rm -rf /var/lib/redis
	install --directory --owner=redis --group=redis --mode=750 /var/lib/redis
	cat >/run/bench-rsyncd.conf <<-END
		uid=root
		gid=root
		pid file=/run/bench-rsyncd.pid
		[redis]
		path=/var/lib/redis
		read only=no
		use chroot=no
	END
	rsync --daemon --config=/run/bench-rsyncd.conf`

// wait is the target's part: all that it needs is there before the clients wait.
const wait = `
	device=` + device + `
	read -r
	ip addr add ` + fleet.Address + ` dev $device
	arping -U -q -c 3 -I $device ${1%/*} &
	systemctl start ` + fleet.Unit + `
	kill $(cat /run/bench-rsyncd.pid)
	wait`

// send is the source's part, over rsync's own daemon, which has the least to do; in place, as logs that are appended to are best sent.
// It prints a line when the target may start.
const send = `
	device=` + device + `
	send() { rsync -a --inplace --delete /var/lib/redis/ rsync://$1/redis/; }
	send $1
	send $1
	send $1
	systemctl stop ` + fleet.Unit + `
	send $1
	ip addr del ` + fleet.Address + ` dev $device
	echo stopped`

// byScript moves Redis as a careful administrator does by hand.
func (m *mover) byScript(ctx context.Context, from, to string) (stop float64, err error) {
	source, target := m.fleet.Host(from), m.fleet.Host(to)
	if _, err := target.Shell(ctx, receive); err != nil {
		return 0, err
	}
	// The word goes from script to script without a process in between.
	said, word := io.Pipe()
	defer said.Close()
	starting, err := target.Start(ctx, vm.Command{Argv: []string{"bash", "-euo", "pipefail", "-c", wait, "wait", fleet.Address}, Stdin: said})
	if err != nil {
		return 0, err
	}
	err = source.Run(ctx, vm.Command{
		Argv: []string{"bash", "-euo", "pipefail", "-c", send, "send", target.Addr().String()}, Stdout: word,
	})
	if err != nil {
		err = fmt.Errorf("%s sends: %w", from, err)
	}
	// The end of the input ends a target that was never told to start.
	if err := errors.Join(err, word.Close(), starting.Wait()); err != nil {
		return 0, err
	}
	return m.stopped(ctx, from)
}
