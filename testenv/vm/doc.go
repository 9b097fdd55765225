// Package vm runs a fleet of real hosts: Debian guests under QEMU on a network of their own, which
// can be cut, slowed, paused, killed, filled up and put back to an earlier state.
//
// A fleet is described by a Spec and started by Start, which builds the guests' image on the first
// use and keeps it in a cache. Beside guests, a fleet has namespaces: network namespaces on the
// same network in which ordinary processes of this machine run (coordinators, clients).
//
//	fleet, err := vm.Start(ctx, vm.Spec{
//		Name:       "demo",
//		Guests:     []vm.GuestSpec{{Name: "host-a"}, {Name: "host-b"}},
//		Namespaces: []vm.NamespaceSpec{{Name: "c1"}},
//	})
//	defer fleet.Close()
//	out, err := fleet.Guest("host-a").Shell(ctx, "systemctl start redis-server && redis-cli ping")
//	process, err := fleet.Namespace("c1").Start(vm.ProcessSpec{Name: "glidepathd", Argv: …})
//	conn, err := fleet.Namespace("c1").DialContext(ctx, "tcp", "host-a:6379")
//	err = fleet.CutPair(ctx, "host-a", "host-b")
//
// The control channel to a guest does not use the fleet's network: Exec works on a guest that is cut off.
//
// Everything that a fleet makes is written down before it is made, in a directory below StateDir.
// A fleet whose program died without Close is removed by Sweep, which Start calls, too.
// The package needs Linux, root and a few Debian packages; Check says what is missing.
// In tests, use package vmtest.
package vm
