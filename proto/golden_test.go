package proto

import (
	"encoding/hex"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden bytes of this program's encoding")

// messages returns an empty value of every struct that crosses a wire or is kept: each type of the package that is exported.
func messages() []any {
	return []any{
		// document, instance, host, sample
		DocumentVersion{}, Document{}, InstanceSchedule{}, InstanceSpec{}, ServiceSpec{}, HealthSpec{}, Hooks{}, Hook{},
		HostFacts{}, Missing{}, Label{}, Hello{}, HelloReply{}, Holding{},
		Window{}, Fold{}, Pressure{}, Samples{}, SamplesReply{},
		// signal
		Signal{}, SignalSample{}, SignalBlocks{}, SignalState{}, SignalForecast{}, SignalPattern{}, SignalEffect{},
		// methods, operation
		OperationRef{}, InstanceRef{}, Holdings{}, Relay{}, RelayReply{}, JoinRequest{}, JoinReply{}, RenewRequest{}, RenewReply{}, ReadBack{}, LimitFile{},
		Operation{}, Peer{}, OperationResult{}, TimedStep{}, Fault{}, SourceFacts{}, Program{}, RoundResult{}, StartResult{}, AdoptResult{}, HookCall{}, HookResult{},
		PermitRequest{}, PermitReply{}, RefusedRequest{}, RefusedReply{}, Progress{}, HostPermit{}, ForecastRequest{}, ForecastReply{}, DemandPattern{}, HistoryRequest{}, HistoryPage{},
		HistoryStored{}, Retained{}, Retention{}, Presence{}, Presences{}, AboveRequest{}, Above{}, AboveOf{}, MigrationRef{}, MigrationProgress{}, Member{},
		Transfer{}, Report{}, ReportPart{},
		// task
		Task{}, HostTasks{}, TasksRequest{}, TasksReply{}, HostTasksRequest{}, HostTasksReply{}, TaskEffect{},
		// scorecard
		Scorecard{}, Issue{}, Said{}, Tally{}, TallyOf{}, Fared{}, Standing{}, ScoresRequest{}, ScoresReply{}, Scores{}, StandsIn{}, ScorePeriod{}, Score{}, Fit{},
		ScoreSummary{}, ScoreSummaryOf{},
		// records
		Fleet{}, RemovedHost{}, Policy{}, ClassQuantiles{}, Coordinator{}, KnownType{}, Token{}, Host{}, Conflict{}, InstanceType{}, Application{}, Event{}, Calendar{}, Polled{},
		Instance{}, Reservation{}, Segment{}, Shortfall{}, Migration{}, PhaseEntry{}, Decision{}, OperationRecord{}, Plan{}, PlanPhase{}, PlanStep{}, Considered{},
		StoredPlan{}, Move{}, Figures{}, Band{}, StartWeighed{}, Bias{}, RuledOut{}, Term{}, MoveWindow{}, Blocked{}, Unblock{}, WhatIf{}, Notice{}, CapacityWindow{}, Drain{},
		Squeeze{}, Yield{}, Placement{}, Rebalance{},
		// commands
		Command{}, Result{}, Proposal{}, ProposalReply{}, Revision{},
		FleetInit{}, PolicyPut{}, IncarnationRaise{}, CoordinatorPut{}, CoordinatorRemove{}, Tick{}, Pause{},
		HostRegister{}, HostHome{}, HostSet{}, HostDebt{}, HostForget{}, HostSystem{}, TypePut{}, TypeRemove{}, AppPut{}, AppRemove{}, EventPut{}, EventRemove{},
		CalendarPut{}, CalendarRemove{}, CalendarPoll{},
		TokenCreate{}, TokenUse{}, TokenRevoke{}, InstanceApply{}, InstanceAdopted{}, InstanceMode{}, InstanceRelease{}, InstanceRemove{}, ReservationChange{},
		MigrationStart{}, MigrationReturn{}, MigrationAdvance{}, MigrationRecord{}, MigrationFreeze{}, MigrationCommit{}, MigrationConfirm{}, MigrationAbort{},
		MigrationThaw{}, MigrationComplete{}, MigrationEnd{}, AcceptLoss{}, MigrationPrune{}, ProbationEnd{},
		HostWindow{}, HostDrain{}, TypeRevise{}, AppRevise{}, Admit{}, NoticePut{}, PlanPut{}, PlanChange{}, PlanBegin{}, MigrationAdmit{}, MigrationLearned{}, CPU{}, Lesson{}, Start{},
	}
}

// filled returns a pointer to a value of the type in which every field has a value of its own.
func filled(t reflect.Type) any {
	n := int64(0)
	v := reflect.New(t)
	fill(v.Elem(), &n)
	return v.Interface()
}

func fill(v reflect.Value, n *int64) {
	*n++
	switch v.Kind() {
	case reflect.String:
		v.SetString("s" + strings.Repeat("x", int(*n%3)) + string(rune('a'+*n%26)))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(*n * 1000)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(*n % 100))
	case reflect.Float32, reflect.Float64:
		v.SetFloat(float64(*n) + 0.5)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), n)
		fill(v.Index(1), n)
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i), n)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), n)
		}
	default:
		panic("a message has a field of kind " + v.Kind().String() + ", whose bytes are not the same everywhere")
	}
}

// TestGoldenBytes holds the encoding of every message: a change here is a change of the protocol. New fields change the
// bytes by what they add; with -update the new ones are written, for a reviewer to see.
func TestGoldenBytes(t *testing.T) {
	for _, m := range messages() {
		typ := reflect.TypeOf(m)
		t.Run(typ.Name(), func(t *testing.T) {
			want := filled(typ)
			b, err := Marshal(want)
			if err != nil {
				t.Fatal(err)
			}
			got := reflect.New(typ).Interface()
			if err := Unmarshal(b, got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("what is decoded is not what was encoded:\n%s", diff)
			}
			path := filepath.Join("testdata", "golden", typ.Name()+".hex")
			if *update {
				if err := os.WriteFile(path, []byte(wrapped(b)), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			golden, err := os.ReadFile(path)
			if err != nil {
				t.Fatalf("%v: write it with go test ./proto -run TestGoldenBytes -update", err)
			}
			if diff := cmp.Diff(string(golden), wrapped(b)); diff != "" {
				t.Fatalf("the encoding changed: if it is meant to, write it with -update and say so in the package comment (-golden +now):\n%s", diff)
			}
			old, err := hex.DecodeString(strings.ReplaceAll(string(golden), "\n", ""))
			if err != nil {
				t.Fatal(err)
			}
			again := reflect.New(typ).Interface()
			if err := Unmarshal(old, again); err != nil {
				t.Fatalf("the golden bytes cannot be read: %v", err)
			}
		})
	}
}

// wrapped returns the bytes as hex in lines that can be compared.
func wrapped(b []byte) string {
	var lines []string
	for c := range slices.Chunk(b, 32) {
		lines = append(lines, hex.EncodeToString(c))
	}
	return strings.Join(lines, "\n") + "\n"
}

func TestGoldenFilesAreOfMessages(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "golden", "*.hex"))
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, m := range messages() {
		known[reflect.TypeOf(m).Name()] = true
	}
	for _, f := range files {
		if name := strings.TrimSuffix(filepath.Base(f), ".hex"); !known[name] {
			t.Errorf("%s is of no message: was one renamed or removed?", f)
		}
	}
}

// notSent are exported structs that never leave the program.
var notSent = map[string]bool{"Refusal": true}

func TestEveryMessageIsGolden(t *testing.T) {
	known := map[string]bool{}
	for _, m := range messages() {
		known[reflect.TypeOf(m).Name()] = true
	}
	sources, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range sources {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			s, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			if _, isStruct := s.Type.(*ast.StructType); isStruct && s.Name.IsExported() && !known[s.Name.Name] && !notSent[s.Name.Name] {
				t.Errorf("%s: %s has no golden bytes: add it to messages()", path, s.Name.Name)
			}
			return true
		})
	}
}

func TestKeysOfAMessageAreUnique(t *testing.T) {
	for _, m := range messages() {
		typ := reflect.TypeOf(m)
		seen := map[string]string{}
		for _, f := range reflect.VisibleFields(typ) {
			key, _, _ := strings.Cut(f.Tag.Get("msgpack"), ",")
			if f.Anonymous {
				continue
			}
			if key == "" {
				t.Errorf("%s.%s has no key: a renamed field would be another one", typ.Name(), f.Name)
			}
			if other, twice := seen[key]; twice {
				t.Errorf("%s: %s and %s have the same key %q", typ.Name(), other, f.Name, key)
			}
			seen[key] = f.Name
		}
	}
}

// TestWhatIsReplicatedIsExact holds that nothing in a command is a float or a map: coordinators compute with it, and
// compare what comes out by its bytes.
func TestWhatIsReplicatedIsExact(t *testing.T) {
	var walk func(path string, typ reflect.Type)
	walk = func(path string, typ reflect.Type) {
		switch typ.Kind() {
		case reflect.Float32, reflect.Float64, reflect.Map, reflect.Interface:
			t.Errorf("%s is a %s", path, typ.Kind())
		case reflect.Pointer, reflect.Slice, reflect.Array:
			walk(path, typ.Elem())
		case reflect.Struct:
			for i := range typ.NumField() {
				walk(path+"."+typ.Field(i).Name, typ.Field(i).Type)
			}
		}
	}
	for _, k := range KnownCommands() {
		typ := reflect.TypeOf(newBody(k.Type)).Elem()
		walk(typ.Name(), typ)
	}
}

func TestEveryCommandTypeHasItsBody(t *testing.T) {
	for _, k := range KnownCommands() {
		if body := newBody(k.Type); body.Command() != k.Type {
			t.Errorf("the body of %s says it is of %s", k.Type, body.Command())
		}
		if strings.HasPrefix(k.Type.String(), "command(") {
			t.Errorf("command %d has no name", k.Type)
		}
	}
	for _, m := range messages() {
		if body, ok := m.(Body); ok && !slices.Contains(KnownCommands(), KnownType{body.Command(), body.Command().Version()}) {
			t.Errorf("%T is the body of no known command", m)
		}
	}
}

// TestWhatCameLaterIsLeftOutWhereItIsNotSet holds that a record in which nothing new is used has the bytes that it had: programs that know only those make the same of it.
func TestWhatCameLaterIsLeftOutWhereItIsNotSet(t *testing.T) {
	for _, c := range []struct {
		record any
		later  []string
	}{
		{Host{}, []string{"id", "rv", "cf", "w", "dr"}}, {InstanceType{}, []string{"rv"}}, {Application{}, []string{"rv"}}, {Reservation{}, []string{"sq"}},
		{Plan{}, []string{"fg", "ru", "sw", "pb", "sp"}}, {Considered{}, []string{"t", "v"}}, {InstanceSpec{}, []string{"pl", "si"}}, {Window{}, []string{"sg"}}, {HistoryPage{}, []string{"sg"}}, {ForecastReply{}, []string{"sg"}}, {ReadBack{}, []string{"sg"}}, {Policy{}, []string{"ml", "w", "rb"}},
	} {
		b, err := Marshal(c.record)
		if err != nil {
			t.Fatal(err)
		}
		var fields map[string]any
		if err := Unmarshal(b, &fields); err != nil {
			t.Fatal(err)
		}
		for _, key := range c.later {
			if _, there := fields[key]; there {
				t.Errorf("%T has %q where nothing is set", c.record, key)
			}
		}
	}
}
