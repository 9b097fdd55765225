package main

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/glidepath/glidepath/coordinator/api/apitest"
	"github.com/glidepath/glidepath/coordinator/snapshot"
	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/pki"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// spec is an instance's file with one line more, or another one in the place of its own.
func spec(lines ...string) string {
	all := []string{"name: web-1", "driver: service", "service: {unit: nginx.service}", "host: host-a", "type: m.small", "class: standard"}
	for _, l := range lines {
		key, _, _ := strings.Cut(l, ":")
		for i, have := range all {
			if strings.HasPrefix(have, key+":") {
				all[i] = l
				l = ""
			}
		}
		all = append(all, l)
	}
	return strings.Join(all, "\n")
}

// token makes one that a change has made bad, and returns it as it is shown.
func token(f *apitest.Fleet, change func(*proto.Token)) string {
	made := pki.MintAdmin()
	hash := made.Hash()
	record := proto.Token{ID: made.ID, Kind: proto.TokenAPI, Role: proto.RoleAdmin, Name: "ann", Hash: hash[:], ExpiresAt: timeline.Of(time.Now().Add(time.Hour))}
	change(&record)
	f.MustAt(f.View().Now(), &proto.TokenCreate{Token: record}) // however late it is: it may expire right after
	return made.Encode()
}

// clockOff has a host's agent state that its clock is off by more than is corrected, as it does by itself from the first answer on.
func clockOff(f *apitest.Fleet, host, remedy string) {
	facts := apitest.Facts(host, 4000)
	facts.Missing = []proto.Missing{{What: proto.LacksClock, Remedy: remedy}}
	f.Must(&proto.HostRegister{Facts: facts, Incarnation: f.View().Fleet().Incarnation})
}

// TestBadInputIsToldWithObjectFaultAndRemedy is the list of what an operator can get wrong, with what he is told, the exit code, and that nothing of
// it is done: no row of the tables differs afterwards but for what is said in leaves.
//
// What is not met on this command line is tested where it is: what requests of the API can get wrong in api.TestBadInputIsRefusedWithItsReason;
// YAML and units in config.TestWhatIsWrongIsNamedWithLineAndRemedy and resource.TestParseRefusesWithTheReason; rows of a history in
// historycsv.TestReaderRefusesWithLineColumnAndReason. Truncated files: snapshot.TestWhatWasCutOrChangedIsRefused, state.TestACutOrForeignExportIsRefused,
// durable.TestJournalCutsOffATornTailOfEveryLength, durable.TestJournalRefusesDamageBeforeItsEndAndNamesThePlace,
// fence.TestNothingRunsOnARecordThatCannotBeRead, session.TestADocumentThatWasCutIsNamedWithWhatToDo. A full disk:
// session.TestOnAFullDiskNothingIsBegunThatCouldNotBeFinished, session.TestADocumentThatCannotBeStoredLeavesTheOldOneInForce,
// durable.TestJournalStaysUsableAfterAFullDisk, durable.TestWriteFileOnFullDiskChangesNothingAndSaysSo, transfer.TestAFullDiskIsToldAsSuch. Certificates
// and tokens of joining: pki.TestOnlyCertificatesOfThisFleetAreAccepted, coordinator.TestATokenThatIsNoLongerGoodForJoiningSaysWhatToDo,
// agent.TestJoiningIsRefusedBeforeAnythingIsWritten. Clocks, and that of one that is off by 5 s nothing is told and its
// time is corrected: agent.TestAHostStatesThatItsClockIsWrongFromTheAnswerOn, agent.TestTheCoordinatorsTimeIsFollowedUpToThirtySeconds. What an agent
// finds at adoption, a unit that is not allowed and an address that is configured among it: service.TestAdoptionRefusesWhatItCannotHold,
// allow.TestWhatIsNotNamedIsDeniedWithTheLineThatAllowsIt, address.TestConfiguredFindsTheAddressWhereverHostsKeepIt.
func TestBadInputIsToldWithObjectFaultAndRemedy(t *testing.T) {
	const apply, applyType, applyApp, history = "instance apply -f FILE", "type apply -f FILE", "app apply -f FILE", "history import cache-1 -f FILE"
	const hold = "reservation create -f FILE"
	holds := func(steps ...string) string { return "id: x\nhost: host-c\nsteps:\n- " + strings.Join(steps, "\n- ") }
	const rows = "time,cpu_cores\n2026-01-05T00:00:00Z,0.1\n2026-01-05T00:05:00Z,0.2\n"
	stranger, err := pki.NewFleet(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	foreign := stranger.Pin()
	type given = func(t *testing.T, f *apitest.Fleet)
	refusedBy := func(fault proto.Fault) given {
		return func(_ *testing.T, f *apitest.Fleet) { f.Refuses(&fault) }
	}
	withToken := func(change func(*proto.Token)) given {
		return func(t *testing.T, f *apitest.Fleet) { t.Setenv("GLIDEPATH_TOKEN", token(f, change)) }
	}
	for _, c := range []struct {
		what   string
		args   string // FILE is a file with text
		text   string
		code   int
		says   []string // object, fault and remedy
		given  given    // what is so before; nil: the fleet with cache-1, which runs on host-a
		leaves int      // rows that differ afterwards
	}{
		// Malformed YAML, and what is no instance.
		{"YAML that ends too early", apply, "name: web-1\nservice: {unit: nginx.service, data: [", exitError, []string{"FILE: line 2", "this is not YAML", "bracket"}, nil, 0},
		{"YAML with tabs", apply, "name: web-1\nservice:\n\tunit: nginx.service", exitError, []string{"FILE: line 3", "tabs"}, nil, 0},
		{"a field that is none", apply, spec("drivr: service"), exitError, []string{"FILE: line 7", `unknown field "drivr"`, `did you mean "driver"?`}, nil, 0},
		{"another kind of value", apply, spec("health: {tcp: http}"), exitError, []string{"FILE: line 7", `"http" is not a whole number`}, nil, 0},
		{"a file that was cut between lines", apply, "name: web-1\ndriver: service\nservice: {unit: nginx.service}\n", exitError, []string{"web-1", "host"}, nil, 0},
		{"the second of two", apply, spec() + "\n---\nname: [", exitError, []string{"FILE: line", "this is not YAML"}, nil, 0},
		{"an empty file", applyType, "# nothing\n", exitError, []string{"FILE", "says nothing"}, nil, 0},
		{"a file that is not there", "type apply -f none.yaml", "", exitError, []string{"none.yaml", "no such file"}, nil, 0},

		// Units and amounts.
		{"a unit of something else", applyType, "name: x\nmax: {memory: 1Mbit}", exitError, []string{"FILE: line 2", `memory "1Mbit" has the unknown unit "Mbit"`, "256MiB"}, nil, 0},
		{"a unit that is none", applyType, "name: x\nmax: {cpu: 2cores}", exitError, []string{"FILE: line 2", `cpu "2cores" has the unknown unit "cores"`, "500m or 1.5"}, nil, 0},
		{"a resource that is none", applyType, "name: x\nmax: {cpus: 2}", exitError, []string{"FILE: line 2", `unknown resource "cpus"`, `did you mean "cpu"?`}, nil, 0},
		{"a time without a unit", applyApp, "name: x\ndecay: 60", exitError, []string{"FILE: line 2", `"60" is no duration`, "30s, 5m or 2h"}, nil, 0},
		{"a share without a sign", applyApp, "name: x\nmax_throttled: 5", exitError, []string{"FILE: line 2", `"5" is no share`, "0.5%"}, nil, 0},
		{"no number", applyType, "name: x\nmax: {cpu: NaN}", exitError, []string{"FILE: line 2", `cpu "NaN"`, "500m or 1.5"}, nil, 0},
		{"a share that is no number", applyApp, "name: x\nmax_throttled: NaN%", exitError, []string{"FILE: line 2", `"NaN%" is no share`, "0.5%"}, nil, 0},
		{"an endless amount", applyType, "name: x\nmax: {cpu: .inf}", exitError, []string{"FILE: line 2", `cpu ".inf"`, "500m or 1.5"}, nil, 0},
		{"a negative amount", applyType, "name: x\nmax: {memory: -1MiB}", exitError, []string{"FILE: line 2", `memory "-1MiB" is negative`}, nil, 0},
		{"a negative time", applyApp, "name: x\ndecay: -1m", exitError, []string{"application x", "decay", "negative", "use 0 or more"}, nil, 0},
		{"a negative capacity", "host set host-a --allocatable cpu=-1", "", exitUsage, []string{"--allocatable cpu=-1", `"-1" is not an amount above 0`}, nil, 0},
		{"a size that is no number", "event add sale --start now --for 1h --instance cache-1 --size NaN", "", exitUsage, []string{"--size NaN", "not between 0 and 1000"}, nil, 0},
		{"a negative size", "event add sale --start now --for 1h --instance cache-1 --size -2", "", exitUsage, []string{"--size -2", "not between 0 and 1000"}, nil, 0},

		// Reservations, whose steps are told by line and segment.
		{"a gap", hold, holds("{to: +1h, firm: {cpu: 1}}", "{from: +2h, to: +3h, firm: {cpu: 1}}"), exitError, []string{"FILE: line 5: reservation x: segment 1", "close the gap, or say that gaps are meant"}, nil, 0},
		{"steps that overlap", hold, holds("{to: +2h, firm: {cpu: 1}}", "{from: +1h, to: +3h, firm: {cpu: 1}}"), exitError, []string{"FILE: line 5: reservation x: segment 1", "begins before segment 0 ends"}, nil, 0},
		{"steps out of order", hold, holds("{from: +3h, to: +4h, firm: {cpu: 1}}", "{from: +1h, to: +2h, firm: {cpu: 1}}"), exitError, []string{"FILE: line 5: reservation x: segment 1", "begins before segment 0 ends"}, nil, 0},
		{"an end before the start", hold, holds("{from: +3h, to: +2h, firm: {cpu: 1}}"), exitError, []string{"FILE: line 4: reservation x: segment 0", "is empty"}, nil, 0},
		{"a step that is over", hold, holds("{from: -3h, to: -2h, firm: {cpu: 1}}"), exitError, []string{"FILE: line 4: reservation x: segment 0", "leave it out"}, nil, 0},
		{"a year too far", hold, holds("{from: 2099-01-01T00:00Z, to: 2099-01-02T00:00Z, firm: {cpu: 1}}"), exitError, []string{"FILE: line 4: reservation x: segment 0", "is the year right?"}, nil, 0},
		{"no amount", hold, holds("{to: +1h, firm: {cpu: NaN}}"), exitError, []string{"FILE: line 4: reservation x: segment 0", `firm: cpu "NaN"`, "500m or 1.5"}, nil, 0},
		{"an amount below zero", hold, holds("{to: +1h, firm: {cpu: 1}}", "to: +2h\n  sigma_own:\n    cpu: 1\n    net_tx: -1Mbit"), exitError, []string{"FILE: line 8: reservation x: segment 1", `own deviation: net_tx "-1Mbit" is negative`}, nil, 0},
		{"an amount of what is no resource", hold, holds("{to: +1h, firm: {cpus: 1}}"), exitError, []string{"FILE: line 4: reservation x: segment 0", `unknown resource "cpus"`, `did you mean "cpu"?`}, nil, 0},
		{"pooled memory", hold, holds("{to: +1h, mean: {memory: 1GiB}}"), exitError, []string{"FILE: line 4: reservation x: segment 0", "it can only be firm"}, nil, 0},
		{"a hold without an end", hold, holds("{firm: {cpu: 1}}"), exitError, []string{"reservation x has no end", "say until when it is held"}, nil, 0},
		{"a hold that is larger than its host", hold, holds("{to: +1h, firm: {cpu: 9}}"), exitRefused, []string{"host-c is short of cpu by 5", "glidepath host calendar host-c"}, nil, 0},
		{"a hold that is called like those of plans", hold, "id: plan/x\nhost: host-c\nsteps: [{to: +1h, firm: {cpu: 1}}]", exitError, []string{"FILE: reservation plan/x: what stored plans hold is called plan/…", "another identifier"}, nil, 0},

		// Fleets that are not there.
		{"fewer than no hosts more", "plan migrate cache-1 --add -2 --like host-a", "", exitUsage, []string{"--add -2", "use 1 to 1024"}, nil, 0},
		{"more hosts than there can be", "host drain host-a --dry-run --add 99999 --like host-a", "", exitUsage, []string{"--add 99999", "use 1 to 1024"}, nil, 0},
		{"hosts more like none", "plan migrate cache-1 --add 2", "", exitUsage, []string{"--add 2", "say with --like which host"}, nil, 0},
		{"hosts more, and not how many", "plan explain cache-1 --like host-a", "", exitUsage, []string{"--like host-a", "say with --add how many"}, nil, 0},
		{"hosts more like one that is not there", "plan migrate cache-1 --add 2 --like host-z", "", exitNotFound, []string{`no host "host-z"`, "glidepath host list"}, nil, 0},
		{"without a host that is not there", "host drain host-a --dry-run --without host-c --without host-z", "", exitNotFound, []string{`no host "host-z"`, "glidepath host list"}, nil, 0},
		{"without any other host", "plan migrate cache-1 --without host-b,host-c", "", exitError, []string{"without host-b, host-c there is no host but host-a", "--add 1 --like host-a"}, nil, 0},
		{"without the host where it is", "plan migrate cache-1 --without host-a", "", exitError, []string{"instance cache-1 is on host-a, which is left out", "glidepath host drain host-a --dry-run"}, nil, 0},
		{"without the host that is emptied", "host drain host-a --dry-run --without host-a", "", exitError, []string{"host-a is the one to be emptied", "leave out other hosts"}, nil, 0},
		{"a target that is left out", "plan migrate cache-1 --to host-c --without host-c", "", exitRefused, []string{"can't move to host-c: it is left out", "leave this one in"}, nil, 0},
		{"a drain in a fleet that is not there", "host drain host-a --without host-c", "", exitUsage, []string{"--without", "give --dry-run, too"}, nil, 0},

		// Histories.
		{"a history out of order", history, rows + "2026-01-05T00:01:00Z,0.3\n", exitError, []string{"history line 4, column time", "is before the line above it", "sort the lines by time"}, nil, 0},
		{"a time twice", history, rows + "2026-01-05T00:05:00Z,0.3\n", exitError, []string{"history line 4, column time", "is there twice"}, nil, 0},
		{"a history with NaN", history, rows + "2026-01-05T00:10:00Z,NaN\n", exitError, []string{"history line 4, column cpu_cores", `"NaN" is not an amount`, "leave it blank for missing"}, nil, 0},
		{"a history below zero", history, rows + "2026-01-05T00:10:00Z,-1\n", exitError, []string{"history line 4, column cpu_cores", `"-1" is negative`}, nil, 0},
		{"a history with words", history, rows + "2026-01-05T00:10:00Z,x\n", exitError, []string{"history line 4, column cpu_cores", `"x" is not a number`, "write a plain one"}, nil, 0},
		{"a history with units", history, rows + "2026-01-05T00:10:00Z,500m\n", exitError, []string{"history line 4, column cpu_cores", `"500m" is not a number`, "without a unit"}, nil, 0},
		{"a history that was cut", history, rows + "2026-01-05T00:10", exitError, []string{"history line 4", "it has 1 fields, the header has 2"}, nil, 0},
		{"a history of one row", history, "time,cpu_cores\n2026-01-05T00:00:00Z,0.1\n", exitError, []string{"1 row", "two at least"}, nil, 0},
		{"a history with gaps, which are missing and said to be", history, rows + "2026-01-05T00:30:00Z,0.3\n", exitFine, []string{"cache-1", "4 of 7 steps have no row"}, nil, 0},

		// Files that were cut, and where there is no room for one.
		{"a snapshot that was cut", "operator snapshot inspect FILE", "", exitError, []string{"FILE", "not a whole snapshot"}, func(t *testing.T, f *apitest.Fleet) {
			var whole bytes.Buffer
			if err := snapshot.Write(&whole, f.View(), snapshot.Header{}); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile("in", whole.Bytes()[:whole.Len()-7], 0o600); err != nil {
				t.Fatal(err)
			}
		}, 0},
		// A disk that is full is tried where files are written: internal/durable.
		{"a device for a file", "history export cache-1 -f /dev/full", "", exitError, []string{"write /dev/full", "not a regular file", "choose another name"}, nil, 0},

		// Who asks, and whom.
		{"a CA of another fleet", "status", "", exitError, []string{"not of the fleet whose CA is pinned"}, func(t *testing.T, _ *apitest.Fleet) {
			t.Setenv("GLIDEPATH_CA_PIN", hex.EncodeToString(foreign[:]))
		}, 0},
		{"a token of another fleet", "status", "", exitError, []string{"the token is not known to this fleet", "of another one?"}, func(t *testing.T, _ *apitest.Fleet) {
			t.Setenv("GLIDEPATH_TOKEN", pki.MintAdmin().Encode())
		}, 0},
		{"a token that has expired", "status", "", exitError, []string{"token", "expired at", "glidepath token create --role admin"}, func(t *testing.T, f *apitest.Fleet) {
			withToken(func(r *proto.Token) { r.ExpiresAt = f.View().Now() + 1 })(t, f)
		}, 0},
		{"a token that was revoked", "status", "", exitError, []string{"token", "was revoked at", "glidepath token create --role admin"}, func(t *testing.T, f *apitest.Fleet) {
			id := ""
			withToken(func(r *proto.Token) { id = r.ID })(t, f)
			f.Must(&proto.TokenRevoke{ID: id})
		}, 0},
		{"a token for joining", "status", "", exitError, []string{"GLIDEPATH_TOKEN", "not a valid token"}, func(t *testing.T, f *apitest.Fleet) {
			join, err := pki.MintJoin(pki.Agent, "", f.CA.Pin(), []string{"127.0.0.1:7647"}, time.Now(), 0)
			if err != nil {
				t.Fatal(err)
			}
			t.Setenv("GLIDEPATH_TOKEN", join.Encode())
		}, 0},

		// What is not there, and what can't be now.
		{"an instance that is already moving", "migrate cache-1 --to host-b", "", exitRefused, []string{"instance cache-1 is being moved by migration", "wait for its end"}, func(t *testing.T, f *apitest.Fleet) { move(t, f, false) }, 0},
		{"an instance that is not there", "migrate cache-9 --to host-c", "", exitNotFound, []string{`no instance "cache-9"`, "glidepath instance list"}, nil, 0},
		{"a host that is not there", "migrate cache-1 --to host-z", "", exitNotFound, []string{`no host "host-z"`, "glidepath host list"}, nil, 0},
		{"a host that is not there, to adopt on", apply, spec("host: host-z"), exitNotFound, []string{"host-z", "glidepath host list"}, nil, 0},
		{"a type that is not there", "migrate cache-1 --to host-c --type m.huge", "", exitNotFound, []string{`no instance type "m.huge"`, "glidepath type list"}, nil, 0},
		{"a type that is not there, to adopt with", apply, spec("type: m.huge"), exitNotFound, []string{"m.huge", "glidepath type list"}, nil, 0},
		{"the host where it is", "migrate cache-1 --to host-a", "", exitRefused, []string{"cache-1", "on host-a already", "name another target"}, nil, 0},
		{"a target whose clock is 60 s off", "migrate cache-1 --to host-c", "", exitRefused, []string{"host-c", "its clock does not agree with the coordinators'", "it is 1m0s behind theirs", "set it right"}, func(_ *testing.T, f *apitest.Fleet) {
			clockOff(f, "host-c", "it is 1m0s behind theirs: set it right")
		}, 0},
		{"a source whose clock is 60 s off", "migrate cache-1 --to host-c", "", exitRefused, []string{"host-a", "its clock does not agree with the coordinators'", "set it right"}, func(_ *testing.T, f *apitest.Fleet) {
			clockOff(f, "host-a", "it is 1m0s ahead of theirs: set it right")
		}, 0},

		// What an agent refuses. The instance is there, waits, and is adopted as soon as it can be: it is tried again.
		{"a unit that is not allowed", apply, spec(), exitRefused, []string{"instance web-1 was not adopted", "unit nginx.service", "units: [nginx.service]"}, refusedBy(proto.Fault{
			Code: proto.FaultNotAllowed, What: "unit nginx.service is not allowed on host-a", Remedy: "add to /etc/glidepath/allow.yaml:  units: [nginx.service]",
		}), 2},
		{"an address that is configured persistently", apply, spec("address: 10.77.0.61/24"), exitRefused, []string{"instance web-1 was not adopted", "address 10.77.0.61", "etc/network/interfaces:2", "remove it from that file"}, refusedBy(proto.Fault{
			Code: proto.FaultRefused, What: "address 10.77.0.61 of instance web-1 is configured persistently in /etc/network/interfaces:2", Remedy: "remove it from that file",
		}), 2},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Chdir(t.TempDir())
			f := reach(t)
			if err := os.WriteFile("in", []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if c.given != nil {
				c.given(t, f)
			}
			before := f.View()
			code, stdout, stderr := glidepath(t, t.Context(), strings.Fields(strings.ReplaceAll(c.args, "FILE", "in"))...)
			told := stderr
			if c.code == exitFine {
				told = stdout + stderr
			}
			if code != c.code {
				t.Errorf("exit code %d, want %d: %s", code, c.code, told)
			}
			for _, words := range c.says {
				if words = strings.ReplaceAll(words, "FILE", "in"); !strings.Contains(told, words) {
					t.Errorf("%q does not say %q", told, words)
				}
			}
			if rows := state.Difference(before, f.View()); len(rows) != c.leaves {
				t.Errorf("%d rows differ: %v", len(rows), rows)
			}
			if left, err := filepath.Glob("*"); err != nil || len(left) != 1 {
				t.Errorf("it leaves %v, %v", left, err)
			}
		})
	}
}
