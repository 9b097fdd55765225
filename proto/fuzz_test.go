package proto

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
)

// decodes holds, for any bytes: decoding does not panic, and what is decoded encodes to bytes that decode to the same.
func decodes[T any](f *testing.F) {
	b, err := Marshal(filled(reflect.TypeFor[T]()))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte{0x80})
	f.Add([]byte{0x81, 0xa1, 'i', 0xdd, 0x0f, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		var first T
		if Unmarshal(b, &first) != nil {
			return
		}
		once, err := Marshal(first)
		if err != nil {
			t.Fatal(err)
		}
		var second T
		if err := Unmarshal(once, &second); err != nil {
			t.Fatal(err)
		}
		twice, err := Marshal(second)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(once, twice) {
			t.Fatalf("encodes to\n%x\nand, decoded, to\n%x", once, twice)
		}
	})
}

func FuzzDocument(f *testing.F)        { decodes[Document](f) }
func FuzzHello(f *testing.F)           { decodes[Hello](f) }
func FuzzHelloReply(f *testing.F)      { decodes[HelloReply](f) }
func FuzzSamples(f *testing.F)         { decodes[Samples](f) }
func FuzzSamplesReply(f *testing.F)    { decodes[SamplesReply](f) }
func FuzzOperation(f *testing.F)       { decodes[Operation](f) }
func FuzzOperationResult(f *testing.F) { decodes[OperationResult](f) }
func FuzzOperationRef(f *testing.F)    { decodes[OperationRef](f) }
func FuzzInstanceRef(f *testing.F)     { decodes[InstanceRef](f) }
func FuzzProgress(f *testing.F)        { decodes[Progress](f) }
func FuzzHoldings(f *testing.F)        { decodes[Holdings](f) }
func FuzzReadBack(f *testing.F)        { decodes[ReadBack](f) }
func FuzzPermitRequest(f *testing.F)   { decodes[PermitRequest](f) }
func FuzzPermitReply(f *testing.F)     { decodes[PermitReply](f) }
func FuzzRefusedRequest(f *testing.F)  { decodes[RefusedRequest](f) }
func FuzzRefusedReply(f *testing.F)    { decodes[RefusedReply](f) }
func FuzzRelay(f *testing.F)           { decodes[Relay](f) }
func FuzzRelayReply(f *testing.F)      { decodes[RelayReply](f) }
func FuzzJoinRequest(f *testing.F)     { decodes[JoinRequest](f) }
func FuzzJoinReply(f *testing.F)       { decodes[JoinReply](f) }
func FuzzRenewRequest(f *testing.F)    { decodes[RenewRequest](f) }
func FuzzRenewReply(f *testing.F)      { decodes[RenewReply](f) }
func FuzzProposal(f *testing.F)        { decodes[Proposal](f) }
func FuzzProposalReply(f *testing.F)   { decodes[ProposalReply](f) }
func FuzzHostPermit(f *testing.F)      { decodes[HostPermit](f) }
func FuzzForecastRequest(f *testing.F) { decodes[ForecastRequest](f) }
func FuzzForecastReply(f *testing.F)   { decodes[ForecastReply](f) }
func FuzzHistoryRequest(f *testing.F)  { decodes[HistoryRequest](f) }
func FuzzHistoryPage(f *testing.F)     { decodes[HistoryPage](f) }
func FuzzScorecard(f *testing.F)       { decodes[Scorecard](f) }
func FuzzScoresReply(f *testing.F)     { decodes[ScoresReply](f) }
func FuzzMigration(f *testing.F)       { decodes[Migration](f) }
func FuzzReservation(f *testing.F)     { decodes[Reservation](f) }
func FuzzHost(f *testing.F)            { decodes[Host](f) }
func FuzzInstance(f *testing.F)        { decodes[Instance](f) }
func FuzzCalendar(f *testing.F)        { decodes[Calendar](f) }
func FuzzStoredPlan(f *testing.F)      { decodes[StoredPlan](f) }
func FuzzNotice(f *testing.F)          { decodes[Notice](f) }

// FuzzCommand decodes commands and the bodies in them.
func FuzzCommand(f *testing.F) {
	for _, k := range KnownCommands() {
		b, err := Marshal(filled(reflect.TypeOf(newBody(k.Type)).Elem()))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(k.Type), k.Version, b)
	}
	f.Fuzz(func(t *testing.T, kind, version uint8, body []byte) {
		c := Command{Type: CommandType(kind), Version: version, ID: "fuzz", Body: body}
		b, err := c.Decode()
		if err != nil {
			if !errors.Is(err, ErrUnknownCommand) && !errors.Is(err, ErrIgnored) && !errors.Is(err, ErrMalformed) {
				t.Fatalf("%v is an error that nobody decides on", err)
			}
			return
		}
		if b.Command() != c.Type {
			t.Fatalf("decoded to a %s", b.Command())
		}
		if _, err := NewCommand("again", "fuzz", b); err != nil && len(body) < MaxCommand/4 {
			t.Fatal(err)
		}
	})
}
